//! The settings of a server.

use std::fmt;

use net::{HttpLimits, ListenerSettings};

use super::handler::{Handler, boxed};
use super::{Server, ServerApplication};
use crate::engine::Engine;
use crate::options::Options;

/// Configures a [`Server`]. Settings that Node's `engine.io` has too use its names and defaults, except
/// `per_message_deflate`, with the feature `compression`. The fields of [`Options`] describe each setting in full.
#[must_use]
pub struct ServerBuilder {
    options: Options,
    listener: ListenerSettings,
    authenticates: bool,
}

impl ServerBuilder {
    pub(super) fn new() -> Self {
        Self { options: Options::default(), listener: ListenerSettings::default(), authenticates: false }
    }

    /// Creates the server, which runs `handler` for every session. It does not listen yet.
    #[must_use]
    pub fn build<H, M>(self, handler: H) -> Server
    where
        H: Handler<M>,
    {
        let Self { options, listener, authenticates } = self;
        let keeps_request = H::KEEPS_REQUEST;
        let handler = boxed(handler);
        let application = ServerApplication { handler, keeps_request, listener, authenticates };
        Server(Engine::new(options, application))
    }

    /// Sets the limits of the server's own HTTP listener, and the time that a graceful shutdown may take.
    pub fn http_limits(mut self, limits: HttpLimits) -> Self {
        self.listener.http = limits;
        self
    }

    /// Sets how many connections may wait until the server accepts them. A further client must connect again, see
    /// [`HttpLimits::backlog`]. Takes precedence over that field.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.listener.backlog = Some(connections);
        self
    }

    /// Sets the number of worker threads of the server's own listener. Each worker has a single-threaded Tokio runtime. A
    /// connection stays on one worker, with its handlers and the tasks that they spawn. A new connection goes to the
    /// worker with the fewest tasks. A session that upgrades moves to the
    /// worker of its WebSocket. Default 0: no workers; connections run on the runtime of the program.
    ///
    /// Use as many workers as there are cores, if the server must answer evenly under full load. On Tokio's
    /// multi-thread runtime a few connections then wait much longer than the others, see
    /// `docs/deployment.md` in the repository. Do not use workers if handlers
    /// block their thread: all connections of the worker wait for such a handler, and no other thread takes them over.
    /// `tokio::task::block_in_place` panics on a worker; use `spawn_blocking`.
    ///
    /// ```
    /// use std::thread::available_parallelism;
    /// use tidewire_engineio::server::Server;
    ///
    /// let cores = available_parallelism().map_or(1, |cores| cores.get());
    /// let builder = Server::builder().workers(cores);
    /// # drop(builder);
    /// ```
    pub fn workers(mut self, count: usize) -> Self {
        self.listener.workers = count;
        self
    }

    /// Serves only TLS on the server's own listener. Default: no TLS. It has no effect in another HTTP server.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: net::ServerTls) -> Self {
        self.listener.tls = Some(tls);
        self
    }

    /// Sets whether each connection begins with a header of the PROXY protocol, version 1 or 2, in which a proxy reports
    /// the address of its client. Connections that do not come from [`trusted_proxies`](Self::trusted_proxies) are then
    /// closed; without trusted proxies, that is every connection. Default false. Has no effect in another HTTP server.
    #[cfg(feature = "proxy-protocol")]
    pub fn proxy_protocol(mut self, expected: bool) -> Self {
        self.listener.proxy_protocol = expected;
        self
    }

    /// Replaces all settings of the engine, those that were set before too.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Sets whether clients of revision 3 of the protocol (`engine.io-client` 3 and older) may connect, also with JSONP.
    /// Default false. [`Options::allow_eio3`] names the risks of JSONP.
    pub fn allow_eio3(mut self, allowed: bool) -> Self {
        self.options.allow_eio3 = allowed;
        self
    }

    /// Sets whether clients authenticate themselves after their session has opened. A session then counts for
    /// [`AddressLimits::max_unauthenticated`](net::AddressLimits::max_unauthenticated) until the program calls
    /// [`Sender::set_authenticated`](super::Sender::set_authenticated). Otherwise that limit has no effect, and
    /// [`max_unauthenticated_per_connection`](net::AddressLimits::max_unauthenticated_per_connection) limits all
    /// sessions that one connection has open. Default false.
    pub fn authenticates(mut self, authenticates: bool) -> Self {
        self.authenticates = authenticates;
        self
    }

    crate::engine_setters!("/engine.io", "tidewire_engineio", "tidewire_engineio::server::Server");
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("options", &self.options)
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}
