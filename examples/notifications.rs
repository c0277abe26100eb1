//! Notifications for users who have several tabs open, or none: `cargo run -p tidewire --example notifications`.
//!
//! All tabs of a user show the same: each notification reaches all of them, and what is read in one tab is read in all. What
//! comes while the user is away waits in an inbox.
//!
//! A page connects with `io({ auth: { token: "ann's token" } })` and has three handlers: `inbox` replaces what the page shows,
//! `notification` adds one, `read` removes those up to a number.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tidewire::server::{Auth, ConnectError, Data, Extension, HandlerError, Server, Socket, State};

/// The most notifications that wait for a user. Above that, the oldest is dropped and counted: somebody who comes back after
/// a month learns that there were more, and the server does not keep them all.
const MAX_UNREAD: usize = 100;
/// The longest text of a notification, in bytes. Both limits together bound the memory of a user.
const MAX_TEXT: usize = 1_000;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    server([("ann's token", "ann"), ("bob's token", "bob")]).listen("127.0.0.1:3000").await
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Notification {
    number: u64,
    from: String,
    text: String,
}

/// What waits for a user, oldest first. In your program, it is in a database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Inbox {
    /// The number of the last notification.
    last: u64,
    unread: VecDeque<Notification>,
    /// How many were dropped and not read.
    dropped: u64,
}

impl Inbox {
    fn push(&mut self, from: &str, text: String) -> &Notification {
        self.last += 1;
        if self.unread.len() == MAX_UNREAD {
            self.unread.pop_front();
            self.dropped += 1;
        }
        self.unread.push_back(Notification { number: self.last, from: from.to_owned(), text });
        &self.unread[self.unread.len() - 1]
    }

    /// Marks all up to this one as read. A number is enough, and it does no harm if it comes twice or late.
    fn read(&mut self, up_to: u64) {
        self.unread.retain(|notification| notification.number > up_to);
        self.dropped = 0;
    }
}

/// Stands for the user database. The example `jwt` checks a real token.
struct Tokens(BTreeMap<&'static str, &'static str>);

