//! A server that serves streams in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use server::{HttpService, Incoming, PeerAddress};
use tokio::io::DuplexStream;
use tower::ServiceExt;

/// The address that the server sees. Programs may expect one.
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Serves HTTP on a stream, in a task of its own.
pub(crate) type Serve = Arc<dyn Fn(DuplexStream) + Send + Sync>;

/// Serves streams with a tower service.
pub(crate) fn serve(service: impl HttpService) -> Serve {
    // A service need not be `Sync`.
    let service = Mutex::new(service);
    Arc::new(move |stream: DuplexStream| {
        let service = service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let service = service.map_request(|mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddress(CLIENT));
            request
        });
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades();
        // The client notices how it ends.
        tokio::spawn(async move { drop(connection.await) });
    })
}
