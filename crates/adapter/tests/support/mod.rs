//! Sockets that record what they receive.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use engineio_proto::MessageEncoder;
use tidewire_adapter::{Adapter, DeliveryPolicy, EncodedEvent, JoinError, Limits, LocalSocket, SocketId};

/// An event of a socket. The log holds them in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    Received { text: String, policy: DeliveryPolicy },
    Woken,
    Disconnected { close_connection: bool },
    Refused(JoinError),
}

/// A socket that records what it receives. If it has an adapter, it removes itself from the adapter when it is woken or
/// disconnected. This works only if the adapter holds no lock then.
pub(crate) struct Probe {
    id: SocketId,
    log: Arc<Mutex<Vec<Happening>>>,
    adapter: Option<Arc<dyn Adapter>>,
    limits: Limits,
}

impl Probe {
    pub(crate) fn new(id: SocketId) -> Arc<Self> {
        Self::that_may(id, Limits::default())
    }

    pub(crate) fn that_leaves(id: SocketId, adapter: Arc<dyn Adapter>) -> Arc<Self> {
        Arc::new(Self { id, log: Arc::default(), adapter: Some(adapter), limits: Limits::default() })
    }

    pub(crate) fn that_may(id: SocketId, limits: Limits) -> Arc<Self> {
        Arc::new(Self { id, log: Arc::default(), adapter: None, limits })
    }

    pub(crate) fn take_log(&self) -> Vec<Happening> {
        std::mem::take(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        let received = |happening| match happening {
            Happening::Received { text, .. } => Some(text),
            _ => None,
        };
        self.take_log().into_iter().filter_map(received).collect()
    }
}

impl LocalSocket for Probe {
    fn id(&self) -> &SocketId {
        &self.id
    }

    fn deliver(&self, event: &EncodedEvent, policy: &DeliveryPolicy) -> Option<Waker> {
        let text = event.json().trim_start_matches("[\"").trim_end_matches("\"]").to_owned();
        let happening = Happening::Received { text, policy: policy.clone() };
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(happening);
        let adapter = self.adapter.clone()?;
        Some(Waker::from(Arc::new(Alarm { id: self.id.clone(), log: Arc::clone(&self.log), adapter })))
    }

    fn disconnect(&self, close_connection: bool) {
        let happening = Happening::Disconnected { close_connection };
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(happening);
        if let Some(adapter) = &self.adapter {
            adapter.del_all(&self.id);
        }
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn on_join_error(&self, error: JoinError) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(Happening::Refused(error));
    }
}

struct Alarm {
    id: SocketId,
    log: Arc<Mutex<Vec<Happening>>>,
    adapter: Arc<dyn Adapter>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.adapter.del_all(&self.id);
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(Happening::Woken);
    }
}

pub(crate) fn id(number: u8) -> SocketId {
    SocketId::from_random([number; 15])
}

pub(crate) fn event(name: &str) -> EncodedEvent {
    EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, name, &())
        .expect("a name can always be encoded")
}
