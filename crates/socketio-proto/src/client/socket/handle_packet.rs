//! Processing of packets from the server.

use super::{PendingAck, Socket, State};
use crate::arguments::{Arguments, RawJson};
use crate::client::Violation;
use crate::client::output::{AckId, ConnectError, ConnectPayload, DisconnectReason, Output};
use crate::packet::{Event, Packet};

impl<W> Socket<W> {
    /// Processes a packet from the server for this namespace. Usually returns an event or an acknowledgement directly.
    /// If earlier outputs have not been [polled](Self::poll_output) yet, the new output is queued after them.
    ///
    /// # Errors
    /// Returns an error if the server sends more events before its response to CONNECT than the limits allow. The
    /// connection must be closed.
    pub fn handle_packet<'m>(&mut self, packet: Packet<'m>) -> Result<Option<Output<'m, W>>, Violation> {
        match packet {
            Packet::Event { event, ack, .. } => return self.handle_event(event, ack),
            Packet::Ack { id, arguments, .. } => return Ok(self.handle_ack(id, arguments)),
            Packet::Connect { auth, .. } => self.handle_connect(auth.as_ref()),
            Packet::ConnectError { data, .. } => self.handle_connect_error(&data),
            Packet::Disconnect { .. } => self.handle_disconnect(),
        }
        Ok(None)
    }

    fn handle_event<'m>(
        &mut self,
        event: Event<'m>,
        ack: Option<u64>,
    ) -> Result<Option<Output<'m, W>>, Violation> {
        match self.state {
            State::Connected { .. } => {
                let output = self.event_output(event, ack);
                Ok(self.deliver(output))
            }
            State::Connecting | State::Authenticating => {
                self.receive_buffer_bytes += event.memory() + size_of::<Event<'_>>();
                self.receive_buffer.push_back((event.into_owned(), ack));
                let max = self.limits.max_receive_buffer_events;
                if self.receive_buffer.len() > max
                    || self.receive_buffer_bytes > self.limits.max_receive_buffer_bytes
                {
                    return Err(Violation::ReceiveBufferFull);
                }
                Ok(None)
            }
            // The event was sent to a socket that is no longer connected.
            State::Inactive | State::AwaitingEngine | State::Disconnecting { .. } => Ok(None),
        }
    }

    fn handle_ack<'m>(&mut self, id: u64, arguments: Arguments<'m>) -> Option<Output<'m, W>> {
        // A correct server never acknowledges a buffered event. If a server does, the event is removed from the buffer,
        // because its acknowledgement has already arrived.
        let PendingAck { waiter, send_buffer_key } = self.acks.resolve(id)?;
        self.send_buffer.remove(send_buffer_key);
        self.deliver(Output::Ack { waiter, arguments })
    }

    fn handle_connect(&mut self, payload: Option<&RawJson<'_>>) {
        match self.state {
            State::Connecting => {}
            State::Disconnecting { reconnect } => {
                self.send_disconnect();
                return self.finish_disconnecting(reconnect);
            }
            // The socket has not requested this.
            State::Inactive | State::AwaitingEngine | State::Authenticating | State::Connected { .. } => {
                return;
            }
        }
        self.disconnect_may_cross = false;
        let ConnectPayload { sid, pid } =
            payload.and_then(|json| json.deserialize().ok()).unwrap_or_default();
        let Some(id) = sid else { return self.fail_connect(ConnectError::UnsupportedServerVersion) };
        let max = self.limits.max_id_len;
        if id.len() > max {
            self.send_disconnect();
            return self.fail_connect(ConnectError::IdTooLong { max });
        }
        let recovered = self.recovery.handle_connect(pid.as_deref().filter(|pid| pid.len() <= max));
        self.state = State::Connected { id: id.into(), recovered };
        self.connect_epoch += 1;
        for (event, ack) in self.clear_receive_buffer() {
            let output = self.event_output(event, ack);
            self.outputs.push_back(output);
        }
        self.outputs.push_back(Output::Connected { recovered });
    }

    fn handle_connect_error(&mut self, payload: &RawJson<'_>) {
        match self.state {
            State::Connecting => self.fail_connect(ConnectError::from_payload(payload)),
            State::Disconnecting { reconnect } => self.finish_disconnecting(reconnect),
            State::Inactive | State::AwaitingEngine | State::Authenticating | State::Connected { .. } => {}
        }
    }

    fn handle_disconnect(&mut self) {
        let reason = DisconnectReason::IoServerDisconnect;
        let may_cross = std::mem::take(&mut self.disconnect_may_cross);
        match self.state {
            State::Connected { .. } => {
                self.state = State::Inactive;
                self.outputs.push_back(Output::Disconnected { reason });
                self.fail_sent_acks();
            }
            State::Connecting => {
                // The program of the server has disconnected the socket in its middleware, so there will be no response
                // to CONNECT. If this DISCONNECT may have been sent before the server received ours, the response will
                // still arrive, and the socket must respond to it with DISCONNECT.
                self.state =
                    if may_cross { State::Disconnecting { reconnect: false } } else { State::Inactive };
                self.clear_receive_buffer();
                self.outputs.push_back(Output::Disconnected { reason });
            }
            State::Disconnecting { reconnect } if !may_cross => self.finish_disconnecting(reconnect),
            State::Disconnecting { .. } | State::Inactive | State::AwaitingEngine | State::Authenticating => {
            }
        }
    }

    /// Handles the server's response to CONNECT for a socket that the program has disconnected in the meantime.
    fn finish_disconnecting(&mut self, reconnect: bool) {
        self.state = State::Inactive;
        if reconnect {
            self.start_connect();
        }
    }

    fn fail_connect(&mut self, error: ConnectError) {
        self.state = State::Inactive;
        self.clear_receive_buffer();
        self.outputs.push_back(Output::ConnectError(error));
    }

    fn event_output<'m>(&mut self, event: Event<'m>, ack: Option<u64>) -> Output<'m, W> {
        let has_offset = self.recovery.handle_event(&event, ack, self.limits.max_offset_len);
        let ack = ack.map(|id| AckId { id, connect_epoch: self.connect_epoch });
        Output::Event { event, ack, has_offset }
    }

    /// Returns an output directly if none is queued. Otherwise queues it after the others.
    fn deliver<'m>(&mut self, output: Output<'m, W>) -> Option<Output<'m, W>> {
        if self.outputs.is_empty() {
            return Some(output);
        }
        self.outputs.push_back(output.into_owned());
        None
    }
}
