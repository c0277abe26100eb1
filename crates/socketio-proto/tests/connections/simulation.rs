//! A client and a server that execute random steps, and checks of what they guarantee.

mod client_side;
mod server_side;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use engineio_proto::{CloseReason, SharedMessage};
use proptest::sample::Index;
use tidewire_socketio_proto::AckTable;
use tidewire_socketio_proto::client::{self, AckId, Auth, Overflow, SocketKey};
use tidewire_socketio_proto::server::{self, Protocol, SocketState};
use ws_proto::Time;

use crate::message_parts::parts;

/// The client never disconnects from the last one. There, the server may disconnect a socket before it has accepted it.
/// If both happened in one namespace, no client could tell which response is still to come.
pub(crate) const NAMESPACES: [&str; 3] = ["/", "/a", "/stays"];

/// The most events that the client buffers for a namespace. Few, so that the buffers become full.
pub(crate) const MAX_BUFFERED: usize = 3;

pub(crate) type Namespace = usize;

/// One step of the simulation.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Open,
    Cut(usize),
    /// This number of messages arrives at the server.
    Up(usize),
    Down(usize),
    Wait(Duration),
    /// The client's engine stops accepting messages (`true`) or accepts them again.
    Stall(bool),
    ClientConnects(Namespace),
    ClientDisconnects(Namespace),
    ClientEmits {
        namespace: Namespace,
        binary: bool,
    },
    ClientEmitsVolatile {
        namespace: Namespace,
        is_writable: bool,
    },
    ClientEmitsWithAck {
        namespace: Namespace,
        timeout: Option<Duration>,
    },
    ClientAcks {
        namespace: Namespace,
        which: Index,
    },
    ClientReconnectFails,
    ServerMiddlewareFinishes {
        namespace: Namespace,
        admit: bool,
    },
    ServerDisconnects(Namespace),
    ServerEmits {
        namespace: Namespace,
        binary: bool,
    },
    ServerEmitsWithAck {
        namespace: Namespace,
        timeout: Option<Duration>,
    },
    ServerAcks {
        which: Index,
    },
    /// The handlers of all disconnected sockets finish.
    ServerFinishes,
}

#[derive(Debug)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
}

/// The data that the server's driver stores for a socket.
#[derive(Debug)]
struct Member {
    namespace: Namespace,
    id: String,
    is_disconnected: Rc<Cell<bool>>,
    acks: AckTable<u64>,
    emitted: u64,
}

impl server::Socket for Member {
    fn namespace(&self) -> &str {
        NAMESPACES[self.namespace]
    }

    fn is_disconnected(&self) -> bool {
        self.is_disconnected.get()
    }
}

/// The recorded state of one namespace, for the checks.
#[derive(Debug, Default)]
struct Watch {
    /// The client's events in the send buffer, by number.
    buffered: BTreeSet<u64>,
    /// The last event from the client that the server has received.
    seen_by_server: Option<u64>,
    /// The id of the socket whose event the client received last, and the number of that event on the socket.
    seen_by_client: Option<(String, u64)>,
    /// Events from the server that the client has not acknowledged yet.
    unacked_by_client: Vec<(AckId, u64)>,
    is_connected: bool,
    connects: usize,
}

pub(crate) struct Simulation {
    now: Time,
    client: client::Client<u64>,
    keys: Vec<SocketKey>,
    server: Option<server::Connection<Member>>,
    up: VecDeque<Message>,
    down: VecDeque<Message>,
    is_stalled: bool,
    watches: Vec<Watch>,
    next_number: u64,
    next_socket: u64,
    /// The client's waiters by event number, with their namespace and deadline.
    client_waits: BTreeMap<u64, (Namespace, Option<Time>)>,
    server_waits: BTreeSet<u64>,
    /// Events from the client that the server has not acknowledged yet: socket id, acknowledgement id and event number.
    unacked_by_server: Vec<(String, u64, u64)>,
    may_fail_acks: bool,
    overflow: Overflow,
    /// The client's events that were refused or dropped because the send buffer was full.
    pub(crate) overflowed: usize,
}

