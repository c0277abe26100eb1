//! The seam to the engine: how the driver opens a connection, and what it sends with.
//!
//! In a program, the engine is `engineio-client`. The tests of this crate have a simulated one.

#[cfg(test)]
pub(crate) mod simulation;

use std::sync::Arc;
use std::task::{Context, Poll};

use engineio_client::{Closed, ConnectError, Connector, EngineHandler, Handshake, Message};
use engineio_proto::{CloseReason, SharedMessage, Transport};
use handlers::with_encoder;
use socketio_proto::{EncodeError, Parser};
use ws_proto::Time;

use crate::error::TransportError;
use crate::outgoing::{Outgoing, with_outgoing};

/// The most bytes that are passed to the engine ahead of what it has sent. More are kept in the send buffers of the
/// sockets: what lies there survives the end of the connection. A message that is longer is passed alone.
pub(crate) const MAX_BYTES_AHEAD: usize = 256 * 1024;

/// Handles what happens on one connection.
pub(crate) trait LinkHandler {
    /// The connection is open. Called at most once, before the first message.
    fn on_open(&mut self, now: Time, cx: &mut Context<'_>);

    /// A message has arrived.
    fn on_message(&mut self, message: Message<'_>, now: Time, cx: &mut Context<'_>);

    /// The connection, or the attempt to open it, has ended. Called once. No message follows.
    fn on_close(&mut self, closed: LinkClosed);

    /// The server has sent a ping.
    fn on_ping(&mut self);

    /// The connection uses another transport from now on.
    fn on_upgrade(&mut self, transport: Transport);

    /// Returns whether messages may be read now.
    fn wants_input(&self) -> bool;
}

/// How a connection has ended, or why it did not open.
#[derive(Debug, Clone)]
pub(crate) struct LinkClosed {
    pub(crate) reason: CloseReason,
    /// What has gone wrong, in words.
    pub(crate) error: TransportError,
}

/// Opens connections.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    Connector(Box<Connector>),
    #[cfg(test)]
    Simulated(simulation::Network),
}

/// One connection, or the attempt to open it. The driver of the client polls it.
#[derive(Debug)]
pub(crate) enum EngineDriver {
    Connector(Box<engineio_client::Driver>),
    #[cfg(test)]
    Simulated(simulation::Link),
}

/// The sending half of a connection.
#[derive(Debug, Clone)]
pub(crate) enum Session {
    Connector(engineio_client::Session),
    #[cfg(test)]
    Simulated(simulation::LinkSender),
}

impl Engine {
    /// Starts an attempt to open a connection. It makes progress while its driver is polled.
    pub(crate) fn connect(&self) -> Result<(Session, EngineDriver), ConnectError> {
        match self {
            Self::Connector(connector) => {
                let (session, driver) = connector.connect()?;
                Ok((Session::Connector(session), EngineDriver::Connector(Box::new(driver))))
            }
            #[cfg(test)]
            Self::Simulated(network) => {
                let (sender, link) = network.connect();
                Ok((Session::Simulated(sender), EngineDriver::Simulated(link)))
            }
        }
    }
}

impl EngineDriver {
    /// Makes progress, and calls the handler for what has happened. Ready when the connection is closed and nothing is
    /// left to do.
    pub(crate) fn poll(&mut self, handler: &mut impl LinkHandler, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Connector(driver) => driver.poll(&mut Adapter(handler), cx),
            #[cfg(test)]
            Self::Simulated(link) => link.poll(handler, cx),
        }
    }
}

/// Implements the trait of the engine.
struct Adapter<'a, H>(&'a mut H);

impl<H: LinkHandler> EngineHandler for Adapter<'_, H> {
    fn on_open(&mut self, _: &Handshake, now: Time, cx: &mut Context<'_>) {
        self.0.on_open(now, cx);
    }

    fn on_message(&mut self, message: Message<'_>, now: Time, cx: &mut Context<'_>) {
        self.0.on_message(message, now, cx);
    }

    fn on_close(&mut self, closed: Closed, _: Time, _: &mut Context<'_>) {
        let Closed { reason, error, .. } = closed;
        let error = match error {
            Some(error) => TransportError::new(error),
            None => TransportError::new(reason.as_str()),
        };
        self.0.on_close(LinkClosed { reason, error });
    }

    fn on_ping(&mut self) {
        self.0.on_ping();
    }

    fn on_upgrade(&mut self, transport: Transport) {
        self.0.on_upgrade(transport);
    }

    fn wants_input(&self) -> bool {
        self.0.wants_input()
    }
}

impl Session {
    /// Sends a packet.
    pub(crate) fn send(&self, packet: Outgoing<'_>) {
        match self {
            Self::Connector(session) => match packet.converted {
                None => session.send(packet.message),
                Some(messages) => session.send_batch(messages),
            },
            #[cfg(test)]
            Self::Simulated(sender) => sender.send(&packet.message),
        }
    }

    /// Sends a packet that was buffered.
    pub(crate) fn send_shared(
        &self,
        message: &SharedMessage,
        parser: Option<&Arc<dyn Parser>>,
    ) -> Result<(), EncodeError> {
        with_encoder(|encoder| {
            encoder.begin();
            let (head, body) = message.text().split_at(message.text().len() - message.body().len());
            encoder.text().extend_from_slice(head.as_bytes());
            encoder.begin_body();
            let (text, attachments) = encoder.text_and_attachments();
            text.extend_from_slice(body.as_bytes());
            for attachment in message.attachments() {
                attachments.push(attachment);
            }
            let message = encoder.finish().with_compression(message.allows_compression());
            with_outgoing(parser, message, |packet| self.send(packet))
        })
    }

    /// Returns whether a message would leave at once.
    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Self::Connector(session) => session.is_writable(),
            #[cfg(test)]
            Self::Simulated(sender) => sender.is_writable(),
        }
    }

    /// Returns whether the connection can take a message of `len` bytes now: it is neither over nor probably broken, and
    /// few bytes are queued.
    pub(crate) fn accepts(&self, len: usize, now: Time) -> bool {
        match self {
            Self::Connector(session) => {
                let queued = session.buffered();
                (queued == 0 || queued.saturating_add(len) <= MAX_BYTES_AHEAD)
                    && !session.is_closed()
                    && !session.is_ping_overdue(now)
            }
            #[cfg(test)]
            Self::Simulated(sender) => sender.accepts(len),
        }
    }

    /// Returns the transport in use.
    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Connector(session) => session.transport(),
            #[cfg(test)]
            Self::Simulated(_) => Transport::WebSocket,
        }
    }

    /// Closes the connection after the queued messages have been sent.
    pub(crate) fn close(&self) {
        match self {
            Self::Connector(session) => session.close(),
            #[cfg(test)]
            Self::Simulated(sender) => sender.close(),
        }
    }
}
