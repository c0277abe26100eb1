//! The server of the page `/game/`. One world, and two ways into it: the raw WebSocket `/game/ws` and the namespace `/game`.
//!
//! Both carry the same messages. Over the WebSocket they are a few bytes, see `game/protocol.rs`; over Socket.IO they are
//! events with the same numbers:
//!
//! - to the server: `join` (key, name, whether this connection steers), which is acknowledged with the id of the boat or
//!   null, `input` (number, angle, strength), `helm` and `ping`;
//! - to the page: `state` (tick, angle and force of the wind, boats), `roster` (id, name, whether it is a bot) and `points`
//!   (seconds left, the last winner, buoys, scores).
//!
//! The page opens both connections, and one of them steers.

mod connections;
mod protocol;
mod world;

use std::time::{Duration, Instant};

use axum::Router;
use axum::response::Response;
use axum::routing::any;
use tidewire::server::{AddressLimits, Data, Extension, HandlerError, Server, Socket, State};
use tidewire::ws::{CloseCode, CloseFrame, Limits, Message, WebSocket};

use self::connections::{ConnectionHandle, Game, points, roster};
use self::protocol::Request;
use self::world::Input;
use super::connection_limits::{ConnectionLimits, network_of};
use super::rate_limit::{RateLimit, TOO_FAST};
use crate::web_sockets::{Admission, Refusal, WebSockets};

/// A page sends 25 inputs and 4 pings in a second. After a pause of the network, those of some seconds come together.
const MESSAGE_INTERVAL: Duration = Duration::from_micros(1_000_000 / 60);
const MESSAGES_AT_ONCE: u32 = 240;

/// Registers the handlers and returns the route of the WebSocket.
pub(super) fn register(io: &Server, sockets: &WebSockets) -> Router {
    let namespace = io.of("/game");
    let game = Game::new(namespace.clone());
    let route = Router::new().route("/game/ws", any(accept)).with_state((game.clone(), sockets.clone()));

    namespace.on_connection(move |socket: Socket, limits: State<AddressLimits>| {
        let game = game.clone();
        async move {
            let handle = game.connect(None, network_of(&socket, &limits)).map_err(HandlerError::new)?;
            socket.set_extension(handle);
            let state = game.lock();
            socket.emit("roster", roster(&state.world));
            socket.emit("points", points(&state.world));
            Ok::<_, HandlerError>(())
        }
    });
    namespace.on(
        "join",
        async |Extension(handle): Extension<ConnectionHandle>,
               Extension(limits): Extension<ConnectionLimits>,
               Data((key, name, steers)): Data<(String, String, bool)>| {
            let key =
                u64::from_str_radix(&key, 16).map_err(|_| HandlerError::new("the key is not hexadecimal"))?;
            if !limits.game.try_take(Instant::now()) {
                return Err(HandlerError::new(TOO_FAST));
            }
            Ok(handle.join(key, &name, steers))
        },
    );
    // Nobody waits for an answer to these two, so what exceeds the limit is dropped.
    namespace.on(
        "input",
        async |Extension(handle): Extension<ConnectionHandle>,
               Extension(limits): Extension<ConnectionLimits>,
               Data((number, angle, strength)): Data<(u8, u8, u8)>| {
            if limits.game.try_take(Instant::now()) {
                handle.steer(number, Input { angle, strength });
            }
        },
    );
    namespace.on(
        "helm",
        async |Extension(handle): Extension<ConnectionHandle>,
               Extension(limits): Extension<ConnectionLimits>| {
            if limits.game.try_take(Instant::now()) {
                handle.take_helm();
            }
        },
    );
    namespace.on("ping", async || {});
    namespace.on_disconnect(async |Extension(handle): Extension<ConnectionHandle>| handle.leave());
    route
}

/// The limit of the messages of one connection.
pub(super) fn rate_limit(now: Instant) -> RateLimit {
    RateLimit::new(MESSAGES_AT_ONCE, MESSAGE_INTERVAL, now)
}

/// A handshake on `/game/ws`.
async fn accept(
    axum::extract::State((game, sockets)): axum::extract::State<(Game, WebSockets)>,
    request: axum::extract::Request,
) -> Result<Response, Refusal> {
    let limits = Limits {
        max_message_size: protocol::MAX_MESSAGE_BYTES,
        max_write_buffer_size: 64 * 1024,
        ..Limits::default()
    };
    let (upgrade, admission) = sockets.admit(request)?;
    Ok(upgrade.limits(limits).on_upgrade(move |socket| serve(socket, game, admission)))
}

/// Serves one WebSocket until it ends, sends something wrong, or the server stops.
async fn serve(mut socket: WebSocket, game: Game, mut admission: Admission) {
    let handle = match game.connect(Some(socket.sender()), admission.network()) {
        Ok(handle) => handle,
        Err(reason) => {
            socket.close(CloseFrame::new(CloseCode::TRY_AGAIN_LATER, reason)).await;
            return;
        }
    };
    let limit = rate_limit(Instant::now());
    loop {
        let close_frame = tokio::select! {
            message = socket.recv() => match message {
                Some(message) => match answer(&handle, &limit, &message) {
                    Ok(None) => continue,
                    // A page that asks and does not read fills the buffer, and waits here.
                    Ok(Some(answer)) => match socket.send(answer).await {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                    Err(refusal) => refusal,
                },
                None => return,
            },
            close_frame = admission.shutdown_begun() => close_frame,
        };
        handle.leave();
        socket.close(close_frame).await;
        return;
    }
}

/// Returns the answer to a message, or the Close frame for a page that does not keep to the protocol.
fn answer(
    handle: &ConnectionHandle,
    limit: &RateLimit,
    message: &Message,
) -> Result<Option<Vec<u8>>, CloseFrame> {
    let Message::Binary(bytes) = message else {
        return Err(CloseFrame::new(CloseCode::UNSUPPORTED_DATA, "the messages of the game are binary"));
    };
    let violation = |reason| CloseFrame::new(CloseCode::POLICY_VIOLATION, reason);
    if !limit.try_take(Instant::now()) {
        return Err(violation(TOO_FAST));
    }
    match Request::decode(bytes).map_err(violation)? {
        Request::Join { steers, key, name } => Ok(Some(protocol::joined(handle.join(key, name, steers)))),
        Request::Ping(any) => Ok(Some(protocol::pong(any))),
        Request::Input { number, input } => {
            handle.steer(number, input);
            Ok(None)
        }
        Request::Helm => {
            handle.take_helm();
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_rate_of_messages_of_a_connection_has_a_limit() {
        let game = Game::new(Server::builder().build().of("/game"));
        let handle = game.connect(None, None).unwrap();
        let limit = rate_limit(Instant::now());
        let ping = Message::Binary(vec![4, 0].into());
        let allowed = (0..100_000).take_while(|_| answer(&handle, &limit, &ping).is_ok()).count();
        assert!((240..100_000).contains(&allowed), "{allowed}");
    }
}
