//! What the peers share: one thread, as many connections as the system allows, and the accept loop.

use std::future::Future;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};

/// The address on the command line, and a runtime of one thread to serve it.
pub fn run<Fut: Future<Output = Result<()>>>(serve: impl FnOnce(TcpListener) -> Fut) -> Result<()> {
    tidewire_bench::host::raise_descriptor_limit()?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { serve(TcpListener::bind(address).await?).await })
}

/// Runs `serve` in a task for every connection.
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

/// Whether the command line asks for compression.
pub fn deflates() -> bool {
    std::env::args().nth(2).is_some_and(|word| word == "deflate")
}
