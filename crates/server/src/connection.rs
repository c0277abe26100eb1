//! A connection and the sockets on it: what packets mean.

use std::fmt;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use engineio::{CloseReason, Handler, Message, Session, Time};
use smallvec::SmallVec;
use socketio_proto::{Decoder, Json, Packet, encode};

use crate::emit::with_encoder;
use crate::handshake::Handshake;
use crate::reason::DisconnectReason;
use crate::seat::Seat;
use crate::server::Server;
use crate::socket::Socket;

/// Sockets of one connection and namespace whose last handlers still run when it joins again. Answers clients that join
/// and leave in a loop, faster than handlers finish.
const LEAVING_AT_MOST: usize = 16;

/// The handler of one engine session.
pub struct Connection {
    server: Server,
    session: Session,
    handshake: Arc<Handshake>,
    decoder: Decoder,
    /// Most connections have one socket.
    seats: SmallVec<[Seat; 1]>,
    /// Until when a namespace must be joined; `None` once one is.
    connect_deadline: Option<Time>,
    /// Until when the next attachment must come; `None` while none is due.
    attachment_deadline: Option<Time>,
    closed: bool,
}

impl Connection {
    pub(crate) fn new(server: Server, session: Session, handshake: Handshake, now: Time) -> Self {
        let connect_deadline = Some(now + server.limits().connect_timeout);
        Self {
            server,
            session,
            handshake: Arc::new(handshake),
            decoder: Decoder::new(&socketio_proto::Limits::default()),
            seats: SmallVec::new(),
            connect_deadline,
            attachment_deadline: None,
            closed: false,
        }
    }

    fn handle_packet(&mut self, packet: Packet<'_>, cx: &mut TaskContext<'_>) {
        match packet {
            Packet::Event { namespace, ack, event } => {
                let Some(seat) = seat(&mut self.seats, &namespace).filter(|seat| seat.has_entered()) else {
                    return self.break_off("an event for a namespace that is not joined", cx);
                };
                seat.handle_event(event, ack, &self.server, cx);
                self.enforce_limits(cx);
            }
            Packet::Ack { namespace, id, arguments } => match seat(&mut self.seats, &namespace) {
                Some(seat) if seat.has_entered() => seat.socket().acks().resolve(id, arguments),
                _ => self.break_off("an acknowledgement for a namespace that is not joined", cx),
            },
            Packet::Connect { namespace, auth } => self.handle_connect(&namespace, auth, cx),
            Packet::Disconnect { namespace } => match seat(&mut self.seats, &namespace) {
                Some(seat) => {
                    seat.socket().leave_namespace(DisconnectReason::ClientNamespaceDisconnect);
                    seat.advance(&self.server, cx);
                    self.forget_gone();
                }
                None => self.break_off("a disconnect from a namespace that is not joined", cx),
            },
            _ => self.break_off("a packet that only servers send", cx),
        }
    }

    fn handle_connect(&mut self, namespace: &str, auth: Option<Json<'_>>, cx: &mut TaskContext<'_>) {
        let of_namespace = |seat: &Seat| seat.socket().namespace().name() == namespace;
        let is_joined = |seat: &Seat| of_namespace(seat) && seat.socket().disconnect_reason().is_none();
        if self.seats.iter().any(is_joined) {
            return self.break_off("a second connect to a namespace", cx);
        }
        // The socket before is disconnected, and the client begins anew; handlers of that one may still run.
        self.seats.retain(|seat| !(of_namespace(seat) && seat.is_gone()));
        if self.seats.iter().filter(|seat| of_namespace(seat)).count() >= LEAVING_AT_MOST {
            return self.break_off("more sockets than may be leaving", cx);
        }
        let socket = self.server.find(namespace).and_then(|namespace| {
            let id = self.server.new_socket_id()?;
            let auth = auth.map_or(Json::EMPTY_OBJECT, Json::into_owned);
            Some(Socket::new(id, namespace, self.session.clone(), Arc::clone(&self.handshake), auth))
        });
        let Some(socket) = socket else {
            with_encoder(|encoder| {
                match encode::connect_error(encoder, namespace, "Invalid namespace", None::<&()>) {
                    Ok(message) => self.session.send(message),
                    Err(error) => tracing::error!(%error, "a refusal was not sent"),
                }
            });
            return;
        };
        let mut seat = Seat::new(socket);
        seat.advance(&self.server, cx);
        self.seats.push(seat);
        self.forget_gone();
    }

    /// Closes the connection where waiting events exceed what the program may ask of the memory.
    fn enforce_limits(&mut self, cx: &mut TaskContext<'_>) {
        let (events, bytes) = self.waiting();
        let limits = self.server.limits();
        if events > limits.waiting_events_hard || bytes > limits.waiting_bytes_hard {
            self.break_off("more events than may wait", cx);
        }
    }