impl Simulation {
    pub(crate) fn new(overflow: Overflow) -> Self {
        let mut limits = client::Limits::default();
        (limits.max_send_buffer_messages, limits.overflow) = (MAX_BUFFERED, overflow);
        let mut client = client::Client::new(&limits, &Default::default());
        let keys = NAMESPACES.map(|namespace| client.socket(namespace, Auth::Static(None))).to_vec();
        Self {
            now: Time::ZERO,
            client,
            keys,
            server: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            is_stalled: false,
            watches: NAMESPACES.iter().map(|_| Watch::default()).collect(),
            next_number: 0,
            next_socket: 0,
            client_waits: BTreeMap::new(),
            server_waits: BTreeSet::new(),
            unacked_by_server: Vec::new(),
            may_fail_acks: false,
            overflow,
            overflowed: 0,
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match *step {
            Step::Open => self.open(),
            Step::Cut(reason) => self.cut(reason),
            Step::Up(count) => (0..count).for_each(|_| self.arrive_at_server()),
            Step::Down(count) => (0..count).for_each(|_| self.arrive_at_client()),
            Step::Wait(time) => self.wait(time),
            Step::Stall(stall) => self.is_stalled = stall,
            Step::ClientConnects(namespace) => self.client[self.keys[namespace]].connect(),
            Step::ClientDisconnects(namespace) if NAMESPACES[namespace] != "/stays" => {
                self.client_disconnects(namespace);
            }
            Step::ClientDisconnects(_) => {}
            Step::ClientEmits { namespace, binary } => self.client_emits(namespace, binary),
            Step::ClientEmitsVolatile { namespace, is_writable } => {
                self.client_emits_volatile(namespace, is_writable);
            }
            Step::ClientEmitsWithAck { namespace, timeout } => self.client_emits_with_ack(namespace, timeout),
            Step::ClientAcks { namespace, which } => self.client_acknowledges(namespace, which),
            Step::ClientReconnectFails => self.client_reconnect_fails(),
            Step::ServerMiddlewareFinishes { namespace, admit } => {
                self.server_decides(namespace, admit);
            }
            Step::ServerDisconnects(namespace) => self.server_disconnects(namespace),
            Step::ServerEmits { namespace, binary } => self.server_emits(namespace, None, binary),
            Step::ServerEmitsWithAck { namespace, timeout } => {
                self.server_emits(namespace, Some(timeout), false);
            }
            Step::ServerAcks { which } => self.server_acknowledges(which),
            Step::ServerFinishes => self.remove_disconnected(),
        }
        self.drive_client();
        self.check();
    }

    /// Opens a last connection that does not break. On it, every guarantee must be fulfilled.
    pub(crate) fn finish(&mut self) {
        self.cut(1);
        self.is_stalled = false;
        self.open();
        for namespace in 0..NAMESPACES.len() {
            self.client[self.keys[namespace]].connect();
        }
        let waiting: Vec<_> = self.watches.iter().map(|watch| watch.buffered.clone()).collect();
        let pending: Vec<_> = self.client_waits.keys().copied().collect();
        self.settle();
        for (watch, waiting) in self.watches.iter().zip(&waiting) {
            assert!(watch.is_connected);
            assert!(watch.buffered.is_empty(), "buffered events are sent");
            assert!(watch.seen_by_server >= waiting.last().copied(), "buffered events are received");
        }
        for namespace in 0..NAMESPACES.len() {
            let number = self.next_number;
            self.client_emits(namespace, true);
            assert_eq!(self.watches[namespace].buffered.len(), 0);
            self.server_emits(namespace, None, true);
            let emitted = self.member(namespace).expect("the socket is connected").emitted;
            self.settle();
            let watch = &self.watches[namespace];
            assert_eq!(watch.seen_by_server, Some(number));
            assert_eq!(watch.seen_by_client.as_ref().map(|(_, number)| *number), Some(emitted - 1));
        }
        // The events from the buffer are acknowledged on this connection. No other waiter can be left.
        while !self.unacked_by_server.is_empty() {
            self.server_acknowledges_at(0);
            self.settle();
        }
        let left: Vec<_> = self.client_waits.keys().copied().collect();
        assert!(left.is_empty(), "{left:?} of {pending:?} still wait");
        self.cut(1);
        self.drive_client();
        assert!(self.server_waits.is_empty(), "{:?} still wait", self.server_waits);
    }

    /// Delivers all messages. The server accepts all connect requests.
    fn settle(&mut self) {
        loop {
            self.drive_client();
            if self.up.is_empty() && self.down.is_empty() && !self.decide_all() {
                break;
            }
            self.arrive_at_server();
            self.arrive_at_client();
        }
        self.check();
    }

    fn decide_all(&mut self) -> bool {
        (0..NAMESPACES.len()).any(|namespace| self.server_decides(namespace, true))
    }

    // The link.

    fn open(&mut self) {
        if self.server.is_none() {
            let day = Duration::from_secs(86_400);
            let mut limits = server::Limits::default();
            // The simulation waits as long as it likes, so these timeouts must not expire.
            (limits.connect_timeout, limits.attachment_timeout) = (10_000 * day, 10_000 * day);
            self.server = Some(server::Connection::new(Protocol::V5, &limits, &Default::default(), self.now));
            self.client.handle_open();
        }
    }

    fn cut(&mut self, reason: usize) {
        let Some(mut server) = self.server.take() else { return };
        let reasons = [
            CloseReason::PingTimeout,
            CloseReason::TransportClose,
            CloseReason::TransportError,
            CloseReason::ParseError,
            CloseReason::ForcedClose,
        ];
        server.close();
        server.for_each(|mut entry| {
            for waiter in entry.socket_mut().acks.close() {
                assert!(self.server_waits.remove(&waiter), "a waiter is returned once");
            }
            entry.remove();
        });
        assert!(server.is_empty());
        self.up.clear();
        self.down.clear();
        self.unacked_by_server.clear();
        self.client.handle_close(reasons[reason]);
    }

    fn send_up(&mut self, message: &SharedMessage) {
        send(&mut self.up, message);
    }

    fn arrive_at_server(&mut self) {
        // Handlers of a real server finish at some time. If they did not, the client would exceed the limit on
        // disconnecting sockets.
        self.remove_disconnected_if_many();
        let Some(mut server) = self.server.take() else { return };
        if let Some(message) = self.up.pop_front() {
            let received = match &message {
                Message::Text(text) => server.handle_text(text, self.now),
                Message::Binary(data) => server.handle_binary(&data[..], self.now),
            };
            match received {
                Ok(None) => {}
                Ok(Some(received)) => self.server_receives(received),
                Err(violation) => panic!("the client did nothing wrong: {violation}, {message:?}"),
            }
        }
        self.server = Some(server);
    }

    fn arrive_at_client(&mut self) {
        let Some(message) = self.down.pop_front() else { return };
        let output = match &message {
            Message::Text(text) => self.client.handle_text(text),
            Message::Binary(data) => self.client.handle_binary(&data[..]),
        };
        let output = output
            .unwrap_or_else(|violation| panic!("the server did nothing wrong: {violation}, {message:?}"))
            .map(|(key, output)| (key, output.into_owned()));
        if let Some((key, output)) = output {
            self.client_receives(key, output);
        }
        self.drive_client();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.client.poll_timeout().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            let (key, output) = self.client.handle_timeout(self.now).expect("something is due");
            self.client_receives(key, output);
        }
        self.now = until;
        let Some(server) = &mut self.server else { return };
        server.for_each(|mut entry| {
            let acks = &mut entry.socket_mut().acks;
            while let Some(waiter) = acks.handle_timeout(until) {
                assert!(self.server_waits.remove(&waiter), "a waiter is returned once");
            }
        });
    }

