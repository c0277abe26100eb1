//! The observers learn each reason for which a session is not recovered, once for each client.
//!
//! `ClaimError::IdInUse` needs two sockets with one random id; a test of the adapter has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use adapter::cluster::LocalDelivery;
use adapter::{
    Adapter, Claimed, Host, KeptForRecovery, LocalSocket, Recovery, RecoveryOptions, Resumed, Session, Time,
};
use tidewire_server::{
    Builder, ClaimError, ConnectionStateRecovery, InMemoryAdapter, Observation, RecoveryRefusal, Server,
    Socket, SocketId, State,
};

use super::client::{Recovering, answer_sync};
use crate::cluster::Cluster;
use crate::support::{Joined, program, serve, soon};

/// Counts the refusals, as a program does for its metrics.
#[derive(Debug, Clone, Default)]
struct Refusals(Arc<Mutex<HashMap<RecoveryRefusal, usize>>>);

impl Refusals {
    fn observe(&self, builder: Builder) -> Builder {
        let counts = Arc::clone(&self.0);
        builder.observer(move |observation: &Observation<'_>| {
            if let Observation::RecoveryRefused { reason, .. } = observation {
                *counts.lock().expect("no panic").entry(*reason).or_default() += 1;
            }
        })
    }

    #[track_caller]
    fn expect_one(&self, reason: ClaimError) {
        let expected = HashMap::from([(RecoveryRefusal::Session(reason), 1)]);
        assert_eq!(*self.0.lock().expect("no panic"), expected);
    }
}

/// A client comes back that has not received what the server has sent to it.
async fn refused(
    reason: ClaimError,
    set: impl FnOnce(&mut ConnectionStateRecovery),
    happen: impl FnOnce(&Server, &Socket),
) {
    let refusals = Refusals::default();
    let (builder, mut program) = program();
    let mut recovery = ConnectionStateRecovery::default();
    set(&mut recovery);
    let io = refusals.observe(builder).connection_state_recovery(recovery).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    answer_sync(&io);
    let address = serve(&io).await;
    let client = Recovering::new(address).await;
    happen(&io, &program.joined().await);
    let (back, missed) = client.back(address).await;
    assert_eq!((back.recovered, missed.len()), (false, 0), "{reason}");
    refusals.expect_one(reason);
}

#[tokio::test]
async fn a_client_whose_time_is_over_is_refused() {
    refused(ClaimError::Expired, |recovery| recovery.max_disconnection_duration = Duration::ZERO, |_, _| {})
        .await;
}

#[tokio::test]
async fn a_client_whose_missed_events_the_log_has_forgotten_is_refused() {
    let emit = |io: &Server, _: &Socket| (0..30).for_each(|number| io.emit("x", number));
    refused(ClaimError::LogTooShort, |recovery| recovery.max_log_bytes = 1000, emit).await;
}

#[tokio::test]
async fn a_client_that_has_left_too_many_rooms_is_refused() {
    let leave = |io: &Server, socket: &Socket| {
        for room in ["a", "b"] {
            socket.join(room);
            io.to(room).emit("x", ());
            socket.leave(room);
        }
    };
    refused(ClaimError::RoomsForgotten, |recovery| recovery.max_left_rooms = 1, leave).await;
}

#[tokio::test]
async fn a_client_for_which_too_much_must_be_examined_is_refused() {
    let emit = |io: &Server, socket: &Socket| {
        socket.join(["a", "b"]);
        io.emit("missed", ());
        io.to("a").except("b").emit("for others", ());
    };
    refused(ClaimError::TooManyToExamine, |recovery| recovery.max_missed_events = 1, emit).await;
}

