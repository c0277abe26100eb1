//! A connection and the sockets on it: what packets mean.

use std::fmt;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use engineio::{CloseReason, Handler, Message, Session, Time};
use handlers::{WaitingEvents, with_encoder};
use smallvec::SmallVec;
use socketio_proto::{Decoder, Json, Packet, encode};

use crate::handshake::Handshake;
use crate::reason::DisconnectReason;
use crate::server::Server;
use crate::socket::Socket;
use crate::socket_task::SocketTask;

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
    sockets: SmallVec<[SocketTask; 1]>,
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
            sockets: SmallVec::new(),
            connect_deadline,
            attachment_deadline: None,
            closed: false,
        }
    }

    fn handle_packet(&mut self, packet: Packet<'_>, cx: &mut TaskContext<'_>) {
        match packet {
            Packet::Event { namespace, ack, event } => {
                let Some(task) = find(&mut self.sockets, &namespace).filter(|task| task.has_entered()) else {
                    return self.break_off("an event for a namespace that is not joined", cx);
                };
                task.handle_event(event, ack, &self.server, cx);
                self.enforce_limits(cx);
            }
            Packet::Ack { namespace, id, arguments } => match find(&mut self.sockets, &namespace) {
                Some(task) if task.has_entered() => task.socket().acks().resolve(id, arguments),
                _ => self.break_off("an acknowledgement for a namespace that is not joined", cx),
            },
            Packet::Connect { namespace, auth } => self.handle_connect(&namespace, auth, cx),
            Packet::Disconnect { namespace } => match find(&mut self.sockets, &namespace) {
                Some(task) => {
                    task.socket().leave_namespace(DisconnectReason::ClientNamespaceDisconnect);
                    task.advance(&self.server, cx);
                    self.forget_finished();
                }
                None => self.break_off("a disconnect from a namespace that is not joined", cx),
            },
            _ => self.break_off("a packet that only servers send", cx),
        }
    }

    fn handle_connect(&mut self, namespace: &str, auth: Option<Json<'_>>, cx: &mut TaskContext<'_>) {
        let of_namespace = |task: &SocketTask| task.socket().namespace().name() == namespace;
        let is_joined = |task: &SocketTask| of_namespace(task) && task.socket().disconnect_reason().is_none();
        if self.sockets.iter().any(is_joined) {
            return self.break_off("a second connect to a namespace", cx);
        }
        // The socket before is disconnected, and the client begins anew; handlers of that one may still run.
        self.sockets.retain(|task| !(of_namespace(task) && task.is_finished()));
        if self.sockets.iter().filter(|task| of_namespace(task)).count() >= LEAVING_AT_MOST {
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
        let mut task = SocketTask::new(socket);
        task.advance(&self.server, cx);
        self.sockets.push(task);
        self.forget_finished();
    }

    /// Closes the connection where waiting events exceed what the program may ask of the memory.
    fn enforce_limits(&mut self, cx: &mut TaskContext<'_>) {
        let WaitingEvents { events, bytes } = self.waiting();
        let limits = self.server.limits();
        if events > limits.waiting_events_hard || bytes > limits.waiting_bytes_hard {
            self.break_off("more events than may wait", cx);
        }
    }

    fn waiting(&self) -> WaitingEvents {
        self.sockets.iter().map(SocketTask::waiting).sum()
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
        for task in &mut self.sockets {
            task.socket().leave_namespace(reason);
            task.advance(&self.server, cx);
        }
    }

    /// Forgets the sockets that are gone. One that the server has disconnected leaves a mark: the client may not know
    /// it yet, and its events are ignored, not punished.
    fn forget_finished(&mut self) {
        self.sockets.retain(|task| {
            let by_server = DisconnectReason::ServerNamespaceDisconnect;
            !task.is_finished() || task.socket().disconnect_reason() == Some(by_server)
        });
        // Those that were refused are forgotten: the deadline goes on.
        if self.sockets.iter().any(SocketTask::has_entered) {
            self.connect_deadline = None;
        }
    }
}

impl Drop for Connection {
    /// However the task ends (a runtime that stops, a panic), no socket stays behind in its namespace.
    fn drop(&mut self) {
        for task in &self.sockets {
            task.socket().leave_namespace(DisconnectReason::ForcedClose);
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
                for task in &self.sockets {
                    self.server.report(&error, task.socket(), None);
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
        if !self.closed && self.sockets.iter().any(|task| task.socket().closes_connection()) {
            for task in &self.sockets {
                task.socket().disconnect();
            }
            self.close(DisconnectReason::ServerNamespaceDisconnect, cx);
            self.session.close();
        }
        let mut advanced = false;
        for task in &mut self.sockets {
            if task.is_busy() {
                task.advance(&self.server, cx);
                advanced = true;
            }
        }
        if advanced {
            self.forget_finished();
        }
        if self.connect_deadline.is_some_and(|deadline| deadline <= now) {
            self.connect_deadline = None;
            self.break_off("no namespace joined in time", cx);
        }
        if self.attachment_deadline.is_some_and(|deadline| deadline <= now) {
            self.break_off("an attachment did not come in time", cx);
        }
        if self.sockets.iter().all(SocketTask::is_finished) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_timeout(&self) -> Option<Time> {
        match (self.connect_deadline, self.attachment_deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn wants_input(&self) -> bool {
        let WaitingEvents { events, bytes } = self.waiting();
        let limits = self.server.limits();
        // A handler that awaits an acknowledgement would wait for ever if reading stopped: then the hard limits hold.
        (events < limits.waiting_events && bytes < limits.waiting_bytes)
            || self.sockets.iter().any(|task| task.socket().acks().is_waiting())
    }
}

/// The socket of a namespace, the newest if those before it are still leaving.
fn find<'a>(sockets: &'a mut [SocketTask], namespace: &str) -> Option<&'a mut SocketTask> {
    sockets.iter_mut().rev().find(|task| task.socket().namespace().name() == namespace)
}
