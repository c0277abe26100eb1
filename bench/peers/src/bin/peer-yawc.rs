//! Raw echo with yawc on hyper. `peer-yawc ADDRESS deflate` compresses if clients offer it.

use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use yawc::{CompressionLevel, OpCode, Options, WebSocket};

fn main() -> Result<()> {
    tidewire_bench_peers::run(async |listener| {
        tidewire_bench_peers::accept(listener, async |stream| {
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(handshake))
                .with_upgrades()
                .await?;
            Ok(())
        })
        .await
    })
}

async fn handshake(mut request: Request<Incoming>) -> yawc::Result<Response<Empty<Bytes>>> {
    let options = Options::default().with_max_payload_read(2 << 20);
    let options = if tidewire_bench_peers::deflates() {
        options.with_compression_level(CompressionLevel::default())
    } else {
        options.without_compression()
    };
    let (response, upgrade) = WebSocket::upgrade_with_options(&mut request, options)?;
    tokio::spawn(async move {
        let mut socket = upgrade.await?;
        while let Some(frame) = socket.next().await {
            if matches!(frame.opcode(), OpCode::Text | OpCode::Binary) {
                socket.send(frame).await?;
            }
        }
        yawc::Result::Ok(())
    });
    Ok(response)
}
