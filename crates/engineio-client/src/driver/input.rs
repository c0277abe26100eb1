//! Hot path. Reads from the transport, and passes each packet through the state machine to the handler.

use std::ops::ControlFlow;
use std::task::{Context, Poll};

use engineio_proto::client::{ReadyState, Received, Session as Machine};
use engineio_proto::{Packet, ParseError, Transport as TransportName};
use ws_proto::Time;

use super::{Driver, Transport};
use crate::connector::Options;
use crate::handler::{EngineHandler, Message};
use crate::session::Session;
use crate::transport::TransportEnd;

/// The most reads in one turn, before the driver writes and yields to other tasks.
const MAX_READS_PER_TURN: usize = 2;

/// The most packets of a response to a poll in one turn.
const MAX_PACKETS_PER_TURN: usize = 128;

impl Driver {
    /// Reads from the transport. Returns `true` if there may be more input than one turn should handle.
    pub(super) fn poll_input<H: EngineHandler>(
        &mut self,
        handler: &mut H,
        now: Time,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.is_closed {
            return false;
        }
        let wants_input = wants_input(&self.machine, handler);
        self.set_read_paused(!wants_input, now);
        match &mut self.transport {
            Transport::WebSocket(_) if wants_input => self.read_websocket(handler, now, cx),
            Transport::Polling(_) => {
                self.poll_post(now, cx);
                self.poll_kept_connections(now, cx);
                wants_input && self.read_poll(handler, now, cx)
            }
            Transport::Opening(opening) => {
                match opening.poll(&mut self.client, cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(websocket)) => {
                        self.transport = Transport::WebSocket(websocket);
                        self.has_progressed = true;
                    }
                    Poll::Ready(Err(error)) => {
                        self.transport = Transport::Closed;
                        self.handle_transport_failure(error);
                    }
                }
                false
            }
            Transport::WebSocket(_) | Transport::Closed => false,
        }
    }

    fn set_read_paused(&mut self, paused: bool, now: Time) {
        if self.is_read_paused == paused {
            return;
        }
        self.is_read_paused = paused;
        self.machine.set_read_paused(paused, now);
        let next_ping = if paused { None } else { next_ping_deadline(&self.machine, now) };
        self.session.set_ping_deadline(next_ping);
    }

    fn read_websocket<H: EngineHandler>(&mut self, handler: &mut H, now: Time, cx: &mut Context<'_>) -> bool {
        for _ in 0..MAX_READS_PER_TURN {
            let Transport::WebSocket(websocket) = &mut self.transport else { return false };
            let mut dispatcher = Dispatcher {
                machine: &mut self.machine,
                session: &self.session,
                options: &self.options,
                handler,
            };
            let read = websocket.poll_read(now, cx, |packet, cx| {
                dispatcher.handle_packet(packet, now, cx);
                if dispatcher.wants_input() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            match read {
                Poll::Pending => return false,
                Poll::Ready(Err(end)) => {
                    self.handle_transport_end(end);
                    return false;
                }
                Poll::Ready(Ok(())) => {}
            }
            if !wants_input(&self.machine, handler) {
                return true;
            }
        }
        true
    }

    fn poll_post(&mut self, now: Time, cx: &mut Context<'_>) {
        let Transport::Polling(polling) = &mut self.transport else { return };
        match polling.poll_post(&mut self.client, now, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.machine.handle_post_finished();
                self.has_progressed = true;
            }
            Poll::Ready(Err(error)) => self.handle_transport_failure(error),
        }
    }

    /// Closes connections that were not used for some time, whether the handler wants input or not.
    fn poll_kept_connections(&mut self, now: Time, cx: &mut Context<'_>) {
        if let Transport::Polling(polling) = &mut self.transport {
            polling.poll_kept_connections(now, cx);
        }
    }

    /// Handles the response to a poll, or the next part of it.
    fn read_poll<H: EngineHandler>(&mut self, handler: &mut H, now: Time, cx: &mut Context<'_>) -> bool {
        let mut payload = match self.unfinished_poll.take() {
            Some(payload) => payload,
            None => {
                let Transport::Polling(polling) = &mut self.transport else { return false };
                match polling.poll_get(&mut self.client, now, cx) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(payload)) => Box::new(payload),
                    Poll::Ready(Err(error)) => {
                        self.handle_transport_end(TransportEnd::Failed(error));
                        return false;
                    }
                }
            }
        };
        let mut dispatcher = Dispatcher {
            machine: &mut self.machine,
            session: &self.session,
            options: &self.options,
            handler,
        };
        for _ in 0..MAX_PACKETS_PER_TURN {
            if !dispatcher.wants_input() {
                self.unfinished_poll = Some(payload);
                return true;
            }
            let Some(packet) = payload.next_packet() else {
                self.machine.handle_poll_finished();
                self.has_progressed = true;
                return false;
            };
            dispatcher.handle_packet(packet, now, cx);
        }
        self.unfinished_poll = Some(payload);
        true
    }
}

/// Passes the packets of the transport through the machine to the handler.
struct Dispatcher<'a, H> {
    machine: &'a mut Machine,
    session: &'a Session,
    options: &'a Options,
    handler: &'a mut H,
}

impl<H: EngineHandler> Dispatcher<'_, H> {
    fn wants_input(&self) -> bool {
        wants_input(self.machine, self.handler)
    }

    fn handle_packet(&mut self, packet: Result<Packet<'_>, ParseError>, now: Time, cx: &mut Context<'_>) {
        let is_ping = matches!(packet, Ok(Packet::Ping(_)));
        match self.machine.handle_packet(packet, now) {
            Received::Text(text) => self.handler.on_message(Message::Text(text), now, cx),
            Received::Binary(data) => self.handler.on_message(Message::Binary(data), now, cx),
            Received::Open => self.handle_open(now, cx),
            Received::Nothing => {}
        }
        if is_ping {
            self.session.set_ping_deadline(next_ping_deadline(self.machine, now));
            self.handler.on_ping();
        }
    }

    #[cold]
    fn handle_open(&mut self, now: Time, cx: &mut Context<'_>) {
        let is_websocket = self.machine.transport() == TransportName::WebSocket;
        self.options.set_prior_websocket_success(is_websocket);
        self.session.set_ping_deadline(next_ping_deadline(self.machine, now));
        if let Some(handshake) = self.machine.handshake() {
            self.session.set_id(&handshake.session_id);
            self.handler.on_open(handshake, now, cx);
        }
    }
}

/// A handler that accepts no messages still gets an open session.
fn wants_input(machine: &Machine, handler: &impl EngineHandler) -> bool {
    handler.wants_input() || machine.ready_state() == ReadyState::Opening
}

/// Returns when the server's next ping is overdue, if the previous one has arrived now.
fn next_ping_deadline(machine: &Machine, now: Time) -> Option<Time> {
    machine.handshake().map(|handshake| now + (handshake.ping_interval + handshake.ping_timeout))
}
