//! Passes the packets of a transport through the state machine to the handler.

use std::task::Context;

use engineio_proto::server::{Received, Session as Machine};
use engineio_proto::{CloseReason, Packet, ParseError};
use net::TurnBudget;
use ws_proto::{ProtocolError, Time};

use crate::handler::{Message, SessionHandler};
use crate::session::Session;

/// The state machine of a session, and the application's handler.
pub(crate) struct PacketDispatcher<H> {
    pub(crate) machine: Machine,
    pub(crate) handler: H,
    session: Session,
}

impl<H: SessionHandler> PacketDispatcher<H> {
    pub(crate) fn new(machine: Machine, handler: H, session: Session) -> Self {
        Self { machine, handler, session }
    }

    /// Handles a packet of the current transport.
    ///
    /// # Errors
    /// Returns the reason if the session must be closed.
    pub(crate) fn handle_packet(
        &mut self,
        packet: Result<Packet<'_>, ParseError>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let received = self.machine.handle_packet(packet, now);
        match received.inspect_err(|reason| self.describe_violation(*reason))? {
            Received::Text(text) => {
                TurnBudget::charge_received(text.len());
                self.handler.on_message(Message::Text(text), now, cx);
            }
            Received::Binary(data) => {
                TurnBudget::charge_received(data.len());
                self.handler.on_message(Message::Binary(data), now, cx);
            }
            Received::SendPong(data) => self.session.send_pong(data),
            Received::Nothing => {}
        }
        Ok(())
    }

    #[cold]
    fn describe_violation(&self, reason: CloseReason) {
        match reason {
            CloseReason::ParseError => self.session.describe_close("the client sent an invalid packet"),
            CloseReason::TransportError => {
                self.session.describe_close("the client sent a packet of the heartbeat that is the server's");
            }
            _ => {}
        }
    }

    /// Returns whether the handler accepts more messages now.
    pub(crate) fn wants_input(&self) -> bool {
        self.handler.wants_input()
    }

    /// Records what goes wrong, before the session is closed for it.
    pub(crate) fn describe_close(&self, description: impl Into<Box<str>>) {
        self.session.describe_close(description);
    }

    /// Records and logs that the session is closed because a message is too long.
    pub(crate) fn report_too_long(&self, error: &ProtocolError, limit: u64) {
        self.session.report_too_long(error.to_string(), limit);
    }

    /// Returns the number of bytes that are queued in the outbox.
    pub(crate) fn buffered(&self) -> usize {
        self.session.buffered()
    }
}
