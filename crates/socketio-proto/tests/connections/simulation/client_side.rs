//! The client's driver and program.

use std::time::Duration;

use bytes::Bytes;
use engineio_proto::{MessageEncoder, SharedMessage};
use proptest::sample::Index;
use tidewire_socketio_proto::client::{
    AckError, DisconnectReason, EmitAction, EmitError, Output, Overflow, SocketKey,
};
use tidewire_socketio_proto::encode;

use super::{MAX_BUFFERED, NAMESPACES, Namespace, Simulation};
use crate::message_parts::parts;

impl Simulation {
    pub(super) fn drive_client(&mut self) {
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

    pub(super) fn client_receives(&mut self, key: SocketKey, output: Output<'static, u64>) {
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
                    AckError::Dropped => assert!(!was_buffered && self.overflow == Overflow::DropOldest),
                    other => panic!("unexpected error: {other}"),
                }
            }
            other => panic!("unexpected output: {other:?}"),
        }
    }

    pub(super) fn client_emits(&mut self, namespace: Namespace, binary: bool) {
        let number = self.number();
        let name = format!("e{number}");
        let data = Bytes::from(if binary { "data" } else { "" });
        let mut encoder = MessageEncoder::new();
        let arguments = (number, binary.then_some(data));
        let message = encode::event(&mut encoder, NAMESPACES[namespace], None, &name, &arguments)
            .expect("the event can be encoded");
        match self.client[self.keys[namespace]].emit(&message) {
            Ok(EmitAction::Transmit) => self.send_up(&message.to_shared()),
            Ok(EmitAction::Buffered { dropped }) => self.note_buffered(namespace, number, dropped),
            Ok(EmitAction::Dropped) => panic!("the event is not volatile"),
            Err(error) => self.note_refused(namespace, &error),
        }
    }

    /// Records that an event was buffered, and that older ones were dropped for it.
    fn note_buffered(&mut self, namespace: Namespace, number: u64, dropped: usize) {
        let buffered = &mut self.watches[namespace].buffered;
        let is_full = buffered.len() == MAX_BUFFERED;
        assert!(!is_full || self.overflow == Overflow::DropOldest, "a full buffer refuses events");
        assert_eq!(dropped, usize::from(is_full), "only the oldest event is dropped, and only if it must be");
        if is_full {
            buffered.pop_first();
            self.overflowed += 1;
        }
        buffered.insert(number);
    }

    fn note_refused(&mut self, namespace: Namespace, error: &EmitError) {
        assert_eq!(*error, EmitError::BufferFull);
        assert_eq!(self.overflow, Overflow::RejectNewest);
        assert_eq!(self.watches[namespace].buffered.len(), MAX_BUFFERED);
        self.overflowed += 1;
    }

    pub(super) fn client_emits_volatile(&mut self, namespace: Namespace, is_writable: bool) {
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

    pub(super) fn client_emits_with_ack(&mut self, namespace: Namespace, timeout: Option<Duration>) {
        let number = self.number();
        let socket = &mut self.client[self.keys[namespace]];
        let id = socket.next_ack_id();
        let name = format!("e{number}");
        let mut encoder = MessageEncoder::new();
        let message = encode::event(&mut encoder, NAMESPACES[namespace], Some(id), &name, &number)
            .expect("the event can be encoded");
        let deadline = timeout.map(|timeout| self.now + timeout);
        self.client_waits.insert(number, (namespace, deadline));
        match socket.emit_with_ack(id, &message, timeout, number, self.now) {
            Ok(EmitAction::Transmit) => self.send_up(&message.to_shared()),
            Ok(EmitAction::Buffered { dropped }) => self.note_buffered(namespace, number, dropped),
            Ok(EmitAction::Dropped) => panic!("the event is not volatile"),
            Err((error, waiter)) => {
                assert!(waiter == number && self.client_waits.remove(&waiter).is_some());
                self.note_refused(namespace, &error);
            }
        }
    }

    pub(super) fn client_acknowledges(&mut self, namespace: Namespace, which: Index) {
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

    pub(super) fn client_disconnects(&mut self, namespace: Namespace) {
        self.may_fail_acks = true;
        self.client[self.keys[namespace]].disconnect();
        self.drive_client();
        self.may_fail_acks = false;
        let left = self.client_waits.values().filter(|(other, _)| *other == namespace).count();
        assert_eq!(left, 0, "a socket that the program has disconnected must have no waiters");
    }

    pub(super) fn client_reconnect_fails(&mut self) {
        self.may_fail_acks = true;
        self.client.handle_reconnect_failed();
        self.drive_client();
        self.may_fail_acks = false;
        assert!(self.client_waits.is_empty(), "all waiters must have failed");
    }
}
