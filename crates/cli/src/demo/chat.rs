//! The server of the page `/chat/`: the namespace `/chat`.
//!
//! `chat/rooms.rs` keeps the rooms and their last messages, and `chat/room.rs` who is in one. Everything that a visitor can
//! make grow has a limit, and a visitor who reaches one gets `{ error }` as the acknowledgement.

mod limits;
mod look;
mod picture;
mod rate_limits;
mod room;
mod rooms;
mod text;

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidewire::server::{
    AddressLimits, Auth, Builder, ConnectError, Data, Extension, HandlerError, Namespace, Server, Socket,
    State,
};

use self::limits::{MAX_NAME_CHARS, MAX_TEXT_CHARS, Refusal};
use self::picture::Picture;
pub(super) use self::rate_limits::RateLimits;
use self::room::{Member, Person};
use self::rooms::{Content, Message, RoomSummary, Rooms};
use super::connection_limits::{ConnectionLimits, network_of};

/// The handlers share the rooms.
pub(super) fn configure(builder: Builder) -> Builder {
    builder.state(Rooms::new(SystemTime::now()))
}

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let chat = io.of("/chat");
    chat.middleware(authenticate);
    chat.on_connection(connected);
    chat.event_middleware(async |Extension(limits): Extension<ConnectionLimits>| {
        limits.chat.event(Instant::now())
    });
    chat.on("rename", rename);
    chat.on("open", open);
    chat.on("join", join);
    chat.on("message", message);
    chat.on("picture", picture);
    chat.on("picture-data", picture_data);
    chat.on("typing", typing);
    chat.on_disconnect(disconnected);
    // The pages measure the round trip.
    chat.on("round-trip", async || {});
}

/// What a page says of its user. `client` is a secret that all tabs of a browser share: the server shows them as one
/// person.
#[derive(Deserialize)]
struct AuthPayload {
    name: Option<String>,
    client: Option<String>,
}

/// What a page needs to know when it is connected.
#[derive(Serialize)]
struct Welcome {
    you: Person,
    rooms: Vec<RoomSummary>,
    /// The room of a socket that was recovered: it is still there.
    room: Option<String>,
    people: Vec<Person>,
}

/// The answer to `join`. The name of `you` has a number if somebody else in the room has a name that looks the same.
#[derive(Serialize)]
struct Joined {
    you: Person,
    room: String,
    people: Vec<Person>,
    messages: Vec<Message>,
}

/// Refuses names that are not proper. A recovered socket has introduced itself before.
async fn authenticate(
    socket: Socket,
    rooms: State<Rooms>,
    Auth(payload): Auth<AuthPayload>,
) -> Result<(), ConnectError> {
    let refused = |refusal: Refusal| ConnectError::new(refusal.to_string());
    let name = text::name(payload.name.as_deref().unwrap_or("Guest"), MAX_NAME_CHARS).map_err(refused)?;
    let secret = payload.client.unwrap_or_else(|| socket.id().to_string());
    let person = Person { id: rooms.person_id(&secret), name };
    socket.set_data(person).map_err(|error| ConnectError::new(error.to_string()))
}

async fn connected(
    chat: Namespace,
    socket: Socket,
    rooms: State<Rooms>,
    limits: State<AddressLimits>,
) -> Result<(), HandlerError> {
    // The person is in the data of the socket, which a recovery restores. The member is new.
    let mut you: Person = socket.data()?;
    let member = rooms.new_member(network_of(&socket, &limits));
    socket.set_extension(member);
    let mut room = room_of(&socket);
    if let Some(recovered) = &room {
        announce(&chat, &rooms, recovered);
        match rooms.enter(recovered, member, &you, Instant::now()) {
            Ok((shown, _)) => {
                socket.set_data(&shown)?;
                you = shown;
            }
            Err(_) => {
                // It is full now: the page looks for another one.
                socket.leave(channel(recovered));
                room = None;
            }
        }
    }
    // The latest state, and not a part of the log: what it says may be wrong when a client comes back.
    let people = room.as_deref().map(|room| rooms.people(room)).unwrap_or_default();
    socket.keep_latest("welcome").emit("welcome", Welcome { you, rooms: rooms.list(), room, people });
    Ok(())
}

async fn rename(
    chat: Namespace,
    socket: Socket,
    Extension(member): Extension<Member>,
    rooms: State<Rooms>,
    Data(name): Data<String>,
) -> Result<Person, HandlerError> {
    let name = text::name(&name, MAX_NAME_CHARS)?;
    let person = Person { name, ..socket.data()? };
    if let Some(room) = room_of(&socket)
        && rooms.rename(&room, *member, &person)?
    {
        announce(&chat, &rooms, &room);
    }
    socket.set_data(&person)?;
    Ok(person)
}

