//! A socket for tests that deliver nothing.

use std::task::Waker;
use std::time::Duration;

use socketio_proto::{EncodedEvent, SocketId};

use crate::local_socket::LocalSocket;
use crate::options::DeliveryPolicy;
use crate::remote_socket::RemoteSocketState;
use crate::request::AckWaiter;
use crate::room::Room;

pub(crate) struct Idle(pub(crate) SocketId);

impl LocalSocket for Idle {
    fn id(&self) -> &SocketId {
        &self.0
    }
    fn deliver(&self, _: &EncodedEvent, _: &DeliveryPolicy) -> Option<Waker> {
        None
    }
    fn deliver_with_ack(&self, _: &EncodedEvent, _: u64, _: Duration, _: AckWaiter) {}
    fn disconnect(&self, _: bool) {}
    fn state(&self, _: Vec<Room>) -> RemoteSocketState {
        panic!("no test asks for it")
    }
}
