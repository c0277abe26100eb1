//! A client of raw echo with fastwebsockets.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, handshake};
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper_util::rt::TokioExecutor;
use tidewire_bench::load::{Dialogue, run_client};
use tidewire_bench_peers::connect;

fn main() -> Result<()> {
    run_client(talk)
}

async fn talk(address: SocketAddr, mut dialogue: Dialogue) -> Result<()> {
    let request = Request::get(format!("http://{address}/ws"))
        .header(HOST, address.to_string())
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header("Sec-WebSocket-Key", handshake::generate_key())
        .header("Sec-WebSocket-Version", "13")
        .body(Empty::<Bytes>::new())?;
    let (socket, _) = handshake::client(&TokioExecutor::new(), request, connect(address).await?).await?;
    let mut socket = FragmentCollector::new(socket);
    // The library has no write buffer to flush: each frame is one write.
    loop {
        while let Some(text) = dialogue.next_message() {
            socket.write_frame(Frame::text(text.as_bytes().to_vec().into())).await?;
        }
        if !dialogue.awaits_answer() {
            return Ok(());
        }
        dialogue.take_answer(&socket.read_frame().await?.payload);
    }
}