async fn open(
    chat: Namespace,
    Extension(limits): Extension<ConnectionLimits>,
    Extension(member): Extension<Member>,
    rooms: State<Rooms>,
    Data(name): Data<String>,
) -> Result<String, HandlerError> {
    limits.chat.open(Instant::now())?;
    let room = text::room_name(&name)?;
    if rooms.open(&room, *member, Instant::now())? {
        announce(&chat, &rooms, &room);
    }
    Ok(room)
}

async fn join(
    chat: Namespace,
    socket: Socket,
    Extension(member): Extension<Member>,
    rooms: State<Rooms>,
    Data(room): Data<String>,
) -> Result<Joined, HandlerError> {
    let (you, is_new) = rooms.enter(&room, *member, &socket.data()?, Instant::now())?;
    socket.set_data(&you)?;
    if let Some(before) = room_of(&socket).filter(|before| *before != room) {
        socket.leave(channel(&before));
        rooms.leave(&before, *member, Instant::now());
        announce(&chat, &rooms, &before);
    }
    // First the room, then its history: a message that comes meanwhile arrives twice, and the page drops one of them.
    socket.join(channel(&room)).await?;
    if is_new {
        announce(&chat, &rooms, &room);
    }
    Ok(Joined { you, people: rooms.people(&room), messages: rooms.messages(&room), room })
}

async fn message(
    socket: Socket,
    Extension(limits): Extension<ConnectionLimits>,
    rooms: State<Rooms>,
    Data((room, id, text)): Data<(String, String, String)>,
) -> Result<Message, HandlerError> {
    limits.chat.message(Instant::now())?;
    let text = text::message(&text, MAX_TEXT_CHARS)?;
    say(&socket, &rooms, &room, id, Content::Text(text))
}

async fn picture(
    socket: Socket,
    Extension(limits): Extension<ConnectionLimits>,
    rooms: State<Rooms>,
    Data((room, id, data)): Data<(String, String, Bytes)>,
) -> Result<Message, HandlerError> {
    limits.chat.picture(Instant::now())?;
    say(&socket, &rooms, &room, id, Content::Picture(Picture::new(&data)?))
}

/// Keeps a message and sends it to the others in the room. A page that has not received the acknowledgement sends its
/// message again, with the same `id`: it gets the message that it has sent before, and the others get nothing.
fn say(
    socket: &Socket,
    rooms: &Rooms,
    room: &str,
    id: String,
    content: Content,
) -> Result<Message, HandlerError> {
    if !socket.is_in(channel(room)) {
        return Err(Refusal::NotInRoom.into());
    }
    let (message, is_new) = rooms.say(room, id, socket.data()?, content, SystemTime::now())?;
    if is_new {
        socket.to(channel(room)).emit("message", (room, &message));
    }
    Ok(message)
}

/// Pages fetch the pictures that they show. A message therefore stays small, also in the log of the recovery.
async fn picture_data(
    socket: Socket,
    Extension(limits): Extension<ConnectionLimits>,
    rooms: State<Rooms>,
    Data(key): Data<String>,
) -> Result<Bytes, HandlerError> {
    limits.chat.picture_data(Instant::now())?;
    let room = room_of(&socket).ok_or(Refusal::NotInRoom)?;
    Ok(rooms.picture(&room, &key).ok_or(Refusal::NoPicture)?)
}

async fn typing(socket: Socket) -> Result<(), HandlerError> {
    if let Some(room) = room_of(&socket) {
        socket.to(channel(&room)).volatile().emit("typing", socket.data::<Person>()?);
    }
    Ok(())
}

async fn disconnected(chat: Namespace, Extension(member): Extension<Member>, rooms: State<Rooms>) {
    if let Some(room) = rooms.leave_all(*member, Instant::now()) {
        announce(&chat, &rooms, &room);
    }
}

/// The time in which all changes of a list become one event: when many people come at once, each of them would otherwise
/// be told of each other one separately.
const ANNOUNCEMENT_DELAY: Duration = Duration::from_millis(200);

/// Tells the people in `room` who is there, and all people how many are in each room. Slow clients get only the latest
/// state.
fn announce(chat: &Namespace, rooms: &State<Rooms>, room: &str) {
    if !rooms.schedule_announcement(room) {
        return; // It is on its way.
    }
    let (chat, rooms) = (chat.clone(), rooms.clone());
    tokio::spawn(async move {
        tokio::time::sleep(ANNOUNCEMENT_DELAY).await;
        let (changed, is_list_changed) = rooms.take_announcements(Instant::now());
        for (room, people) in changed {
            chat.to(channel(&room)).keep_latest("people").emit("people", (&room, people));
        }
        if is_list_changed {
            chat.keep_latest("rooms").emit("rooms", (rooms.list(),));
        }
    });
}

/// The Socket.IO room of a room of the chat. The prefix keeps visitors out of the rooms of single sockets.
fn channel(room: &str) -> String {
    format!("chat:{room}")
}

/// The room of the chat that the socket is in.
fn room_of(socket: &Socket) -> Option<String> {
    socket.rooms().iter().find_map(|room| room.strip_prefix("chat:").map(str::to_owned))
}
