//! What replaces the PROXY protocol in a build without the feature `proxy-protocol`. The type has no values, so no header is
//! expected.

use std::convert::Infallible;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// The proxies whose connections begin with a header. Without the feature `proxy-protocol` there are none.
#[derive(Debug, Clone)]
pub(in crate::http) struct ProxyProtocol(Infallible);

impl ProxyProtocol {
    pub(in crate::http) async fn accept(
        &self,
        _stream: &mut TcpStream,
        _peer: SocketAddr,
    ) -> Option<Option<SocketAddr>> {
        match self.0 {}
    }
}