#[tokio::test]
async fn a_client_is_refused_without_a_link_or_an_answer_of_the_bus_or_of_the_other_server() {
    for reason in [ClaimError::Gap, ClaimError::TimedOut, ClaimError::ServerUnavailable] {
        let refusals = Refusals::default();
        let mut cluster = Cluster::start_with(LocalDelivery::InLogOrder, |builder| {
            let recovery = ConnectionStateRecovery::default();
            refusals.observe(builder).connection_state_recovery(recovery)
        })
        .await;
        cluster.servers.iter().for_each(answer_sync);
        let mut client = Recovering::new(cluster.addresses[0]).await;
        let _socket = cluster.programs[0].joined().await;
        cluster.servers[0].emit("received", ());
        cluster.bus.settle();
        client.expect(["received"]).await;
        let mut back_to = 0;
        match reason {
            ClaimError::Gap => cluster.attached[0].cut(),
            ClaimError::TimedOut => {
                cluster.servers[0].emit("lost", ());
                assert!(cluster.bus.lose_one());
            }
            _ => {
                cluster.attached[0].cut();
                back_to = 1;
            }
        }
        let passing = async {
            loop {
                tokio::task::yield_now().await;
                cluster.bus.settle();
                cluster.bus.advance(Duration::from_millis(100));
            }
        };
        let back = async {
            let (back, _) = client.back(cluster.addresses[back_to]).await;
            assert!(!back.recovered, "{reason}");
        };
        tokio::select! {
            () = soon(back) => {}
            () = passing => unreachable!("it does not end"),
        }
        refusals.expect_one(reason);
    }
}

/// An adapter that loses what it is asked.
struct Forgetful {
    local: InMemoryAdapter,
    loses: Loses,
}

#[derive(Debug, Clone, Copy)]
enum Loses {
    Claims,
    ClaimsInAPanic,
    Resumes,
}

impl Forgetful {
    fn inner(&self) -> &dyn Recovery {
        self.local.recovery().expect("it is enabled")
    }
}

impl Adapter for Forgetful {
    fn local(&self) -> &InMemoryAdapter {
        &self.local
    }

    fn enable_recovery(&self, options: RecoveryOptions, host: Weak<dyn Host>) -> bool {
        self.local.enable_recovery(options, host)
    }

    fn recovery(&self) -> Option<&dyn Recovery> {
        Some(self)
    }
}

impl Recovery for Forgetful {
    fn begin(&self, pid: &str, socket: Arc<dyn LocalSocket>) {
        self.inner().begin(pid, socket);
    }

    fn suspend(&self, socket: &dyn LocalSocket, generation: u64, now: Time) {
        self.inner().suspend(socket, generation, now);
    }

    fn claim(&self, pid: &str, offset: Option<&str>, now: Time, then: Claimed) {
        match self.loses {
            Loses::Claims => drop(then),
            Loses::ClaimsInAPanic => panic!("a defect of the adapter"),
            Loses::Resumes => self.inner().claim(pid, offset, now, then),
        }
    }

    fn resume(&self, _: Session, _: Arc<dyn LocalSocket>, _: Time, then: Resumed) {
        drop(then);
    }

    fn has_session(&self, id: &SocketId) -> bool {
        self.inner().has_session(id)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.inner().poll_timeout()
    }

    fn handle_timeout(&self, now: Time) -> Option<Time> {
        self.inner().handle_timeout(now)
    }

    fn kept(&self) -> KeptForRecovery {
        self.inner().kept()
    }
}

#[tokio::test]
async fn a_client_whose_adapter_does_not_answer_connects_as_a_new_one() {
    for loses in [Loses::Claims, Loses::ClaimsInAPanic, Loses::Resumes] {
        let refusals = Refusals::default();
        let (builder, _program) = program();
        let io = refusals
            .observe(builder)
            .adapter(move |_: &str, _: Weak<dyn Host>| -> Arc<dyn Adapter> {
                Arc::new(Forgetful { local: InMemoryAdapter::new(), loses })
            })
            .connection_state_recovery(ConnectionStateRecovery::default())
            .build();
        answer_sync(&io);
        let address = serve(&io).await;
        let (mut back, missed) = Recovering::new(address).await.back(address).await;
        assert_eq!((back.recovered, missed.len()), (false, 0), "{loses:?}");
        refusals.expect_one(ClaimError::ServerUnavailable);
        io.emit("live", ());
        back.expect(["live"]).await;
    }
}
