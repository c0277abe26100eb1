//! What the program of this server does in the cluster: the methods of [`Adapter`].

use std::sync::Weak;

use socketio_proto::{EncodedEvent, SocketId};
use ws_proto::Time;

use super::log_order::size;
use super::node::Link;
use super::{ClusterAdapter, names};
use crate::adapter::Adapter;
use crate::cluster::{AckRequest, LocalDelivery, Message, Recipient};
use crate::host::Host;
use crate::in_memory::InMemoryAdapter;
use crate::limits::JoinError;
use crate::options::BroadcastOptions;
use crate::ready::Ready;
use crate::recovery::{Recovery, RecoveryOptions};
use crate::request::Request;

impl Adapter for ClusterAdapter {
    fn local(&self) -> &InMemoryAdapter {
        &self.local
    }

    fn start(&self, now: Time) {
        self.node().start(now);
        self.bus.start(self.this.clone(), now);
        self.join_cluster();
    }

    fn ready(&self) -> Ready {
        self.bus.ready()
    }

    fn close(&self) -> Ready {
        let deliveries = self.node().handle_link(Link::Closed);
        self.pass_on(deliveries);
        self.log_order.handle_lost(self);
        self.publish(&Message::Close);
        self.bus.close()
    }

    fn has_undelivered_events(&self) -> bool {
        !self.log_order.is_empty()
    }

    fn after_earlier_events(&self, then: Box<dyn FnOnce() + Send>) {
        self.log_order.run(self, move |_| then());
    }

    fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> Option<usize> {
        if options.local {
            if self.log_order.is_empty() {
                return Some(self.local.broadcast(event, options));
            }
            let (event, options) = (event.clone(), options.clone());
            self.log_order.run(self, move |adapter| {
                adapter.local.broadcast(&event, &options);
            });
            return None;
        }
        // Without a link, the bus does not return the event.
        if self.local_delivery == LocalDelivery::AtOnce || self.node().link() != Link::Up {
            let (ack, sequence) = (None, None);
            let message =
                Message::Broadcast { event: event.clone(), options: options.clone(), ack, sequence };
            self.publish(&message);
            return Some(self.local.broadcast(event, options));
        }
        let refused =
            self.log_order.publish(event, options, |message| self.bus.publish(Recipient::All, message));
        if let Some((message, error)) = refused {
            self.handle_publish_error(&Recipient::All, &message, &error);
        }
        self.log_order.enforce_limits(self);
        None
    }

    fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<Ready, JoinError> {
        if self.log_order.is_empty() {
            self.local.add_all(id, rooms)?;
            return Ok(self.bus.joined(rooms));
        }
        for room in rooms {
            self.local.add_all(id, &[room])?;
            // An earlier leave may still wait, and would undo this.
            let (id, room) = (id.clone(), Box::<str>::from(*room));
            self.log_order.run(self, move |adapter| {
                let _ = adapter.local.add_all(&id, &[&room]);
            });
        }
        Ok(self.bus.joined(rooms))
    }

    fn del(&self, id: &SocketId, room: &str) {
        let (id, room) = (id.clone(), Box::<str>::from(room));
        self.log_order.run(self, move |adapter| adapter.local.del(&id, &room));
    }

    fn del_all(&self, id: &SocketId) {
        let id = id.clone();
        self.log_order.run(self, move |adapter| adapter.local.del_all(&id));
    }

    fn del_all_and_then(&self, id: &SocketId, then: Box<dyn FnOnce() + Send>) {
        let id = id.clone();
        self.log_order.run(self, move |adapter| {
            adapter.local.del_all(&id);
            then();
        });
    }

    fn enable_recovery(&self, options: RecoveryOptions, host: Weak<dyn Host>) -> bool {
        // Without a log, the servers see events in different orders, and no offset says what a client has received.
        self.local_delivery == LocalDelivery::InLogOrder && self.local.enable_recovery(options, host)
    }

    fn recovery(&self) -> Option<&dyn Recovery> {
        self.local.recovery().map(|_| self as &dyn Recovery)
    }

    fn broadcast_with_ack(
        &self,
        event: &EncodedEvent,
        ack_id: u64,
        options: &BroadcastOptions,
        request: Request,
    ) {
        let timeout = request.timeout;
        if !options.local
            && let Some(id) = self.begin(request.clone(), true)
        {
            let ack = Some(AckRequest { request: id, timeout });
            let (event, options) = (event.clone(), options.clone());
            self.publish(&Message::Broadcast { event, options, ack, sequence: None });
        }
        let (event, options) = (event.clone(), options.clone());
        self.log_order.run_sized(self, size(&event, &options), move |adapter| {
            adapter.local.broadcast_with_ack(&event, ack_id, &options, &request);
        });
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        if !options.local {
            self.publish(&Message::SocketsJoin { options: options.clone(), rooms: boxed(rooms) });
        }
        if self.log_order.is_empty() {
            return self.local.add_sockets(options, rooms);
        }
        let sockets = self.local.local_sockets(options);
        self.local.add_sockets(options, rooms);
        // As in `add_all`. Later, the options may select others.
        let rooms = boxed(rooms);
        self.log_order.run(self, move |adapter| {
            for socket in sockets {
                let _ = adapter.local.add_all(socket.id(), &names(&rooms));
            }
        });
    }

    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        if !options.local {
            self.publish(&Message::SocketsLeave { options: options.clone(), rooms: boxed(rooms) });
        }
        let (options, rooms) = (options.clone(), boxed(rooms));
        self.log_order.run(self, move |adapter| adapter.local.del_sockets(&options, &names(&rooms)));
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool) {
        if !options.local {
            self.publish(&Message::DisconnectSockets { options: options.clone(), close_connection });
        }
        self.local.disconnect_sockets(options, close_connection);
    }

    fn fetch_sockets(&self, options: &BroadcastOptions, request: Request) {
        if !options.local
            && let Some(request) = self.begin(request, false)
        {
            self.publish(&Message::FetchSockets { request, options: options.clone() });
        }
    }

    fn server_side_emit(&self, event: &EncodedEvent, request: Option<Request>) {
        let id = request.map(|request| self.begin(request, false));
        if id != Some(None) {
            self.publish(&Message::ServerSideEmit { event: event.clone(), request: id.flatten() });
        }
    }

    fn server_count(&self) -> Option<usize> {
        self.node().server_count()
    }
}

fn boxed(rooms: &[&str]) -> Vec<Box<str>> {
    rooms.iter().map(|room| (*room).into()).collect()
}
