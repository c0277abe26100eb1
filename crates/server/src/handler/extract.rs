//! Extractors of the server. The extractors that server and client share are in the crate `handlers`.

use std::sync::Arc;

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
        context.env().socket.auth().map(Self).map_err(|error| HandlerError::new(format!("auth {error}")))
    }
}

/// The extension of type `T` of the socket, see [`Socket::extension`]: a value that the program has stored with
/// [`Socket::set_extension`], or that a tower layer has added to the request that opened the connection
/// ([`Builder::keep_request_extension`](crate::Builder::keep_request_extension)). If there is none, the handler is not
/// called.
#[derive(Debug)]
pub struct Extension<T>(pub Arc<T>);

impl<K: HandlerKind<Side = ServerSide>, T: Send + Sync + 'static> Extract<K> for Extension<T> {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        let socket = &context.env().socket;
        socket.extension().map(Self).ok_or_else(|| {
            let name = std::any::type_name::<T>();
            // Unless the program has set `skip_middlewares: false`, no recovered socket has what a middleware stores.
            let recovered = match socket.recovered() {
                true => {
                    "; the client has recovered its session, which keeps no extensions, and for which middlewares run only with \
                     `skip_middlewares: false`"
                }
                false => "",
            };
            HandlerError::internal(format!(
                "the socket has no extension of type `{name}`: store one with `Socket::set_extension`, or name the type \
                 in `Builder::keep_request_extension` if a layer adds it to the request{recovered}"
            ))
        })
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
