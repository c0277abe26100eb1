//! Connection state recovery in a cluster whose message bus orders all events.
//!
//! Each server has the end of the log. A session is kept by the server that its socket was connected to. If its client comes
//! back to another server, that server asks all others for the session, and the one that has it gives it away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use socketio_proto::SocketId;
use ws_proto::Time;

use super::node::Link;
use super::{ClusterAdapter, Message, NodeId, RequestId};
use crate::local_socket::LocalSocket;
use crate::recovery::{ClaimError, Claimed, KeptForRecovery, PrivateId, Recovery, Resumed, Session};
use crate::request::{Replies, Reply, Request};

impl ClusterAdapter {
    /// Asks the other servers for a session.
    fn claim_from_others(&self, pid: Box<str>, offset: Option<Box<str>>, now: Time, then: Claimed) {
        let search = Search {
            adapter: self.this.clone(),
            pid: pid.clone(),
            offset,
            now,
            state: Mutex::new((Some(then), ClaimError::UnknownSession)),
        };
        let replies = Replies::new(move |reply| search.handle(reply));
        let request = Request { timeout: self.claim_timeout, now, replies };
        if let Some(request) = self.begin(request, false) {
            self.publish(&Message::ClaimSession { request, pid: pid.into() });
        }
    }

    /// Gives a session to another server that asks for it.
    pub(super) fn handle_claim(&self, sender: NodeId, request: RequestId, pid: PrivateId, now: Time) {
        self.log_order.run(self, move |adapter| {
            let session = adapter.local.export_session(&pid, now).map(Box::new);
            adapter.reply(&sender, &Message::ClaimSessionResponse { request, session });
        });
    }
}

/// A claim that waits for other servers.
struct Search {
    adapter: Weak<ClusterAdapter>,
    pid: Box<str>,
    offset: Option<Box<str>>,
    now: Time,
    /// Who waits for the result, and the reason if no server has the session.
    state: Mutex<(Option<Claimed>, ClaimError)>,
}

impl Search {
    fn handle(&self, reply: Reply) {
        match reply {
            Reply::Session(Some(session)) => {
                let then = self.state().0.take();
                let (Some(adapter), Some(then)) = (self.adapter.upgrade(), then) else { return };
                match adapter.local.import_session(*session, self.now) {
                    Ok(()) => adapter.local.claim(&self.pid, self.offset.as_deref(), self.now, then),
                    Err(error) => then(Err(error)),
                }
            }
            Reply::Missing(_) => self.state().1 = ClaimError::NodeLeft,
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, (Option<Claimed>, ClaimError)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Search {
    /// The request is over.
    fn drop(&mut self) {
        let (then, error) = {
            let mut state = self.state();
            (state.0.take(), state.1)
        };
        if let Some(then) = then {
            then(Err(error));
        }
    }
}

impl Recovery for ClusterAdapter {
    fn begin(&self, pid: &str, socket: Arc<dyn LocalSocket>) {
        self.local.begin(pid, socket);
    }

    fn suspend(&self, socket: &dyn LocalSocket, generation: u64, now: Time) {
        if self.log_order.is_empty() {
            return self.local.suspend(socket, generation, now);
        }
        // Earlier changes of its rooms may wait.
        if let Some(socket) = self.local.local_socket(socket.id()) {
            self.log_order.run(self, move |adapter| adapter.local.suspend(&*socket, generation, now));
        }
    }

    fn claim(&self, pid: &str, offset: Option<&str>, now: Time, then: Claimed) {
        if self.node().link() != Link::Up {
            return then(Err(ClaimError::Gap));
        }
        let (pid, offset) = (Box::<str>::from(pid), offset.map(Box::<str>::from));
        let (own_pid, own_offset) = (pid.clone(), offset.clone());
        self.log_order.run(self, move |adapter| {
            let this = adapter.this.clone();
            let claimed = Box::new(move |claimed| match (claimed, this.upgrade()) {
                (Err(ClaimError::UnknownSession), Some(this)) => {
                    this.claim_from_others(pid, offset, now, then);
                }
                (claimed, _) => then(claimed),
            });
            adapter.local.claim(&own_pid, own_offset.as_deref(), now, claimed);
        });
    }

    fn resume(&self, session: Session, socket: Arc<dyn LocalSocket>, now: Time, then: Resumed) {
        if self.node().link() != Link::Up {
            return then(Err(ClaimError::Gap));
        }
        self.local.resume(session, socket, now, then);
    }

    fn has_session(&self, id: &SocketId) -> bool {
        self.local.has_session(id)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.local.poll_timeout()
    }

    fn handle_timeout(&self, now: Time) -> Option<Time> {
        self.local.handle_timeout(now)
    }

    fn kept(&self) -> KeptForRecovery {
        self.local.kept()
    }
}
