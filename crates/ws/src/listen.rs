//! The one-line server.

use std::future::Future;
use std::io;

use tokio::net::{TcpListener, ToSocketAddrs};

use crate::outcome::Outcome;
use crate::server::Server;
use crate::socket::WebSocket;

/// Binds `addresses` and runs `handler` for every WebSocket that connects, on whatever path. A request that is no
/// WebSocket handshake is told so.
///
/// It is [`Server`] with default settings, which has limits, subprotocols, compression, a list of origins, TLS and a clean
/// stop. Runs until it is dropped, and then leaves the connections that it has accepted to themselves.
///
/// # Errors
/// What the operating system says to the addresses, for instance that they are in use.
pub async fn listen<F, Fut>(addresses: impl ToSocketAddrs, handler: F) -> io::Result<()>
where
    F: Fn(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    serve(TcpListener::bind(addresses).await?, handler).await;
    Ok(())
}

/// [`listen`], on a listener that is bound already.
pub async fn serve<F, Fut>(listener: TcpListener, handler: F)
where
    F: Fn(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    Server::builder().listener(listener).serve(handler).await;
}
