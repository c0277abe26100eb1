//! A server on the crate socketioxide, with a part of what `conformance/node/reference-server.js` does:
//! `tidewire-conformance-socketioxide --listen ADDRESS`.
#![allow(clippy::print_stdout, reason = "the tests read the address")]

use axum::Router;
use rmpv::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().skip_while(|word| word != "--listen").nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", on_connect);
    io.ns("/custom", on_connect);
    io.ns("/admin", on_connect.with(check));
    println!("listening on http://{}", listener.local_addr()?);
    let mut stop = signal(SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, Router::new().layer(layer)) => served,
        _ = stop.recv() => Ok(()),
    }
}

/// Accepts the token `secret`.
async fn check(Data(auth): Data<Option<serde_json::Value>>) -> Result<(), &'static str> {
    match auth {
        Some(auth) if auth["token"] == "secret" => Ok(()),
        _ => Err("not authorized"),
    }
}

async fn on_connect(socket: SocketRef) {
    socket.on("echo", async |socket: SocketRef, Data::<Value>(value)| {
        let _ = socket.emit("echo-back", &value);
    });
    socket.on("echo-ack", async |Data::<Value>(value), ack: AckSender| {
        let _ = ack.send(&value);
    });
    socket.on("ask", async |socket: SocketRef, Data::<Value>(value)| {
        if let Ok(answer) = socket.emit_with_ack::<_, Value>("question", &value)
            && let Ok(answer) = answer.await
        {
            let _ = socket.emit("answered", &answer);
        }
    });
    socket.on("kick", async |socket: SocketRef| {
        let _ = socket.disconnect();
    });
}
