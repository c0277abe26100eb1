//! Extractors of the server. The extractors that server and client share are in the crate `handlers`.

use handlers::{Extract, HandlerError, HandlerKind};
use serde::de::DeserializeOwned;
use socketio_proto::server::DisconnectReason;

use super::{Context, OnDisconnect, ServerSide};
use crate::namespace::Namespace;
use crate::server::Server;
use crate::socket::Socket;

impl<K: HandlerKind<Side = ServerSide>> Extract<K> for Socket {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(context.env().socket.clone())
    }
}

impl<K: HandlerKind<Side = ServerSide>> Extract<K> for Server {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(context.env().server.clone())
    }
}

impl<K: HandlerKind<Side = ServerSide>> Extract<K> for Namespace {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(context.env().socket.namespace().clone())
    }
}

/// The client's auth payload (the `auth` option of the JavaScript client), deserialized as `T`. It is `{}` if the
/// client sent none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<T>(pub T);

impl<K: HandlerKind<Side = ServerSide>, T: DeserializeOwned> Extract<K> for Auth<T> {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        context.env().socket.auth().map(Self).map_err(|error| HandlerError::new(error.to_string()))
    }
}

impl Extract<OnDisconnect> for DisconnectReason {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(context.env().disconnect.map_or(Self::ForcedClose, |disconnect| disconnect.reason))
    }
}

/// The number of events that were received but dropped, because the socket was disconnected before their handlers
/// started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedEvents(pub usize);

impl Extract<OnDisconnect> for DroppedEvents {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Ok(Self(context.env().disconnect.map_or(0, |disconnect| disconnect.dropped)))
    }
}
