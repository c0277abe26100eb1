//! Code shared by the peers: one thread, as many connections as the system allows, the accept loop, and the dialogue of
//! clients.

use std::future::Future;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tidewire_bench::load::Dialogue;
use tokio::net::{TcpListener, TcpStream};

/// Returns the address on the command line, and a single-threaded runtime to serve it.
pub fn run<Fut: Future<Output = Result<()>>>(serve: impl FnOnce(TcpListener) -> Fut) -> Result<()> {
    tidewire_bench::host::raise_descriptor_limit()?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { serve(TcpListener::bind(address).await?).await })
}

/// Runs `serve` in a new task for every connection.
pub async fn accept<Fut>(listener: TcpListener, serve: impl Fn(TcpStream) -> Fut) -> Result<()>
where
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}

/// Returns whether the command line requests compression.
pub fn deflates() -> bool {
    std::env::args().nth(2).is_some_and(|word| word == "deflate")
}

/// Opens the stream of a client.
pub async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Runs a dialogue on a WebSocket that is a stream and a sink. As these libraries recommend for speed, it feeds all
/// messages that are ready, and flushes when no more responses have arrived.
pub async fn talk<S, Message, Error>(
    mut socket: S,
    mut dialogue: Dialogue,
    message: impl Fn(&str) -> Message,
    payload: impl Fn(&Message) -> &[u8],
) -> Result<()>
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin,
    Error: std::error::Error + Send + Sync + 'static,
{
    loop {
        while let Some(text) = dialogue.next_message() {
            socket.feed(message(text)).await?;
        }
        socket.flush().await?;
        if !dialogue.awaits_answer() {
            return Ok(());
        }
        let mut answer = Some(socket.next().await);
        while let Some(came) = answer {
            dialogue.take_answer(payload(&came.context("the server has closed")??));
            answer = if dialogue.awaits_answer() { socket.next().now_or_never() } else { None };
        }
    }
}
