//! Sockets and namespaces that record what happens to them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use engineio_proto::MessageEncoder;
use socketio_proto::{Arguments, Decoder, EncodedEvent, Packet, SocketId};
use ws_proto::Time;

use crate::adapter::Adapter;
use crate::cluster::{Message, PublishError};
use crate::host::{Host, LinkChange, ServerSideResponder};
use crate::limits::{JoinError, Limits};
use crate::local_socket::LocalSocket;
use crate::options::DeliveryPolicy;
use crate::remote_socket::RemoteSocketState;
use crate::request::{AckWaiter, MissingReason};
use crate::room::Room;

/// Something that happened to a [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It received an event. `text` is the JSON list without its brackets and outer quotes.
    Received {
        /// The event.
        text: String,
        /// What happens to the event if the connection is behind.
        policy: DeliveryPolicy,
    },
    /// Its waker was called.
    Woken,
    /// It was disconnected.
    Disconnected {
        /// Whether its connection was closed too.
        close_connection: bool,
    },
    /// It could not join a room.
    Refused(JoinError),
}

/// A socket that records what it receives. If it has an adapter, it removes itself from the adapter when it is woken or
/// disconnected. This works only if the adapter holds no lock then.
pub struct Probe {
    id: SocketId,
    log: Arc<Mutex<Vec<Happening>>>,
    acks: Mutex<Vec<(String, Duration, AckWaiter)>>,
    adapter: Option<Arc<dyn Adapter>>,
    limits: Limits,
    generation: AtomicU64,
}

impl Probe {
    /// Creates a socket with the default limits.
    #[must_use]
    pub fn new(id: SocketId) -> Arc<Self> {
        Self::that_may(id, Limits::default())
    }

    /// Creates a socket that removes itself from the adapter when it is woken or disconnected.
    #[must_use]
    pub fn that_leaves(id: SocketId, adapter: Arc<dyn Adapter>) -> Arc<Self> {
        Arc::new(Self { adapter: Some(adapter), ..Self::with_limits(id, Limits::default()) })
    }

    /// Creates a socket with these limits.
    #[must_use]
    pub fn that_may(id: SocketId, limits: Limits) -> Arc<Self> {
        Arc::new(Self::with_limits(id, limits))
    }

    fn with_limits(id: SocketId, limits: Limits) -> Self {
        Self {
            id,
            log: Arc::default(),
            acks: Mutex::default(),
            adapter: None,
            limits,
            generation: AtomicU64::new(0),
        }
    }

    /// Returns the generation of its session, see [`LocalSocket::accept`]. 0 before it was accepted.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Takes what has happened since the last call.
    #[must_use]
    pub fn take_log(&self) -> Vec<Happening> {
        std::mem::take(&mut lock(&self.log))
    }

    /// Takes the events that were received since the last call. Everything else that has happened is forgotten.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let received = |happening| match happening {
            Happening::Received { text, .. } => Some(text),
            _ => None,
        };
        self.take_log().into_iter().filter_map(received).collect()
    }

    /// Returns the packets of the received events that request an acknowledgement and have none.
    #[must_use]
    pub fn packets_with_ack(&self) -> Vec<String> {
        lock(&self.acks).iter().map(|(packet, ..)| packet.clone()).collect()
    }

    /// Returns how long the socket may take for each of these acknowledgements.
    #[must_use]
    pub fn ack_timeouts(&self) -> Vec<Duration> {
        lock(&self.acks).iter().map(|(_, timeout, _)| *timeout).collect()
    }

    /// Acknowledges the oldest event that requests it, with arguments as a JSON list.
    ///
    /// # Panics
    /// Panics if there is no such event.
    pub fn acknowledge(&self, arguments: &str) {
        let arguments = ack_arguments(arguments);
        self.take_waiter().acknowledge(arguments);
    }

    /// Fails to acknowledge the oldest event that requests it. The reason `Disconnected` drops the waiter.
    ///
    /// # Panics
    /// Panics if there is no such event.
    pub fn fail_ack(&self, reason: MissingReason) {
        let waiter = self.take_waiter();
        if reason != MissingReason::Disconnected {
            waiter.fail(reason);
        }
    }

    fn take_waiter(&self) -> AckWaiter {
        lock(&self.acks).remove(0).2
    }
}

impl LocalSocket for Probe {
    fn id(&self) -> &SocketId {
        &self.id
    }

    fn deliver(&self, event: &EncodedEvent, policy: &DeliveryPolicy) -> Option<Waker> {
        let text = event.json().trim_start_matches("[\"").trim_end_matches("\"]").to_owned();
        lock(&self.log).push(Happening::Received { text, policy: policy.clone() });
        let adapter = self.adapter.clone()?;
        Some(Waker::from(Arc::new(Alarm { id: self.id.clone(), log: Arc::clone(&self.log), adapter })))
    }

    fn accept(&self, missed: &[EncodedEvent], generation: u64) -> Option<Waker> {
        self.generation.store(generation, Ordering::Relaxed);
        missed.iter().fold(None, |waker, event| waker.or(self.deliver(event, &DeliveryPolicy::Queue)))
    }