    fn waiting(&self) -> (usize, usize) {
        self.seats.iter().fold((0, 0), |(events, bytes), seat| {
            let (more_events, more_bytes) = seat.waiting();
            (events + more_events, bytes + more_bytes)
        })
    }

    /// The client broke the protocol.
    fn break_off(&mut self, what: &'static str, cx: &mut TaskContext<'_>) {
        tracing::debug!(what, "a client broke the protocol");
        self.close(DisconnectReason::ForcedServerClose, cx);
        self.session.close();
    }

    /// All sockets are gone, at once; their last handlers may still run.
    fn close(&mut self, reason: DisconnectReason, cx: &mut TaskContext<'_>) {
        self.closed = true;
        self.connect_deadline = None;
        self.attachment_deadline = None;
        for seat in &mut self.seats {
            seat.socket().leave_namespace(reason);
            seat.advance(&self.server, cx);
        }
    }

    /// Forgets the sockets that are gone. One that the server has disconnected leaves a mark: the client may not know
    /// it yet, and its events are ignored, not punished.
    fn forget_gone(&mut self) {
        self.seats.retain(|seat| {
            let by_server = DisconnectReason::ServerNamespaceDisconnect;
            !seat.is_gone() || seat.socket().disconnect_reason() == Some(by_server)
        });
        // Those that were refused are forgotten: the deadline goes on.
        if self.seats.iter().any(Seat::has_entered) {
            self.connect_deadline = None;
        }
    }
}

impl Drop for Connection {
    /// However the task ends (a runtime that stops, a panic), no socket stays behind in its namespace.
    fn drop(&mut self) {
        for seat in &self.seats {
            seat.socket().leave_namespace(DisconnectReason::ForcedClose);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Handler for Connection {
    fn on_message(&mut self, message: Message<'_>, now: Time, cx: &mut TaskContext<'_>) {
        if self.closed {
            return;
        }
        let decoded = match message {
            Message::Text(text) => self.decoder.text(text),
            Message::Binary(data) => {
                self.attachment_deadline = None;
                self.decoder.binary(data)
            }
        };
        match decoded {
            Ok(Some(packet)) => self.handle_packet(packet, cx),
            Ok(None) => self.attachment_deadline = Some(now + self.server.limits().attachment_timeout),
            Err(error) => {
                let error = error.into();
                for seat in &self.seats {
                    self.server.report(&error, seat.socket(), None);
                }
                self.close(DisconnectReason::ForcedClose, cx);
                self.session.close();
            }
        }
    }

    fn on_close(&mut self, reason: CloseReason, _now: Time, cx: &mut TaskContext<'_>) {
        self.close(reason.into(), cx);
    }

    fn poll(&mut self, now: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        if self.attachment_deadline.is_some() && !self.wants_input() {
            // Until now nothing was read, so it could not come.
            self.attachment_deadline = Some(now + self.server.limits().attachment_timeout);
        }
        if !self.closed && self.seats.iter().any(|seat| seat.socket().closes_connection()) {
            for seat in &self.seats {
                seat.socket().disconnect();
            }
            self.close(DisconnectReason::ServerNamespaceDisconnect, cx);
            self.session.close();
        }
        let mut advanced = false;
        for seat in &mut self.seats {
            if seat.is_busy() {
                seat.advance(&self.server, cx);
                advanced = true;
            }
        }
        if advanced {
            self.forget_gone();
        }
        if self.connect_deadline.is_some_and(|deadline| deadline <= now) {
            self.connect_deadline = None;
            self.break_off("no namespace joined in time", cx);
        }
        if self.attachment_deadline.is_some_and(|deadline| deadline <= now) {
            self.break_off("an attachment did not come in time", cx);
        }
        if self.seats.iter().all(Seat::is_gone) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_timeout(&self) -> Option<Time> {
        match (self.connect_deadline, self.attachment_deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn wants_input(&self) -> bool {
        let (events, bytes) = self.waiting();
        let limits = self.server.limits();
        // A handler that awaits an acknowledgement would wait for ever if reading stopped: then the hard limits hold.
        (events < limits.waiting_events && bytes < limits.waiting_bytes)
            || self.seats.iter().any(|seat| seat.socket().acks().is_waiting())
    }
}

/// The socket of a namespace, the newest if those before it are still leaving.
fn seat<'a>(seats: &'a mut [Seat], namespace: &str) -> Option<&'a mut Seat> {
    seats.iter_mut().rev().find(|seat| seat.socket().namespace().name() == namespace)
}
