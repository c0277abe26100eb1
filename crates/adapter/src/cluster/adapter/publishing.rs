//! What this server sends, and what happens if the message bus refuses it or does not return it.

use std::sync::Arc;

use socketio_proto::EncodedEvent;
use ws_proto::Time;

use super::ClusterAdapter;
use crate::cluster::{ClaimReply, Message, NodeId, PublishError, Recipient};
use crate::options::BroadcastOptions;
use crate::recovery::is_logged;

impl ClusterAdapter {
    /// Handles that the message bus has refused a message after [`Bus::publish`](crate::cluster::Bus::publish) had returned. No server has
    /// got it, unless the error says otherwise.
    pub fn handle_publish_error(&self, recipient: &Recipient, message: &Message, error: &PublishError) {
        self.report_publish_error(message, error);
        if let Message::Broadcast { sequence: Some(sequence), ack: None, .. } = message {
            self.log_order.handle_refused(self, *sequence);
        }
        if let Some(request) = message.request() {
            let deliveries = self.node().handle_refused(request, error.missing_reason());
            self.pass_on(deliveries);
        }
        if let Message::ClaimSessionResponse { request, reply: ClaimReply::Found(_) } = message
            && let Recipient::Node(node) = recipient
        {
            self.reply_to_claim(node, *request, ClaimReply::Unavailable);
        }
    }

    pub(super) fn publish(&self, message: &Message) {
        self.send(&Recipient::All, message);
    }

    pub(super) fn reply(&self, recipient: &NodeId, message: &Message) {
        self.send(&Recipient::Node(recipient.clone()), message);
    }

    /// Sends a message. The caller holds no lock.
    pub(super) fn send(&self, recipient: &Recipient, message: &Message) {
        if let Err(error) = self.bus.publish(recipient.clone(), message) {
            self.handle_publish_error(recipient, message, &error);
        }
    }

    /// Returns a function that sends a message to another server, also after this adapter was dropped.
    pub(super) fn replier(
        &self,
        recipient: &NodeId,
    ) -> impl Fn(&Message) -> Result<(), PublishError> + use<> {
        let (this, bus) = (self.this.clone(), Arc::clone(&self.bus));
        let recipient = Recipient::Node(recipient.clone());
        move |message| {
            bus.publish(recipient.clone(), message).inspect_err(|error| {
                if let Some(this) = this.upgrade() {
                    this.report_publish_error(message, error);
                }
            })
        }
    }

    fn report_publish_error(&self, message: &Message, error: &PublishError) {
        if let Some(host) = self.host.upgrade() {
            host.on_publish_error(message, error);
        }
    }

    /// Handles an event of this server that the bus returns.
    pub(super) fn handle_returned(
        &self,
        event: EncodedEvent,
        options: BroadcastOptions,
        sequence: Option<u64>,
        offset: Option<&str>,
        now: Time,
    ) {
        let (is_logged, offset) = (is_logged(&options), offset.map(Box::<str>::from));
        let deliver = Box::new(move |adapter: &Self| adapter.deliver(&event, &options, offset.as_deref()));
        if self.log_order.handle_returned(self, sequence, now, deliver) {
            self.log_order.run_claims(self, None);
        } else if is_logged {
            // The sockets of this server have got it already, at another place than those of the others.
            self.local.note_gap();
        }
    }

    /// Delivers an event that the bus has refused, or that it does not return, to the sockets of this server.
    pub(super) fn deliver_here(&self, message: &Message) {
        let Message::Broadcast { event, options, .. } = message else { return };
        self.local.broadcast(event, options);
        if is_logged(options) {
            // The logs of the other servers do not have it, or have it at another place.
            self.local.note_gap();
        }
    }

    /// Handles that the bus does not return an event.
    pub(super) fn handle_not_returned(&self, message: &Message) {
        self.report_publish_error(message, &PublishError::NotReturned);
        self.deliver_here(message);
    }
}
