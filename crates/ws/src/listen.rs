//! A WebSocket server for programs that have no HTTP server.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;

use hyper::body::Incoming;
use net::{HttpLimits, Listener};
use tokio::net::{TcpListener, ToSocketAddrs};
use tower::service_fn;

use crate::outcome::Outcome;
use crate::socket::WebSocket;
use crate::upgrade::upgrade;

/// Binds `addresses` and runs `handler` for every WebSocket that connects, on whatever path. A request that is no
/// WebSocket handshake is told so.
///
/// For paths, subprotocols, limits or a check of the origin, mount [`upgrade`] in an HTTP server. Runs until it is
/// dropped, and then leaves the connections that it has accepted to themselves.
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
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let handler = handler.clone();
        async move {
            Ok::<_, Infallible>(match upgrade(&mut request) {
                Ok(upgrade) => upgrade.on_connect(handler),
                Err(error) => error.response(),
            })
        }
    });
    Listener::from_tcp(listener, HttpLimits::default()).serve(service, pending()).await;
}
