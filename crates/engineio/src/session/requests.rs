//! The requests of the HTTP side to the task of a session: commands, and the guards of a GET and a POST that wait.

use std::sync::atomic::Ordering;

use engineio_proto::{CloseReason, Framing, ResponseBody};
use net::Upgraded;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use ws_proto::DeflateAgreement;

use super::Session;
use crate::transport::PostRequest;

/// The description if the client cancels its poll.
pub(crate) const CANCELLED_POLL: &str = "the client ended a poll before its response";

/// A command of the HTTP side to the session's task.
pub(crate) enum Command {
    /// A GET waits for packets.
    Poll(oneshot::Sender<PollReply>),
    /// A POST has delivered packets.
    Post(PostRequest),
    /// A WebSocket connection is the candidate for an upgrade.
    Candidate(UpgradeCandidate),
    /// The application or the HTTP side closes the session.
    Close(CloseReason),
    /// The engine shuts down: the session closes as soon as its handler lets it.
    BeginClose,
    /// The engine closes the session, and does not wait for another poll, which may never come.
    CloseWithoutPoll(CloseReason),
    /// The application closes the session, and drops the messages that are queued.
    CloseDiscarding,
    /// The engine shuts down, and the time for the close is over: the connection ends at once.
    Abort,
}

/// A WebSocket connection to which a session may upgrade.
pub(crate) struct UpgradeCandidate {
    pub(crate) upgraded: Upgraded,
    /// The form of the outgoing packets after the upgrade.
    pub(crate) framing: Framing,
    /// Set if the connection has negotiated compression.
    pub(crate) deflate: Option<DeflateAgreement>,
    /// The runtime on which the connection was accepted.
    pub(crate) runtime: Handle,
}

/// The result of a GET.
#[derive(Debug)]
pub(crate) enum PollReply {
    /// Packets, encoded as the body of the response. This is the only copy.
    Packets(ResponseBody),
    /// The session has upgraded to WebSocket, and the queued packets have moved there.
    Upgraded,
    /// This is a second GET while another one waits.
    Overlap,
}

/// The one POST that a session may have. If the guard is dropped before [`finish`](Self::finish), the client has
/// disconnected in the middle of the request, and the session is closed.
pub(crate) struct PostGuard {
    session: Session,
    finished: bool,
}

impl PostGuard {
    /// Starts the one POST that a session may have. Returns `None` if another one is active.
    pub(crate) fn begin(session: Session) -> Option<Self> {
        let is_first = !session.0.has_active_post.swap(true, Ordering::AcqRel);
        is_first.then(|| Self { session, finished: false })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Records that the request has got its response.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for PostGuard {
    fn drop(&mut self) {
        // Closes the session first, so that no other POST is handled.
        if !self.finished {
            self.session.describe_close("the client ended a POST before its response");
            self.session.send_command(Command::Close(CloseReason::TransportError));
        }
        self.session.0.has_active_post.store(false, Ordering::Release);
    }
}

/// A GET that waits for its reply. If this is dropped before the response is complete, the client has disconnected.
/// Without a reply, the session's task notices this and closes the session. With a reply, its packets are lost, so
/// `drop` closes the session.
pub(crate) struct PendingPoll {
    session: Session,
    reply_receiver: oneshot::Receiver<PollReply>,
    /// Packets were taken, and their response is not complete yet.
    has_packets: bool,
}

impl PendingPoll {
    /// Requests packets from the session's task.
    pub(crate) fn begin(session: Session) -> Self {
        let (reply, replied) = oneshot::channel();
        session.send_command(Command::Poll(reply));
        Self { session, reply_receiver: replied, has_packets: false }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the reply. `None` if the session has ended or upgraded before there was one. If the reply has packets,
    /// call [`finish`](Self::finish) when their response is complete.
    pub(crate) async fn reply(&mut self) -> Option<PollReply> {
        let reply = (&mut self.reply_receiver).await.ok();
        self.has_packets = matches!(reply, Some(PollReply::Packets(_)));
        reply
    }

    /// Records that the packets are in the response.
    pub(crate) fn finish(mut self) {
        self.has_packets = false;
    }
}

impl Drop for PendingPoll {
    fn drop(&mut self) {
        // Close the channel first. Then a reply is either found here, or the session's task sees that the receiver is
        // gone.
        self.reply_receiver.close();
        if self.has_packets || matches!(self.reply_receiver.try_recv(), Ok(PollReply::Packets(_))) {
            self.session.describe_close(CANCELLED_POLL);
            self.session.send_command(Command::Close(CloseReason::TransportError));
        }
    }
}
