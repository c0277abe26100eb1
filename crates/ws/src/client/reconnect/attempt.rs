//! One attempt to connect, with what the program adds to it.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use http::Response;
use net::Stream;

use crate::client::{Connect, ConnectError};
use crate::socket::WebSocket;

/// An attempt that is under way.
pub(super) type Attempt = BoxFuture<Result<(WebSocket, Response<()>), ConnectError>>;

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

type BoxError = Box<dyn Error + Send + Sync>;

/// A function of the program, shared by all attempts.
type Hook<A, B, E> = Arc<dyn Fn(A) -> BoxFuture<Result<B, E>> + Send + Sync>;

/// What the program does in each attempt.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) before_connect: Option<Hook<Connect, Connect, BoxError>>,
    pub(super) stream: Option<Hook<(), Stream, io::Error>>,
    pub(super) on_connect: Option<Hook<WebSocket, WebSocket, BoxError>>,
}

impl Hooks {
    /// All of it takes no longer than [`Connect::timeout`] says.
    pub(super) fn attempt(&self, connect: &Connect) -> Attempt {
        let (hooks, connect) = (self.clone(), connect.clone());
        Box::pin(async move { connect.in_time(hooks.connect(connect.clone())).await })
    }

    async fn connect(self, mut connect: Connect) -> Result<(WebSocket, Response<()>), ConnectError> {
        if let Some(before_connect) = &self.before_connect {
            connect = before_connect(connect).await.map_err(ConnectError::Program)?;
        }
        let (mut socket, response) = match &self.stream {
            Some(stream) => {
                let stream = stream(()).await.map_err(|error| ConnectError::Program(error.into()))?;
                connect.connect_over_with_response(stream).await?
            }
            None => connect.connect_with_response().await?,
        };
        if let Some(on_connect) = &self.on_connect {
            socket = on_connect(socket).await.map_err(ConnectError::Program)?;
        }
        Ok((socket, response))
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("before_connect", &self.before_connect.is_some())
            .field("stream", &self.stream.is_some())
            .field("on_connect", &self.on_connect.is_some())
            .finish()
    }
}
