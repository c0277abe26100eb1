//! Adds Socket.IO to the routes of an axum program: `cargo run -p tidewire --example axum`.

use axum::Router;
use axum::routing::get;
use tidewire::server::{Data, Reply, Server, State};

/// The state that the handlers share.
struct Greeting(&'static str);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init(); // turns on the log
    let io = server();
    let app = router(&io);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    // Close in the signal, not after `serve`: axum waits for open requests, and a long-polling request stays open.
    let stop = async move {
        let _ = tokio::signal::ctrl_c().await;
        io.close().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

pub(crate) fn router(io: &Server) -> Router {
    Router::new().route("/", get(async || "Socket.IO is at /socket.io/\n")).layer(io.layer())
}

pub(crate) fn server() -> Server {
    let io = Server::builder().state(Greeting("Hello")).build();
    io.on("greet", async |greeting: State<Greeting>, Data(name): Data<String>| {
        Reply(format!("{}, {name}!", greeting.0.0))
    });
    io
}
