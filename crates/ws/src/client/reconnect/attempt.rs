//! One attempt to connect, with the hooks of the program.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use http::Response;
use net::Stream;
use tower::BoxError;

use crate::client::{ConnectError, Connector};
use crate::socket::WebSocket;

/// An attempt in progress.
pub(super) type ConnectFuture = BoxFuture<Result<(WebSocket, Response<()>), ConnectError>>;

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A hook of the program, shared by all attempts.
type Hook<A, B, E> = Arc<dyn Fn(A) -> BoxFuture<Result<B, E>> + Send + Sync>;

/// The hooks that run in each attempt.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) before_connect: Option<Hook<Connector, Connector, BoxError>>,
    pub(super) connect_over: Option<Hook<(), Stream, io::Error>>,
    pub(super) on_connect: Option<Hook<WebSocket, WebSocket, BoxError>>,
}

impl Hooks {
    /// Starts an attempt. [`Connector::timeout`] limits the attempt and its hooks together.
    pub(super) fn start_attempt(&self, connector: &Connector) -> ConnectFuture {
        let (hooks, connect) = (self.clone(), connector.clone());
        Box::pin(async move { connect.with_timeout(hooks.connect(connect.clone())).await })
    }

    async fn connect(self, mut connector: Connector) -> Result<(WebSocket, Response<()>), ConnectError> {
        if let Some(before_connect) = &self.before_connect {
            connector = before_connect(connector).await.map_err(ConnectError::Hook)?;
        }
        let (mut socket, response) = match &self.connect_over {
            Some(stream) => {
                let stream = stream(()).await.map_err(|error| ConnectError::Hook(error.into()))?;
                connector.connect_over_with_response(stream).await?
            }
            None => connector.connect_with_response().await?,
        };
        if let Some(on_connect) = &self.on_connect {
            socket = on_connect(socket).await.map_err(ConnectError::Hook)?;
        }
        Ok((socket, response))
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("before_connect", &self.before_connect.is_some())
            .field("stream", &self.connect_over.is_some())
            .field("on_connect", &self.on_connect.is_some())
            .finish()
    }
}