    fn deliver_with_ack(&self, event: &EncodedEvent, ack_id: u64, timeout: Duration, waiter: AckWaiter) {
        let packet = event.message().text().to_owned();
        assert!(packet.starts_with(&format!("2{ack_id}[")), "the event has another id: {packet}");
        lock(&self.acks).push((packet, timeout, waiter));
    }

    fn disconnect(&self, close_connection: bool) {
        lock(&self.log).push(Happening::Disconnected { close_connection });
        if let Some(adapter) = &self.adapter {
            adapter.del_all(&self.id);
        }
    }

    fn state(&self, rooms: Vec<Room>) -> RemoteSocketState {
        RemoteSocketState::new(&self.id, r#"{"url":"/"}"#.into(), rooms, ack_arguments("[7]"))
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn on_join_error(&self, error: JoinError) {
        lock(&self.log).push(Happening::Refused(error));
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("id", &self.id).finish_non_exhaustive()
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
        lock(&self.log).push(Happening::Woken);
    }
}

/// A namespace that records what its adapter reports.
#[derive(Default)]
pub struct TestHost {
    next_ack_id: AtomicU64,
    events: Mutex<Vec<ServerSideEvent>>,
    links: Mutex<Vec<LinkChange>>,
    publish_errors: Mutex<Vec<(Message, PublishError)>>,
    now: Mutex<Time>,
    timers: AtomicU64,
}

/// An event of another server, as a [`TestHost`] records it.
#[derive(Debug)]
pub struct ServerSideEvent {
    /// The event as a JSON list.
    pub json: String,
    /// Sends the response, if the other server waits for one.
    pub responder: Option<ServerSideResponder>,
}

impl ServerSideEvent {
    /// Responds with arguments as a JSON list.
    ///
    /// # Panics
    /// Panics if the other server does not wait for a response.
    pub fn respond(self, arguments: &str) {
        self.responder.expect("the other server waits").respond(ack_arguments(arguments));
    }
}

impl TestHost {
    /// Sets the time that its adapter sees.
    pub fn set_now(&self, now: Time) {
        *lock(&self.now) = now;
    }

    /// Returns how often the adapter has asked for a timer.
    #[must_use]
    pub fn timers(&self) -> u64 {
        self.timers.load(Ordering::Relaxed)
    }

    /// Creates a namespace. Its first acknowledgement id is `first_ack_id`.
    #[must_use]
    pub fn new(first_ack_id: u64) -> Arc<Self> {
        Arc::new(Self { next_ack_id: AtomicU64::new(first_ack_id), ..Self::default() })
    }

    /// Takes the server-side events.
    #[must_use]
    pub fn take_events(&self) -> Vec<ServerSideEvent> {
        std::mem::take(&mut lock(&self.events))
    }

    /// Takes the changes of the link.
    #[must_use]
    pub fn take_links(&self) -> Vec<LinkChange> {
        std::mem::take(&mut lock(&self.links))
    }

    /// Takes the messages that other servers do not get.
    #[must_use]
    pub fn take_publish_errors(&self) -> Vec<(Message, PublishError)> {
        std::mem::take(&mut lock(&self.publish_errors))
    }
}

impl Host for TestHost {
    fn next_ack_id(&self) -> u64 {
        self.next_ack_id.fetch_add(1, Ordering::Relaxed)
    }

    fn on_server_side_emit(self: Arc<Self>, event: &EncodedEvent, responder: Option<ServerSideResponder>) {
        lock(&self.events).push(ServerSideEvent { json: event.json().to_owned(), responder });
    }

    fn on_link(&self, change: LinkChange) {
        lock(&self.links).push(change);
    }

    fn on_publish_error(&self, message: &Message, error: &PublishError) {
        lock(&self.publish_errors).push((message.clone(), error.clone()));
    }

    fn now(&self) -> Time {
        *lock(&self.now)
    }

    fn start_recovery_timer(self: Arc<Self>) -> bool {
        self.timers.fetch_add(1, Ordering::Relaxed);
        true
    }
}

impl fmt::Debug for TestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHost").finish_non_exhaustive()
    }
}

/// Returns the id of the socket with this number.
#[must_use]
pub fn id(number: u8) -> SocketId {
    SocketId::from_random([number; 15])
}

/// Encodes an event without arguments in the namespace `/`.
///
/// # Panics
/// Panics if the name is reserved.
#[must_use]
pub fn event(name: &str) -> EncodedEvent {
    EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, name, &()).expect("the name is not reserved")
}

/// Encodes an event without arguments that requests an acknowledgement.
///
/// # Panics
/// Panics if the name is reserved.
#[must_use]
pub fn event_with_ack(name: &str, ack_id: u64) -> EncodedEvent {
    EncodedEvent::encode(&mut MessageEncoder::new(), "/", Some(ack_id), name, &())
        .expect("the name is not reserved")
}

/// Parses a JSON list.
fn ack_arguments(list: &str) -> Arguments<'static> {
    let packet = format!("30{list}");
    match Decoder::new(&Default::default()).decode_text(&packet) {
        Ok(Some(Packet::Ack { arguments, .. })) => arguments.into_owned(),
        other => panic!("{list} is not a list of arguments: {other:?}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
