//! A REST API beside the sockets, for programs that have no socket: `cargo run -p tidewire --example rest`.
//!
//! A message to all in a room, and who is there:
//!
//! ```sh
//! curl -H 'authorization: Bearer secret' --json '{"text": "hello"}' localhost:3000/rooms/general/messages
//! curl -H 'authorization: Bearer secret' localhost:3000/rooms/general
//! ```
//!
//! In a cluster, both work on every server.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tidewire::server::{Data, HandlerError, Server, Socket};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let io = server();
    let key = std::env::var("API_KEY").unwrap_or_else(|_| "secret".to_owned());
    let app = router(&io, key);
    let listener = io.bind("127.0.0.1:3000").await?;
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    // Tidewire's own listener serves the router: it gives handlers the address of the client.
    io.serve_with(listener, app, stop).await;
    Ok(())
}

/// The data of each socket. The other servers of a cluster can read it, unlike an extension.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Member {
    name: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    text: String,
}

/// Who is in a room.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Members {
    names: Vec<String>,
    /// Whether all servers of the cluster have responded. If not, some names may be missing.
    complete: bool,
}

fn server() -> Server {
    let io = Server::new();
    io.on("join", async |socket: Socket, Data((room, name)): Data<(String, String)>| {
        socket.set_data(Member { name })?;
        socket.join(room_name(&room)).await?;
        Ok::<_, HandlerError>(())
    });
    io
}

/// Without the prefix, the id of a socket would be a room as well, and the API could send to single sockets.
fn room_name(room: &str) -> String {
    format!("room:{room}")
}

fn router(io: &Server, key: String) -> Router {
    Router::new()
        .route("/rooms/{room}/messages", post(send))
        .route("/rooms/{room}", get(members))
        // Only the routes above need the key. The layer of Socket.IO comes after it, so its requests do not pass here.
        .layer(from_fn_with_state(key, check_key))
        .with_state(io.clone())
        .layer(io.layer())
}

/// Any program that reaches the port can send a request, so the API needs a key.
async fn check_key(State(key): State<String>, request: Request, next: Next) -> Result<Response, StatusCode> {
    let sent =
        request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if sent.is_some_and(|sent| same_key(sent, key.as_bytes())) {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}

/// Reads both to their ends. With `==`, the time of a refusal would tell how many bytes at the beginning are right.
fn same_key(sent: &[u8], key: &[u8]) -> bool {
    sent.len() == key.len() && sent.iter().zip(key).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

/// The status is 202: the event is on its way, and nobody has confirmed it. Where that matters, use `emit_with_ack`.
async fn send(
    State(io): State<Server>,
    Path(room): Path<String>,
    Json(message): Json<Message>,
) -> StatusCode {
    io.to(room_name(&room)).emit("message", message);
    StatusCode::ACCEPTED
}

async fn members(State(io): State<Server>, Path(room): Path<String>) -> Json<Members> {
    // Asks all servers of a cluster. `sockets` would return those of this server, without waiting.
    let (sockets, complete) = match io.to(room_name(&room)).fetch_sockets().await {
        Ok(sockets) => (sockets, true),
        Err(incomplete) => (incomplete.sockets, false),
    };
    let mut names: Vec<_> =
        sockets.iter().filter_map(|socket| socket.data::<Member>().ok()).map(|member| member.name).collect();
    names.sort();
    // A user with two tabs has two sockets.
    names.dedup();
    Json(Members { names, complete })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::header::CONTENT_TYPE;
    use tidewire::testing;
    use tower::ServiceExt;

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// Sends a request through the router: no port, and the same layers as in the program.
    async fn request(
        app: &Router,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Response, Box<dyn std::error::Error>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, "Bearer key")
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))?;
        Ok(app.clone().oneshot(request).await?)
    }

    async fn members(app: &Router, room: &str) -> Result<Members, Box<dyn std::error::Error>> {
        let response = request(app, "GET", &format!("/rooms/{room}"), "").await?;
        Ok(serde_json::from_slice(&to_bytes(response.into_body(), 10_000).await?)?)
    }

    #[tokio::test]
    async fn a_request_reaches_the_sockets_of_its_room() -> Tested {
        let io = server();
        let app = router(&io, "key".to_owned());
        let mut ann = testing::Client::builder(&io).service(app.clone()).connect().await?;
        let mut bob = testing::connect(&io).await?;
        ann.emit_with_ack::<()>("join", ("general", "Ann")).await?;
        bob.emit_with_ack::<()>("join", ("random", "Bob")).await?;
        let sent = request(&app, "POST", "/rooms/general/messages", r#"{"text": "hello"}"#).await?;
        assert_eq!(sent.status(), StatusCode::ACCEPTED);
        assert_eq!(ann.recv::<Message>("message").await?, Message { text: "hello".to_owned() });
        bob.expect_nothing().await?;
        Ok(())
    }

    #[tokio::test]
    async fn the_members_of_a_room_are_those_who_are_connected() -> Tested {
        let io = server();
        let app = router(&io, "key".to_owned());
        let mut clients = Vec::new();
        for name in ["Bob", "Ann", "Ann"] {
            let mut client = testing::connect(&io).await?;
            client.emit_with_ack::<()>("join", ("general", name)).await?;
            clients.push(client);
        }
        let names = vec!["Ann".to_owned(), "Bob".to_owned()];
        assert_eq!(members(&app, "general").await?, Members { names, complete: true });
        clients[0].disconnect().await?;
        let names = vec!["Ann".to_owned()];
        assert_eq!(members(&app, "general").await?, Members { names, complete: true });
        assert_eq!(members(&app, clients[1].id().as_str()).await?.names, Vec::<String>::new());
        Ok(())
    }

    #[tokio::test]
    async fn a_request_without_the_key_is_refused() -> Tested {
        let app = router(&server(), "another key".to_owned());
        let refused = request(&app, "GET", "/rooms/general", "").await?;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        Ok(())
    }
}
