//! Socket.IO beside the routes of an axum program: `cargo run -p tidewire --example axum`.

use axum::Router;
use axum::routing::get;
use tidewire::{Data, Reply, Server, State};

/// What handlers share.
struct Greeting(&'static str);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, router()).await
}

pub(crate) fn router() -> Router {
    let io = Server::builder().state(Greeting("Hello")).build();
    io.on("greet", async |greeting: State<Greeting>, Data(name): Data<String>| {
        Reply(format!("{}, {name}!", greeting.0.0))
    });
    Router::new().route("/", get(async || "Socket.IO is at /socket.io/\n")).layer(io.layer())
}