/// The user of a socket.
struct User(&'static str);

/// The inboxes of all users. A client cannot add one, because it can only write to users that exist.
struct Inboxes(BTreeMap<&'static str, Mutex<Inbox>>);

impl Inboxes {
    /// Calls a function with the inbox of a user. What it emits is in the same order as its changes, for all tabs: so a tab
    /// that opens in the same moment has a notification either in its inbox or as an event, and not in both or neither.
    fn with<T>(&self, user: &str, f: impl FnOnce(&mut Inbox) -> T) -> Option<T> {
        let inbox = self.0.get(user)?;
        Some(f(&mut inbox.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Notifies a user. Returns whether the user exists.
    fn notify(&self, io: &Server, to: &str, from: &str, text: String) -> bool {
        self.with(to, |inbox| io.to(room(to)).emit("notification", inbox.push(from, text))).is_some()
    }
}

/// All tabs of a user are in a room. In a cluster, they may be on different servers.
fn room(user: &str) -> String {
    format!("user:{user}")
}

fn server<const N: usize>(users: [(&'static str, &'static str); N]) -> Server {
    let inboxes = users.map(|(_, user)| (user, Mutex::default()));
    let io = Server::builder().state(Tokens(users.into())).state(Inboxes(inboxes.into())).build();
    io.middleware(authenticate);
    io.on_connection(open_tab);
    io.on("notify", notify);
    io.on("read", read);
    io
}

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

async fn authenticate(
    socket: Socket,
    tokens: State<Tokens>,
    Auth(credentials): Auth<Credentials>,
) -> Result<(), ConnectError> {
    let user = tokens.0.0.get(&*credentials.token).ok_or_else(|| ConnectError::new("not authorized"))?;
    socket.set_extension(User(user));
    Ok(())
}

async fn open_tab(
    socket: Socket,
    user: Extension<User>,
    inboxes: State<Inboxes>,
) -> Result<(), HandlerError> {
    let user = user.0.0;
    let joined = inboxes.with(user, |inbox| {
        let joined = socket.join(room(user));
        socket.emit("inbox", &*inbox);
        joined
    });
    if let Some(joined) = joined {
        joined.await?;
    }
    Ok(())
}

async fn notify(
    io: Server,
    user: Extension<User>,
    inboxes: State<Inboxes>,
    Data((to, text)): Data<(String, String)>,
) -> Result<(), HandlerError> {
    if text.len() > MAX_TEXT {
        return Err(HandlerError::new(format!("a notification has at most {MAX_TEXT} bytes")));
    }
    if inboxes.notify(&io, &to, user.0.0, text) { Ok(()) } else { Err(HandlerError::new("no such user")) }
}

async fn read(socket: Socket, user: Extension<User>, inboxes: State<Inboxes>, Data(up_to): Data<u64>) {
    let user = user.0.0;
    inboxes.with(user, |inbox| {
        inbox.read(up_to);
        // This tab knows it already.
        socket.to(room(user)).emit("read", up_to);
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidewire::testing::{self, Client};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn users() -> Server {
        server([("1", "ann"), ("2", "bob")])
    }

    /// Opens a tab. Returns what it shows at first.
    async fn tab(io: &Server, token: &str) -> Result<(Client, Inbox), Box<dyn std::error::Error>> {
        let mut client = Client::builder(io).auth(json!({ "token": token })).connect().await?;
        let inbox = client.recv("inbox").await?;
        Ok((client, inbox))
    }

    #[tokio::test]
    async fn a_notification_reaches_all_tabs_of_its_user_and_no_others() -> Tested {
        let io = users();
        let (mut one, _) = tab(&io, "1").await?;
        let (mut two, _) = tab(&io, "1").await?;
        let (mut bob, _) = tab(&io, "2").await?;
        bob.emit_with_ack::<()>("notify", ("ann", "lunch?")).await?;
        for tab in [&mut one, &mut two] {
            let notification: Notification = tab.recv("notification").await?;
            assert_eq!((&*notification.from, &*notification.text), ("bob", "lunch?"));
        }
        bob.expect_nothing().await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_read_in_one_tab_is_read_in_all_and_stays_read() -> Tested {
        let io = users();
        let (mut one, _) = tab(&io, "1").await?;
        let (mut two, _) = tab(&io, "1").await?;
        for text in ["a", "b", "c"] {
            one.emit_with_ack::<()>("notify", ("ann", text)).await?;
        }
        one.emit("read", 2).await?;
        assert_eq!(two.recv::<u64>("read").await?, 2);
        let (_, inbox) = tab(&io, "1").await?;
        assert_eq!(inbox.unread.iter().map(|notification| &*notification.text).collect::<Vec<_>>(), ["c"]);
        Ok(())
    }

    #[tokio::test]
    async fn the_inbox_of_an_absent_user_is_bounded_and_says_what_it_has_dropped() -> Tested {
        let io = users();
        let (mut bob, _) = tab(&io, "2").await?;
        for number in 0..MAX_UNREAD + 5 {
            bob.emit_with_ack::<()>("notify", ("ann", format!("{number}"))).await?;
        }
        let (mut ann, inbox) = tab(&io, "1").await?;
        assert_eq!((inbox.unread.len(), inbox.dropped), (MAX_UNREAD, 5));
        assert_eq!(inbox.unread[0].text, "5", "the oldest are dropped");
        ann.emit_with_ack::<()>("read", inbox.last).await?;
        let (_, inbox) = tab(&io, "1").await?;
        assert_eq!((inbox.unread.len(), inbox.dropped), (0, 0));
        Ok(())
    }

    #[tokio::test]
    async fn strangers_unknown_users_and_long_texts_are_refused() -> Tested {
        let io = users();
        let stranger = Client::builder(&io).auth(json!({ "token": "3" })).connect().await;
        assert!(matches!(stranger, Err(testing::ConnectError::Rejected { .. })), "{stranger:?}");
        let (mut ann, _) = tab(&io, "1").await?;
        let refused: Value = ann.emit_with_ack("notify", ("carol", "hello")).await?;
        assert_eq!(refused, json!({ "error": "no such user" }));
        let refused: Value = ann.emit_with_ack("notify", ("bob", "x".repeat(MAX_TEXT + 1))).await?;
        assert_eq!(refused, json!({ "error": "a notification has at most 1000 bytes" }));
        Ok(())
    }
}
