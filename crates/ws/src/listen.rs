//! The one-line server.

use std::io;

use tokio::net::{TcpListener, ToSocketAddrs};

use crate::server::{Handler, Server};

/// Binds `addresses` and runs `handler` for every WebSocket that connects, on whatever path. A request that is no
/// WebSocket handshake is told so.
///
/// It is [`Server`] with default settings, which has limits, subprotocols, compression, a list of origins, TLS and a clean
/// stop. Runs until it is dropped, and then leaves the connections that it has accepted to themselves.
///
/// # Errors
/// What the operating system says to the addresses, for instance that they are in use.
pub async fn listen<H, Wants>(addresses: impl ToSocketAddrs, handler: H) -> io::Result<()>
where
    H: Handler<Wants>,
{
    serve(TcpListener::bind(addresses).await?, handler).await;
    Ok(())
}

/// [`listen`], on a listener that is bound already.
pub async fn serve<H, Wants>(listener: TcpListener, handler: H)
where
    H: Handler<Wants>,
{
    Server::builder().listener(listener).serve(handler).await;
}
