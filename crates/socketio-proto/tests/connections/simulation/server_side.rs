//! The server's driver and program.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use engineio_proto::MessageEncoder;
use proptest::sample::Index;
use tidewire_socketio_proto::server::{Received, SocketState};
use tidewire_socketio_proto::{AckTable, Arguments, encode};

use super::{Member, NAMESPACES, Namespace, Simulation, send};

impl Simulation {
    pub(super) fn server_receives(&mut self, received: Received<'_, '_, Member>) {
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
    pub(super) fn member(&mut self, namespace: Namespace) -> Option<&Member> {
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
    pub(super) fn server_decides(&mut self, namespace: Namespace, admit: bool) -> bool {
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

    pub(super) fn server_disconnects(&mut self, namespace: Namespace) {
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
    pub(super) fn server_emits(&mut self, namespace: Namespace, ack: Option<Option<Duration>>, binary: bool) {
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

    pub(super) fn server_acknowledges(&mut self, which: Index) {
        if !self.unacked_by_server.is_empty() {
            self.server_acknowledges_at(which.index(self.unacked_by_server.len()));
        }
    }

    pub(super) fn server_acknowledges_at(&mut self, position: usize) {
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

    pub(super) fn remove_disconnected(&mut self) {
        let Some(server) = &mut self.server else { return };
        server.for_each(|entry| {
            if matches!(entry.state(), SocketState::Disconnected { .. }) {
                entry.remove();
            }
        });
    }

    pub(super) fn remove_disconnected_if_many(&mut self) {
        if self.server.as_ref().is_some_and(|server| server.sockets().count() > 10) {
            self.remove_disconnected();
        }
    }
}
