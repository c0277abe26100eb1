//! Hot path. Takes the queued messages from the outbox and passes them to the transport.

use std::task::{Context, Poll};

use ws_proto::Time;

use super::{Driver, Transport};
use crate::error::CloseError;
use crate::handler::EngineHandler;
use crate::transport::TransportEnd;

impl Driver {
    /// Sends what is queued, and carries out what the machine wants. Returns whether another message would leave at
    /// once.
    pub(super) fn poll_output<H: EngineHandler>(
        &mut self,
        handler: &mut H,
        now: Time,
        cx: &mut Context<'_>,
    ) -> bool {
        self.poll_abandoned(now, cx);
        let signals = self.session.outbox().drain(&mut self.queue);
        // A notification without a command is for the handler, and the next turn polls the handler.
        self.has_progressed |= signals.notified;
        if self.is_closed {
            self.queue.clear();
            self.poll_close(now, cx);
            return false;
        }
        if signals.overflowed {
            self.set_failure(Some(CloseError::Overflow));
            self.machine.handle_transport_failed();
        }
        if signals.closing && self.close_deadline.is_none() {
            self.close_deadline = Some(now + self.options.close_timeout);
            self.machine.close();
        }
        let mut writable = false;
        loop {
            match self.transmit(cx) {
                Ok(is_writable) => writable = is_writable,
                Err(end) => self.handle_transport_end(end),
            }
            let mut has_acted = false;
            while let Some(action) = self.machine.poll_action(now) {
                has_acted = true;
                self.perform(action, handler, now, cx);
            }
            if !has_acted {
                return writable && !self.is_closed;
            }
            // A request, a candidate or a new transport must be polled before the driver sleeps.
            self.has_progressed = true;
        }
    }

    /// Passes queued packets to the transport, as many as it accepts. Returns whether it would accept more.
    fn transmit(&mut self, cx: &mut Context<'_>) -> Result<bool, TransportEnd> {
        match &mut self.transport {
            Transport::WebSocket(websocket) => loop {
                while websocket.accepts_more()
                    && let Some(transmit) = self.machine.poll_transmit(self.queue.text_lens())
                {
                    if let Some(packet) = &transmit.packet {
                        websocket.send(packet);
                    }
                    while transmit.messages > 0
                        && websocket.accepts_more()
                        && self.queue.send_next(|opcode, data, compress| {
                            websocket.send_message(opcode, data, compress);
                        })
                    {}
                }
                match websocket.poll_flush(cx) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(flushed) => flushed?,
                }
                if self.queue.is_empty() || !self.machine.can_send() {
                    return Ok(self.machine.can_send());
                }
            },
            Transport::Polling(polling) => {
                if let Some(transmit) = self.machine.poll_transmit(self.queue.text_lens()) {
                    let mut body = Vec::new();
                    if let Some(packet) = &transmit.packet {
                        packet.encode_into(&mut body);
                    }
                    self.queue.move_to_payload(transmit.messages, &mut body);
                    polling.start_post(&self.client, self.machine.id(), body);
                    self.has_progressed = true;
                }
                Ok(self.machine.can_send())
            }
            Transport::Opening(_) | Transport::Closed => Ok(false),
        }
    }

    /// Drives the close of the transport.
    fn poll_close(&mut self, now: Time, cx: &mut Context<'_>) {
        let is_done = match &mut self.transport {
            Transport::Polling(polling) => polling.poll_close(&mut self.client, now, cx).is_ready(),
            Transport::WebSocket(websocket) => websocket.poll_close(now, cx).is_ready(),
            Transport::Opening(_) | Transport::Closed => true,
        };
        if is_done {
            self.transport = Transport::Closed;
        }
    }
}