    // Checks.

    fn check(&mut self) {
        for (key, watch) in self.keys.iter().zip(&self.watches) {
            let socket = &self.client[*key];
            assert_eq!(
                socket.buffered().0,
                watch.buffered.len(),
                "the buffer must hold exactly the unsent events"
            );
            assert_eq!(socket.is_connected(), watch.is_connected);
        }
        assert_eq!(
            self.keys.iter().map(|key| self.client[*key].pending_acks()).sum::<usize>(),
            self.client_waits.len()
        );
        self.check_agreement();
    }

    /// When no message is in flight, client and server must agree on which sockets are connected.
    fn check_agreement(&mut self) {
        let is_quiet = self.up.is_empty() && self.down.is_empty() && !self.is_stalled;
        let Some(server) = &mut self.server else {
            assert!(self.watches.iter().all(|watch| !watch.is_connected));
            return;
        };
        let mut connected = vec![None; NAMESPACES.len()];
        let mut is_decided = true;
        server.for_each(|entry| match entry.state() {
            SocketState::Connecting => is_decided = false,
            SocketState::Connected => {
                let former = connected[entry.socket().namespace].replace(entry.socket().id.clone());
                assert_eq!(former, None, "a namespace has only one connected socket");
            }
            SocketState::Disconnected { .. } => {}
        });
        if !is_quiet || !is_decided {
            return;
        }
        for (namespace, connected) in connected.into_iter().enumerate() {
            let socket = &self.client[self.keys[namespace]];
            assert_eq!(socket.id(), connected.as_deref(), "{}", NAMESPACES[namespace]);
            assert_eq!(socket.is_active(), socket.is_connected(), "an active socket must be connected");
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }
}

fn send(link: &mut VecDeque<Message>, message: &SharedMessage) {
    let (text, attachments) = parts(message);
    link.push_back(Message::Text(text));
    link.extend(attachments.into_iter().map(Message::Binary));
}
