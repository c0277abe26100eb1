//! Extractors of the client. The extractors that server and client share are in the crate `handlers`.

use handlers::{Extract, HandlerError, HandlerKind};
use socketio_proto::client::DisconnectReason;

use super::{ClientSide, Context, Lifecycle, OnConnectError, OnDisconnect};
use crate::client::Client;
use crate::error::ConnectError;
use crate::socket::Socket;

impl<K: HandlerKind<Side = ClientSide>> Extract<K> for Socket {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        Socket::from_inner(context.env().inner()).ok_or_else(|| HandlerError::new("the client was dropped"))
    }
}

impl<K: HandlerKind<Side = ClientSide>> Extract<K> for Client {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        let socket = Socket::from_inner(context.env().inner());
        Ok(socket.ok_or_else(|| HandlerError::new("the client was dropped"))?.client())
    }
}

impl Extract<OnDisconnect> for DisconnectReason {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        match context.env().lifecycle {
            Some(Lifecycle::Disconnect { reason, .. }) => Ok(*reason),
            _ => Ok(DisconnectReason::ForcedClose),
        }
    }
}

/// The number of events that were received but dropped, because the program disconnected the socket before their
/// handlers started. Other disconnects drop no events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedEvents(pub usize);

impl Extract<OnDisconnect> for DroppedEvents {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        match context.env().lifecycle {
            Some(Lifecycle::Disconnect { dropped, .. }) => Ok(Self(*dropped)),
            _ => Ok(Self(0)),
        }
    }
}

impl Extract<OnConnectError> for ConnectError {
    fn extract(context: &mut Context<'_>) -> Result<Self, HandlerError> {
        match context.env().lifecycle {
            Some(Lifecycle::ConnectError(error)) => Ok(error.clone()),
            _ => Err(HandlerError::new("this handler was called without an error")),
        }
    }
}
