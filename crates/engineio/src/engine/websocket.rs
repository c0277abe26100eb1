//! WebSocket handshakes: for a new session, and for the upgrade of a polling session.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use engineio_proto::{Framing, Packet, Transport, WireFormat, handshake_json};
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use net::{AddressPermit, PendingUpgrade};
use tokio::runtime::Handle;
use ws_proto::{DeflateAgreement, HandshakeError, VerifiedRequest};

use super::Engine;
use crate::connection_error::ConnectionError;
use crate::driver::Driver;
use crate::handler::Application;
use crate::session::{Command, Session, UpgradeCandidate};
use crate::transport::WebSocket;

impl<A: Application> Engine<A> {
    pub(super) fn open_websocket(
        &self,
        parts: Parts,
        format: WireFormat,
        upgrade: PendingUpgrade,
        address: Option<AddressPermit>,
    ) -> Response<Full<Bytes>> {
        let accepted = match verify_handshake(&parts) {
            Ok(accepted) => accepted,
            Err(error) => return self.refuse_handshake(&error, &parts),
        };
        let deflate = self.negotiate_deflate(&accepted);
        let (revision, framing) = (format.revision, format.framing(Transport::WebSocket));
        let outbox_framing = WebSocket::outbox_framing_for(framing, deflate.is_some());
        let opened = self.new_session(Transport::WebSocket, outbox_framing, format, address, &parts);
        let registered = match opened {
            Ok(registered) => registered,
            Err(refusal) => return self.refuse_session(refusal, &parts),
        };
        spawn_upgrade(&accepted, deflate, upgrade, move |upgraded, deflate| {
            let options = registered.engine.options();
            let websocket = WebSocket::new(upgraded, revision, framing, deflate.as_ref(), options);
            let settings = &registered.engine.options().protocol;
            let handshake = handshake_json(registered.session.id(), Transport::WebSocket, settings);
            Some(Driver::websocket(registered, parts, websocket, &Packet::Open(&handshake)))
        })
    }

    pub(super) fn open_candidate(
        &self,
        session: Session,
        parts: &Parts,
        framing: Framing,
        upgrade: PendingUpgrade,
    ) -> Response<Full<Bytes>> {
        match verify_handshake(parts) {
            Ok(accepted) => {
                let deflate = self.negotiate_deflate(&accepted);
                spawn_upgrade(&accepted, deflate, upgrade, move |upgraded, deflate| {
                    let runtime = Handle::current();
                    let candidate = UpgradeCandidate { upgraded, framing, deflate, runtime };
                    session.send_command(Command::Candidate(candidate));
                    None::<Driver<A>>
                })
            }
            Err(error) => self.refuse_handshake(&error, parts),
        }
    }

    pub(super) fn refuse_handshake(&self, error: &HandshakeError, request: &Parts) -> Response<Full<Bytes>> {
        let reported = ConnectionError::TransportHandshakeError { error: error.to_string() };
        self.report_refused_request(&reported, Some(request));
        error.response().map(|body| Full::new(Bytes::from(body)))
    }

    fn negotiate_deflate(&self, request: &VerifiedRequest) -> Option<DeflateAgreement> {
        self.0.options.per_message_deflate.as_ref().and_then(|options| request.deflate(options))
    }
}

fn verify_handshake(request: &Parts) -> Result<VerifiedRequest, HandshakeError> {
    net::verify_handshake(
        &request.method,
        &request.uri,
        request.version,
        &request.headers,
        &request.extensions,
    )
}

/// Accepts a handshake. A new task passes the raw connection to `then`, and runs the future that `then` returns.
fn spawn_upgrade<F: Future<Output = ()> + Unpin + Send + 'static>(
    accepted: &VerifiedRequest,
    deflate: Option<DeflateAgreement>,
    upgrade: PendingUpgrade,
    then: impl FnOnce(net::Upgraded, Option<DeflateAgreement>) -> Option<F> + Send + 'static,
) -> Response<Full<Bytes>> {
    tokio::spawn(AfterUpgrade::Upgrading(Box::pin(async move {
        match net::finish_upgrade(upgrade).await {
            Ok(upgraded) => then(upgraded, deflate),
            Err(error) => {
                tracing::debug!(error = %net::ErrorChain(&error), "the connection ended before its upgrade");
                None
            }
        }
    })));
    // A client that offers subprotocols fails the connection if none is selected (browsers do). None of them means
    // anything to Engine.IO, so the first is selected, as in Node.
    let protocol = accepted.protocols().first().map(String::as_str);
    accepted.response(protocol, deflate.as_ref()).map(|()| Full::default())
}

/// A task that starts when the HTTP server hands over the connection.
///
/// This is written by hand, because an `async` block would reserve memory for the inner task twice, and would keep the
/// data of the handshake as long as the connection lives.
enum AfterUpgrade<F> {
    Upgrading(Pin<Box<dyn Future<Output = Option<F>> + Send>>),
    Running(F),
}

impl<F: Future<Output = ()> + Unpin> Future for AfterUpgrade<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Upgrading(upgrade) = &mut *self {
            match ready!(upgrade.as_mut().poll(cx)) {
                Some(task) => *self = Self::Running(task),
                None => return Poll::Ready(()),
            }
        }
        match &mut *self {
            Self::Running(task) => Pin::new(task).poll(cx),
            Self::Upgrading(_) => Poll::Pending,
        }
    }
}
