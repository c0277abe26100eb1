//! The connection that a polling session may upgrade to.

use std::ops::ControlFlow;
use std::task::{Context, Poll};

use engineio_proto::client::ReadyState;
use engineio_proto::{Packet, Transport as TransportName};
use ws_proto::Time;

use super::{Driver, Transport};
use crate::handler::EngineHandler;
use crate::transport::{OpeningWebSocket, TransportEnd, TransportError, WebSocket};

/// The candidate, before and after its handshake.
pub(super) enum Candidate {
    Opening(OpeningWebSocket),
    Open(Box<WebSocket>),
}

impl Driver {
    pub(super) fn open_candidate(&mut self, transport: TransportName) {
        debug_assert!(transport == TransportName::WebSocket, "polling is never a candidate");
        let opening = OpeningWebSocket::new(&self.client, self.machine.id());
        self.candidate = Some(Candidate::Opening(opening));
    }

    pub(super) fn send_to_candidate(&mut self, packet: &Packet<'_>) {
        if let Some(Candidate::Open(websocket)) = &mut self.candidate {
            websocket.send(packet);
        }
    }

    /// Uses the candidate as the transport from now on.
    pub(super) fn switch_to_candidate<H: EngineHandler>(&mut self, packet: &Packet<'_>, handler: &mut H) {
        let Some(Candidate::Open(mut websocket)) = self.candidate.take() else {
            return;
        };
        websocket.send(packet);
        self.transport = Transport::WebSocket(*websocket);
        let transport = self.machine.transport();
        self.session.set_transport(transport);
        self.options.set_prior_websocket_success(true);
        handler.on_upgrade(transport);
    }

    /// Closes the candidate, because the upgrade has taken too long, because of what the server has sent on it, or
    /// because the session is over.
    pub(super) fn close_candidate<H: EngineHandler>(&mut self, handler: &mut H, now: Time) {
        if self.machine.ready_state() == ReadyState::Open {
            handler.on_upgrade_error(TransportName::WebSocket, TransportError::NoProbeResponse);
        }
        if let Some(Candidate::Open(mut websocket)) = self.candidate.take() {
            websocket.close(now);
            self.abandoned = Some(websocket);
        }
    }

    /// Drives the closing handshake of a former candidate.
    pub(super) fn poll_abandoned(&mut self, now: Time, cx: &mut Context<'_>) {
        if let Some(websocket) = &mut self.abandoned
            && websocket.poll_close(now, cx).is_ready()
        {
            self.abandoned = None;
        }
    }

    /// Drives the candidate.
    pub(super) fn poll_candidate<H: EngineHandler>(
        &mut self,
        handler: &mut H,
        now: Time,
        cx: &mut Context<'_>,
    ) {
        let failed = match &mut self.candidate {
            None => return,
            Some(Candidate::Opening(opening)) => match opening.poll(&mut self.client, cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(websocket)) => {
                    self.candidate = Some(Candidate::Open(Box::new(websocket)));
                    self.machine.handle_candidate_connected();
                    self.has_progressed = true;
                    return;
                }
                Poll::Ready(Err(error)) => error,
            },
            Some(Candidate::Open(websocket)) => {
                let machine = &mut self.machine;
                // One packet at a time: what follows the pong belongs to the session, once the upgrade is done.
                let read = websocket.poll_read(now, cx, |packet, _| {
                    machine.handle_candidate_packet(&packet);
                    ControlFlow::Break(())
                });
                let end = match read {
                    Poll::Ready(Ok(())) => {
                        self.has_progressed = true;
                        return;
                    }
                    Poll::Ready(Err(end)) => Some(end),
                    Poll::Pending => match websocket.poll_flush(cx) {
                        Poll::Ready(Err(end)) => Some(end),
                        Poll::Ready(Ok(())) | Poll::Pending => None,
                    },
                };
                match end {
                    None => return,
                    Some(TransportEnd::Failed(error) | TransportEnd::Closed(Some(error))) => error,
                    Some(TransportEnd::Closed(None)) => TransportError::ConnectionClosed(None),
                }
            }
        };
        self.candidate = None;
        self.machine.handle_candidate_closed();
        self.has_progressed = true;
        handler.on_upgrade_error(TransportName::WebSocket, failed);
    }
}
