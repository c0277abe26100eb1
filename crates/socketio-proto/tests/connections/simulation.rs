//! A client and a server that execute random steps, and checks of what they guarantee.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use engineio_proto::{CloseReason, MessageEncoder, SharedMessage};
use proptest::sample::Index;
use tidewire_socketio_proto::client::{
    self, AckError, AckId, Auth, DisconnectReason, EmitAction, Output, SocketKey,
};
use tidewire_socketio_proto::server::{self, Protocol, Received, SocketState};
use tidewire_socketio_proto::{AckTable, Arguments, encode};
use ws_proto::Time;

use crate::message_parts::parts;

/// The client never disconnects from the last one. There, the server may disconnect a socket before it has accepted it.
/// If both happened in one namespace, no client could tell which response is still to come.
pub(crate) const NAMESPACES: [&str; 3] = ["/", "/a", "/stays"];

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
}

impl Simulation {
    pub(crate) fn new() -> Self {
        let mut client = client::Client::new(&client::Limits::default(), &Default::default());
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

    // The client's driver.

    fn drive_client(&mut self) {
        while !self.is_stalled
            && let Some(message) = self.client.poll_transmit()
        {
            assert!(self.server.is_some(), "a message is sent only on an open connection");
            self.note_sent(&message);
            self.send_up(&message);
        }
        while let Some((key, output)) = self.client.poll_output() {
            self.client_receives(key, output);
        }
    }

    /// Records that a buffered event was sent.
    fn note_sent(&mut self, message: &SharedMessage) {
        let text = parts(message).0;
        let Some((_, number)) = text.split_once("\"e") else { return };
        let number =
            number.split('"').next().expect("the name has a number").parse().expect("the number is valid");
        let owners = self.watches.iter_mut().filter(|watch| watch.buffered.contains(&number));
        for watch in owners {
            assert_eq!(
                watch.buffered.pop_first(),
                Some(number),
                "events are sent in the order in which they were emitted"
            );
        }
    }

    fn client_receives(&mut self, key: SocketKey, output: Output<'static, u64>) {
        let namespace =
            self.keys.iter().position(|other| *other == key).expect("the key belongs to this client");
        let watch = &mut self.watches[namespace];
        match output {
            Output::Connected { recovered } => {
                assert!(!recovered && !watch.is_connected);
                watch.is_connected = true;
                watch.connects += 1;
                watch.unacked_by_client.clear();
            }
            Output::Disconnected { reason } => {
                assert!(watch.is_connected || reason == DisconnectReason::IoServerDisconnect);
                watch.is_connected = false;
            }
            Output::ConnectError(error) => {
                assert_eq!(error.to_string(), "refused");
                assert!(!watch.is_connected);
            }
            Output::Event { event, ack, has_offset } => {
                let (id, number, waiter): (String, u64, u64) =
                    event.arguments().deserialize().expect("the server sends these arguments");
                assert!(!has_offset);
                if let Some((last, seen)) = &watch.seen_by_client {
                    if *last == id {
                        assert_eq!(number, seen + 1, "events must not be lost, duplicated or reordered");
                    } else {
                        assert!(
                            last.len() < id.len() || *last < id,
                            "events of an older socket must not follow"
                        );
                    }
                }
                watch.seen_by_client = Some((id, number));
                watch.unacked_by_client.extend(ack.map(|ack| (ack, waiter)));
            }
            Output::Ack { waiter, arguments } => {
                assert_eq!(
                    arguments.deserialize::<u64>(),
                    Ok(waiter),
                    "the acknowledgement must belong to this event"
                );
                assert!(self.client_waits.remove(&waiter).is_some(), "a waiter is returned once");
            }
            Output::AckFailed { waiter, error } => {
                let (_, deadline) = self.client_waits.remove(&waiter).expect("a waiter is returned once");
                let was_buffered = watch.buffered.remove(&waiter);
                match error {
                    AckError::Timeout => assert!(deadline.is_some_and(|deadline| deadline <= self.now)),
                    AckError::Disconnected => assert!(!was_buffered || self.may_fail_acks),
                    other => panic!("unexpected error: {other}"),
                }
            }
            other => panic!("unexpected output: {other:?}"),
        }
    }

    fn client_emits(&mut self, namespace: Namespace, binary: bool) {
        let number = self.number();
        let name = format!("e{number}");
        let data = Bytes::from(if binary { "data" } else { "" });
        let mut encoder = MessageEncoder::new();
        let arguments = (number, binary.then_some(data));
        let message = encode::event(&mut encoder, NAMESPACES[namespace], None, &name, &arguments)
            .expect("the event can be encoded");
        match self.client[self.keys[namespace]].emit(&message).expect("the send buffer has capacity") {
            EmitAction::Transmit => self.send_up(&message.to_shared()),
            EmitAction::Buffered { dropped } => {
                assert_eq!(dropped, 0);
                self.watches[namespace].buffered.insert(number);
            }
            EmitAction::Dropped => panic!("the event is not volatile"),
        }
    }

    fn client_emits_volatile(&mut self, namespace: Namespace, is_writable: bool) {
        let number = self.number();
        match self.client[self.keys[namespace]].emit_volatile(is_writable) {
            EmitAction::Transmit => {
                assert!(is_writable && self.watches[namespace].is_connected);
                let mut encoder = MessageEncoder::new();
                let message = encode::event(&mut encoder, NAMESPACES[namespace], None, "v", &number)
                    .expect("the event can be encoded");
                self.send_up(&message.to_shared());
            }
            EmitAction::Dropped => {}
            EmitAction::Buffered { .. } => panic!("a volatile event must not be buffered"),
        }
    }

    fn client_emits_with_ack(&mut self, namespace: Namespace, timeout: Option<Duration>) {
        let number = self.number();
        let socket = &mut self.client[self.keys[namespace]];
        let id = socket.next_ack_id();
        let name = format!("e{number}");
        let mut encoder = MessageEncoder::new();
        let message = encode::event(&mut encoder, NAMESPACES[namespace], Some(id), &name, &number)
            .expect("the event can be encoded");
        let deadline = timeout.map(|timeout| self.now + timeout);
        self.client_waits.insert(number, (namespace, deadline));
        match socket
            .emit_with_ack(id, &message, timeout, number, self.now)
            .expect("the send buffer has capacity")
        {
            EmitAction::Transmit => self.send_up(&message.to_shared()),
            EmitAction::Buffered { .. } => {
                self.watches[namespace].buffered.insert(number);
            }
            EmitAction::Dropped => panic!("the event is not volatile"),
        }
    }

    fn client_acknowledges(&mut self, namespace: Namespace, which: Index) {
        let unacked = &mut self.watches[namespace].unacked_by_client;
        if unacked.is_empty() {
            return;
        }
        let (ack, waiter) = unacked.remove(which.index(unacked.len()));
        if self.client[self.keys[namespace]].acknowledge(ack) == EmitAction::Transmit {
            let mut encoder = MessageEncoder::new();
            let message = encode::ack(&mut encoder, NAMESPACES[namespace], ack.id(), &waiter)
                .expect("the acknowledgement can be encoded");
            self.send_up(&message.to_shared());
        }
    }

    fn client_disconnects(&mut self, namespace: Namespace) {
        self.may_fail_acks = true;
        self.client[self.keys[namespace]].disconnect();
        self.drive_client();
        self.may_fail_acks = false;
        let left = self.client_waits.values().filter(|(other, _)| *other == namespace).count();
        assert_eq!(left, 0, "a socket that the program has disconnected must have no waiters");
    }

    fn client_reconnect_fails(&mut self) {
        self.may_fail_acks = true;
        self.client.handle_reconnect_failed();
        self.drive_client();
        self.may_fail_acks = false;
        assert!(self.client_waits.is_empty(), "all waiters must have failed");
    }

    // The server's driver and program.

    fn server_receives(&mut self, received: Received<'_, '_, Member>) {
        match received {
            Received::Connect(request) => {
                let namespace = NAMESPACES.iter().position(|name| *name == request.namespace());
                let namespace = namespace.expect("the client requests no other namespace");
                self.next_socket += 1;
                let _ = request.insert(Member {
                    namespace,
                    id: format!("socket {:06}", self.next_socket),
                    is_disconnected: Rc::default(),
                    acks: AckTable::new(),
                    emitted: 0,
                });
            }
            Received::Event { socket, event, ack } => {
                assert_eq!(socket.state(), SocketState::Connected);
                let number =
                    event.arguments().deserialize::<u64>().expect("the number is the first argument");
                let member = socket.socket();
                let seen = &mut self.watches[member.namespace].seen_by_server;
                assert!(seen.is_none_or(|seen| seen < number), "events must not be duplicated or reordered");
                *seen = Some(number);
                self.unacked_by_server.extend(ack.map(|id| (member.id.clone(), id, number)));
            }
            Received::Ack { mut socket, id, arguments } => {
                // The waiter may have timed out, but an acknowledgement must never reach another waiter.
                if let Some(waiter) = socket.socket_mut().acks.resolve(id) {
                    self.end_server_wait(waiter, &arguments);
                }
            }
            Received::Disconnect(mut socket) => {
                for waiter in socket.socket_mut().acks.close() {
                    assert!(self.server_waits.remove(&waiter), "a waiter is returned once");
                }
            }
        }
    }

    fn end_server_wait(&mut self, waiter: u64, arguments: &Arguments<'_>) {
        assert_eq!(
            arguments.deserialize::<u64>(),
            Ok(waiter),
            "the acknowledgement must belong to this event"
        );
        assert!(self.server_waits.remove(&waiter), "a waiter is returned once");
    }

    /// Returns the connected socket of a namespace.
    fn member(&mut self, namespace: Namespace) -> Option<&Member> {
        let mut connected = None;
        self.server.as_mut()?.for_each(|entry| {
            if entry.socket().namespace == namespace && entry.state() == SocketState::Connected {
                connected = Some(entry.socket().id.clone());
            }
        });
        let id = connected?;
        self.server.as_ref()?.sockets().find(|member| member.id == id)
    }

    /// Accepts or rejects pending requests. Returns whether there was a pending request.
    fn server_decides(&mut self, namespace: Namespace, admit: bool) -> bool {
        let Some(server) = &mut self.server else { return false };
        let mut decided = false;
        server.for_each(|mut entry| {
            if entry.socket().namespace != namespace || entry.state() != SocketState::Connecting {
                return;
            }
            decided = true;
            let mut encoder = MessageEncoder::new();
            let name = NAMESPACES[namespace];
            if admit {
                assert!(entry.accept());
                let message = encode::connect(&mut encoder, name, &entry.socket().id).to_shared();
                send(&mut self.down, &message);
            } else {
                let message = encode::connect_error(&mut encoder, name, "refused", None::<&()>);
                send(&mut self.down, &message.expect("the packet can be encoded").to_shared());
                for waiter in entry.socket_mut().acks.close() {
                    assert!(self.server_waits.remove(&waiter), "a waiter is returned once");
                }
                entry.remove();
            }
        });
        decided
    }

    fn server_disconnects(&mut self, namespace: Namespace) {
        let Some(server) = &mut self.server else { return };
        server.for_each(|mut entry| {
            let state = entry.state();
            let may_be_connecting = NAMESPACES[namespace] == "/stays";
            if entry.socket().namespace != namespace
                || !(state == SocketState::Connected || may_be_connecting && state == SocketState::Connecting)
            {
                return;
            }
            entry.socket().is_disconnected.set(true);
            for waiter in entry.socket_mut().acks.close() {
                assert!(self.server_waits.remove(&waiter), "a waiter is returned once");
            }
            let mut encoder = MessageEncoder::new();
            send(&mut self.down, &encode::disconnect(&mut encoder, NAMESPACES[namespace]).to_shared());
        });
    }

    /// With `ack`, the event requests an acknowledgement.
    fn server_emits(&mut self, namespace: Namespace, ack: Option<Option<Duration>>, binary: bool) {
        let number = self.number();
        let now = self.now;
        let Some(server) = &mut self.server else { return };
        server.for_each(|mut entry| {
            // As in Node, a middleware may emit to a socket that is not connected yet.
            let is_open = matches!(entry.state(), SocketState::Connected | SocketState::Connecting);
            if entry.socket().namespace != namespace || !is_open {
                return;
            }
            let member = entry.socket_mut();
            if let Some(timeout) = ack {
                let inserted = member.acks.insert(number, timeout, number, now);
                inserted.expect("the socket is open");
                self.server_waits.insert(number);
            }
            let data = binary.then(|| Bytes::from("data"));
            let arguments = (&member.id, member.emitted, number, data);
            let mut encoder = MessageEncoder::new();
            let ack = ack.is_some().then_some(number);
            let message = encode::event(&mut encoder, NAMESPACES[namespace], ack, "e", &arguments);
            send(&mut self.down, &message.expect("the event can be encoded").to_shared());
            member.emitted += 1;
        });
    }

    fn server_acknowledges(&mut self, which: Index) {
        if !self.unacked_by_server.is_empty() {
            self.server_acknowledges_at(which.index(self.unacked_by_server.len()));
        }
    }

    fn server_acknowledges_at(&mut self, position: usize) {
        let (socket, id, number) = self.unacked_by_server.remove(position);
        let Some(server) = &mut self.server else { return };
        server.for_each(|entry| {
            // A disconnected socket sends no acknowledgements.
            if entry.socket().id == socket && entry.state() == SocketState::Connected {
                let name = NAMESPACES[entry.socket().namespace];
                let mut encoder = MessageEncoder::new();
                let message =
                    encode::ack(&mut encoder, name, id, &number).expect("the acknowledgement can be encoded");
                send(&mut self.down, &message.to_shared());
            }
        });
    }

    fn remove_disconnected(&mut self) {
        let Some(server) = &mut self.server else { return };
        server.for_each(|entry| {
            if matches!(entry.state(), SocketState::Disconnected { .. }) {
                entry.remove();
            }
        });
    }

    fn remove_disconnected_if_many(&mut self) {
        if self.server.as_ref().is_some_and(|server| server.sockets().count() > 10) {
            self.remove_disconnected();
        }
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
