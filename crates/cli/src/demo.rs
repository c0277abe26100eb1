//! The pages of the binary, and the namespaces that they use. `--no-demo` serves none of it.

mod chat;
mod connection_limits;
mod figures;
mod files;
mod game;
mod home;
mod playground;
mod random;
mod rate_limit;
mod text;
mod tracking;

use std::time::{Duration, Instant};

use axum::Router;
use tidewire::server::{AddressLimits, Builder, ConnectionStateRecovery, HandlerError, Server, Socket};

pub(crate) use connection_limits::add_to as add_limits_to;
pub(crate) use figures::Figures;
use rate_limit::RateLimit;

use crate::web_sockets::WebSockets;

/// What the pages need on top of the options of the binary. The figures begin to count. The requests must have gone through
/// [`add_limits_to`]. `can_recover` says whether the adapter supports connection state recovery.
pub(crate) fn configure(
    builder: Builder,
    figures: &Figures,
    address_limits: &AddressLimits,
    can_recover: bool,
) -> Builder {
    let builder = connection_limits::configure(builder, address_limits);
    let builder = tracking::configure(chat::configure(builder));
    let builder = builder.observer(figures.observer());
    let failures = RateLimit::new(10, Duration::from_secs(1), Instant::now());
    let builder = builder.on_error(move |error, socket, event| log_error(error, socket, event, &failures));
    if !can_recover {
        tracing::info!("connection state recovery is off: the adapter of the cluster does not support it");
        return builder;
    }
    // Only where the pages show it: elsewhere, clients would see one more argument in each event.
    builder.connection_state_recovery(ConnectionStateRecovery {
        namespaces: Some(vec!["/chat".into(), "/tracking".into()]),
        max_disconnection_duration: Duration::from_secs(60),
        max_log_bytes: 8 * 1024 * 1024,
        max_sessions: 20_000,
        max_session_bytes: 8 * 1024 * 1024,
        ..ConnectionStateRecovery::default()
    })
}

/// Registers the handlers of the pages and returns their routes. Those of raw WebSockets use `sockets`.
pub(crate) fn register(io: &Server, figures: Figures, sockets: &WebSockets) -> Router {
    home::register(io, figures);
    chat::register(io);
    tracking::register(io);
    let game = game::register(io, sockets);
    playground::register(io);
    files::router().merge(game)
}

/// A handler that refuses has answered the visitor, as it should. A failure has a cause, which the visitor does not get.
fn log_error(error: &HandlerError, socket: &Socket, event: Option<&str>, failures: &RateLimit) {
    let namespace = socket.namespace();
    let namespace = namespace.name();
    if error.source().is_none() {
        tracing::debug!(namespace, event, reason = error.message(), "an event was refused");
    } else if failures.try_take(Instant::now()) {
        tracing::warn!(namespace, event, %error, "a handler failed");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Weak};

    use tidewire::server::adapter::{Adapter, Host, InMemoryAdapter, RecoveryOptions};
    use tokio_util::task::TaskTracker;

    use super::*;

    /// An adapter without recovery, which counts how often it is asked for it.
    #[derive(Default)]
    struct WithoutRecovery {
        local: InMemoryAdapter,
        asked: Arc<AtomicUsize>,
    }

    impl Adapter for WithoutRecovery {
        fn local(&self) -> &InMemoryAdapter {
            &self.local
        }

        fn enable_recovery(&self, _: RecoveryOptions, _: Weak<dyn Host>) -> bool {
            self.asked.fetch_add(1, Ordering::Relaxed);
            false
        }
    }

    #[tokio::test]
    async fn the_pages_ask_for_recovery_only_where_the_adapter_supports_it() {
        for can_recover in [true, false] {
            let asked = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&asked);
            let builder = Server::builder().adapter(move |_: &str, _: Weak<dyn Host>| -> Arc<dyn Adapter> {
                Arc::new(WithoutRecovery { asked: Arc::clone(&counter), ..WithoutRecovery::default() })
            });
            let figures = Figures::new(TaskTracker::new());
            let io = configure(builder, &figures, &AddressLimits::default(), can_recover).build();
            for name in ["/", "/chat", "/tracking"] {
                let _ = io.of(name);
            }
            assert_eq!(asked.load(Ordering::Relaxed), if can_recover { 2 } else { 0 });
        }
    }
}
