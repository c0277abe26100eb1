//! Tidewire as programs use it: `ours ADDRESS [WORKERS]`. Raw echo on `/ws`, and Socket.IO beside it.
//!
//! Without a number of workers it is Tokio's default runtime; 0 is its runtime of one thread.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use tidewire::ws::{self, WebSocket};
use tidewire::{Data, Reply, Server, Socket};
use tokio::runtime::Builder;

fn main() -> anyhow::Result<()> {
    tidewire_bench::host::raise_descriptor_limit()?;
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let mut runtime = match arguments.next().map(|workers| workers.parse()).transpose()? {
        Some(0) => Builder::new_current_thread(),
        Some(workers) => {
            let mut runtime = Builder::new_multi_thread();
            runtime.worker_threads(workers);
            runtime
        }
        None => Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(serve(&address))?;
    Ok(())
}

async fn serve(address: &str) -> std::io::Result<()> {
    // The workload with messages of 1 MiB needs more than the default of 1 MB.
    let io = Server::builder().max_http_buffer_size(2 << 20).build();
    io.on("echo", async |socket: Socket, Data(text): Data<String>| socket.emit("echo", text));
    io.on("ack", async |Data(text): Data<String>| Reply(text));
    io.on("join", async |socket: Socket| socket.join("room").await);
    io.on("broadcast", async |io: Server, Data(text): Data<String>| io.to("room").emit("broadcast", text));
    let router = Router::new().route("/ws", any(upgrade)).layer(io.layer());
    let listener = io.bind(address).await?;
    listener.serve(router, std::future::pending()).await;
    Ok(())
}

async fn upgrade(mut request: Request) -> Response {
    match ws::upgrade(&mut request) {
        Ok(upgrade) => upgrade.on_connect(echo).map(|()| Body::empty()),
        Err(error) => error.response().map(Body::from),
    }
}

async fn echo(mut socket: WebSocket) -> Result<(), ws::SendError> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}
