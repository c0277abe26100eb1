//! Sessions that move between the servers of a cluster: lost messages, servers that have just started, and limits.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tidewire_adapter::cluster::{ClusterOptions, LocalDelivery, PublishError};
use tidewire_adapter::testing::{Probe, TestHost, event, id};
use tidewire_adapter::{
    Adapter, BroadcastOptions, ClaimError, Host, JoinError, Limits, LocalSocket, RecoveryOptions, Replies,
    Reply, Request, Session,
};

use crate::support::Cluster;

const SECOND: Duration = Duration::from_secs(1);

/// The clocks of the servers have nothing to do with each other.
const CLOCKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(100_000), Duration::from_secs(1_000)];

/// The result of a claim, once there is one.
type Claimed = Arc<Mutex<Option<Result<Session, ClaimError>>>>;

impl Cluster {
    /// Starts servers that know each other and have an event in their logs.
    fn start_with_recovery(count: usize, set: impl Fn(&mut ClusterOptions)) -> Self {
        let mut cluster = Self::new(LocalDelivery::InLogOrder);
        for _ in 0..count {
            cluster.join_with_recovery(&set);
        }
        cluster.nodes[0].emit("first");
        cluster.bus.settle();
        cluster.bus.advance(2 * SECOND);
        cluster
    }

    /// Starts another server. Nothing reaches it yet.
    fn join_with_recovery(&mut self, set: impl Fn(&mut ClusterOptions)) {
        let clock = CLOCKS[self.nodes.len()];
        self.join(clock, set).enable_recovery(RecoveryOptions::new([7; 8]));
    }

    /// Keeps the session of a socket that has lost its connection.
    fn suspend(&self, node: usize, pid: &str) {
        let (recovery, probe) = (self.nodes[node].recovery(), Probe::new(id(100)));
        recovery.begin(pid, Arc::clone(&probe) as Arc<dyn LocalSocket>);
        recovery.suspend(&*probe, probe.generation(), self.nodes[node].server.now());
    }

    fn claim(&self, node: usize, pid: &str) -> Claimed {
        let claimed = Claimed::default();
        let then = Arc::clone(&claimed);
        let then = move |result| {
            let earlier = then.lock().expect("nothing panics").replace(result);
            assert!(earlier.is_none(), "it has one result");
        };
        self.nodes[node].recovery().claim(pid, None, self.nodes[node].server.now(), Box::new(then));
        claimed
    }

    /// Returns how many sessions each server keeps.
    fn kept(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.recovery().kept().sessions).collect()
    }
}

fn result(claimed: &Claimed) -> Option<Result<(), ClaimError>> {
    claimed.lock().expect("nothing panics").as_ref().map(|result| result.as_ref().map(|_| ()).map_err(|e| *e))
}

#[test]
fn a_copy_that_is_lost_leaves_the_session_where_it_is() {
    for back_on in [0, 1] {
        let cluster = Cluster::start_with_recovery(2, |_| {});
        cluster.suspend(0, "pid");
        let lost = cluster.claim(1, "pid");
        cluster.accept();
        cluster.nodes[0].deliver();
        cluster.accept();
        assert!(cluster.nodes[1].server.lose_one());
        cluster.bus.advance(SECOND);
        assert_eq!(result(&lost), Some(Err(ClaimError::ServerUnavailable)));
        assert_eq!(cluster.kept(), [1, 0]);
        let again = cluster.claim(back_on, "pid");
        cluster.bus.settle();
        assert_eq!(result(&again), Some(Ok(())), "on server {back_on}");
    }
}

/// Makes the bus refuse the messages with this name, until the test says otherwise.
fn refuse(cluster: &Cluster, name: &'static str) {
    cluster.bus.refuse(move |message| {
        let error = PublishError::TooLarge { size: 2, max: 1 };
        if message.name() == name { Err(error) } else { Ok(()) }
    });
}

#[test]
fn a_session_stays_with_its_server_until_another_one_acknowledges_that_it_has_it() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    let claim = cluster.claim(1, "pid");
    // The question and the copy, then the request to take the session and the confirmation.
    for _ in 0..2 {
        assert_eq!((result(&claim), cluster.kept()), (None, vec![1, 0]));
        for node in [0, 1] {
            cluster.accept();
            cluster.nodes[node].deliver();
        }
    }
    assert_eq!((result(&claim), cluster.kept()), (Some(Ok(())), vec![1, 1]));
    cluster.bus.settle();
    assert_eq!(cluster.kept(), [0, 1]);
}

#[test]
fn a_server_that_crashes_while_it_takes_a_session_does_not_lose_it() {
    for back_on in [0, 1] {
        let (mut crashed_before, mut crashed_after) = (0, 0);
        for moves in 0..20 {
            let mut cluster = Cluster::start_with_recovery(3, |_| {});
            cluster.suspend(0, "pid");
            let claim = cluster.claim(2, "pid");
            let server = |index: usize| &cluster.nodes[index].server;
            for _ in 0..moves {
                let _ = cluster.bus.accept_one() || (0..3).any(|index| server(index).deliver_one());
            }
            // What it has published and the bus has not accepted is lost.
            drop(cluster.nodes.pop());
            while cluster.bus.lose_one() {}
            cluster.bus.settle();
            let is_acknowledged = cluster.kept() == [0, 0];
            cluster.bus.advance(12 * SECOND);
            let again = cluster.claim(back_on, "pid");
            cluster.bus.settle();
            if is_acknowledged {
                assert_eq!(result(&claim), Some(Ok(())), "after {moves} moves");
                assert_eq!(result(&again), Some(Err(ClaimError::UnknownSession)), "after {moves} moves");
                crashed_after += 1;
            } else {
                assert_eq!(result(&again), Some(Ok(())), "after {moves} moves");
                crashed_before += 1;
            }
        }
        assert!(crashed_before > 3 && crashed_after > 3, "{crashed_before} and {crashed_after}");
    }
}

#[test]
fn nobody_gets_a_session_while_the_server_that_takes_it_may_have_it() {
    let mut cluster = Cluster::start_with_recovery(3, |_| {});
    cluster.suspend(0, "pid");
    refuse(&cluster, "session_taken");
    let claim = cluster.claim(2, "pid");
    cluster.bus.settle();
    assert_eq!(result(&claim), Some(Ok(())));
    // It crashes before it can acknowledge that. The others do not know it yet.
    drop(cluster.nodes.pop());
    cluster.bus.refuse(|_| Ok(()));
    for node in [0, 1] {
        let early = cluster.claim(node, "pid");
        cluster.bus.settle();
        cluster.bus.advance(SECOND);
        assert_eq!(result(&early), Some(Err(ClaimError::ServerUnavailable)), "on server {node}");
    }
    assert_eq!(cluster.kept(), [1, 0]);
    cluster.bus.advance(12 * SECOND);
    let later = cluster.claim(1, "pid");
    cluster.bus.settle();
    assert_eq!(result(&later), Some(Ok(())));
}

#[test]
fn a_confirmation_that_is_lost_is_repeated_while_the_client_waits() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    refuse(&cluster, "take_session_response");
    let claim = cluster.claim(1, "pid");
    cluster.bus.settle();
    assert_eq!(result(&claim), None);
    cluster.bus.refuse(|_| Ok(()));
    cluster.bus.advance(SECOND / 2);
    assert_eq!((result(&claim), cluster.kept()), (Some(Ok(())), vec![0, 1]));
}

#[test]
fn a_session_whose_handover_is_confirmed_too_late_stays_where_it_is() {
    for back_on in [0, 1, 2] {
        let cluster = Cluster::start_with_recovery(3, |_| {});
        cluster.suspend(0, "pid");
        refuse(&cluster, "take_session_response");
        let late = cluster.claim(1, "pid");
        cluster.bus.settle();
        cluster.bus.advance(SECOND);
        assert_eq!(result(&late), Some(Err(ClaimError::ServerUnavailable)));
        let early = cluster.claim(2, "pid");
        cluster.bus.settle();
        assert_eq!(result(&early), Some(Err(ClaimError::ServerUnavailable)), "the other may still take it");
        cluster.bus.refuse(|_| Ok(()));
        cluster.bus.advance(SECOND / 2);
        assert_eq!(cluster.kept(), [1, 0, 0]);
        let again = cluster.claim(back_on, "pid");
        cluster.bus.settle();
        assert_eq!(result(&again), Some(Ok(())), "on server {back_on}");
        let mut kept = [0; 3];
        kept[back_on] = 1;
        assert_eq!(cluster.kept(), kept);
    }
}

#[test]
fn an_acknowledgement_that_is_lost_is_repeated_and_the_session_may_move_on_meanwhile() {
    for back_on in [0, 1, 2] {
        let cluster = Cluster::start_with_recovery(3, |_| {});
        cluster.suspend(0, "pid");
        refuse(&cluster, "session_taken");
        let first = cluster.claim(1, "pid");
        cluster.bus.settle();
        assert_eq!((result(&first), cluster.kept()), (Some(Ok(())), vec![1, 1, 0]));
        cluster.bus.refuse(|_| Ok(()));
        let second = cluster.claim(back_on, "pid");
        cluster.bus.settle();
        assert_eq!(result(&second), Some(Ok(())), "on server {back_on}");
        cluster.bus.advance(SECOND);
        let mut kept = [0; 3];
        kept[back_on] = 1;
        assert_eq!(cluster.kept(), kept);
    }
}

#[test]
fn a_client_that_was_about_to_resume_a_session_loses_it_to_the_server_that_takes_it() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    let here = cluster.claim(0, "pid");
    let there = cluster.claim(1, "pid");
    refuse(&cluster, "session_taken");
    cluster.bus.settle();
    assert_eq!(result(&there), Some(Ok(())));
    let session = here.lock().expect("nothing panics").take().expect("a result").expect("claimed");
    let socket = Probe::new(id(100));
    let then = |resumed: Result<usize, ClaimError>| assert_eq!(resumed, Err(ClaimError::UnknownSession));
    let now = cluster.nodes[0].server.now();
    cluster.nodes[0].recovery().resume(session, socket, now, Box::new(then));
}

#[test]
fn a_session_does_not_replace_another_one_that_has_its_socket_id() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    let other = Probe::new(id(100));
    cluster.nodes[1].recovery().begin("other", Arc::clone(&other) as Arc<dyn LocalSocket>);
    let refused = cluster.claim(1, "pid");
    cluster.bus.settle();
    assert_eq!(result(&refused), Some(Err(ClaimError::IdInUse)));
    cluster.nodes[1].recovery().suspend(&*other, other.generation(), cluster.nodes[1].server.now());
    assert_eq!(cluster.kept(), [1, 1]);
    for (node, pid) in [(0, "pid"), (1, "other")] {
        let claim = cluster.claim(node, pid);
        cluster.bus.settle();
        assert_eq!(result(&claim), Some(Ok(())), "{pid}");
    }
}

#[test]
fn a_session_with_more_rooms_than_this_server_allows_is_not_recovered_with_some_of_them() {
    for (max_rooms, max_room_name_len, expected) in [
        (1, 9, Err(ClaimError::RoomsNotAllowed(JoinError::TooManyRooms { max: 1 }))),
        (2, 3, Err(ClaimError::RoomsNotAllowed(JoinError::NameTooLong { len: 4, max: 3 }))),
        (2, 4, Ok(())),
    ] {
        let cluster = Cluster::start_with_recovery(1, |_| {});
        let (node, probe) = (&cluster.nodes[0], Probe::new(id(100)));
        node.recovery().begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>);
        drop(node.adapter.add_all(probe.id(), &["room", "a"]).expect("its limits allow two rooms"));
        node.recovery().suspend(&*probe, probe.generation(), node.server.now());
        let claimed = cluster.claim(0, "pid");
        let session = claimed.lock().unwrap().take().expect("it is here").expect("it can be recovered");
        let back = Probe::that_may(id(100), Limits { max_rooms, max_room_name_len });
        let result = Arc::new(Mutex::new(None));
        let resumed = Arc::clone(&result);
        node.recovery().resume(
            session,
            Arc::clone(&back) as Arc<dyn LocalSocket>,
            node.server.now(),
            Box::new(move |result| *resumed.lock().unwrap() = Some(result.map(|_| ()))),
        );
        assert_eq!(*result.lock().unwrap(), Some(expected));
        let rooms = node.adapter.local().socket_rooms(probe.id());
        assert_eq!(rooms.len(), if expected.is_ok() { 3 } else { 0 }, "two, and that of its own id");
    }
}

#[test]
fn a_session_that_is_claimed_twice_has_one_owner() {
    let cluster = Cluster::start_with_recovery(3, |_| {});
    cluster.suspend(0, "pid");
    let claims = [1, 2].map(|node| cluster.claim(node, "pid"));
    cluster.bus.settle();
    assert_eq!(claims.map(|claim| result(&claim)), [Some(Ok(())), Some(Err(ClaimError::UnknownSession))]);
    assert_eq!(cluster.kept(), [0, 1, 0]);
    // A client that comes back twice to the same server gets its session there.
    let claims = [2, 2].map(|node| cluster.claim(node, "pid"));
    cluster.bus.settle();
    assert_eq!(claims.map(|claim| result(&claim)), [Some(Ok(())), Some(Ok(()))]);
    assert_eq!(cluster.kept(), [0, 0, 1]);
}

#[test]
fn a_server_that_has_just_started_waits_until_it_knows_the_others() {
    let mut cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    cluster.join_with_recovery(|_| {});
    assert_eq!(cluster.nodes[2].adapter.server_count(), Some(1));
    let claims = ["pid", "nobody has it"].map(|pid| cluster.claim(2, pid));
    assert_eq!(claims.each_ref().map(result), [None, None], "it knows nobody yet");
    // With this event, the servers have a common place in the log.
    cluster.nodes[0].emit("second");
    cluster.bus.settle();
    assert_eq!(claims.each_ref().map(result), [Some(Ok(())), None]);
    cluster.bus.advance(SECOND);
    assert_eq!(result(&claims[1]), Some(Err(ClaimError::UnknownSession)));
    assert_eq!(cluster.kept(), [0, 0, 1]);
    let unknown = cluster.claim(2, "nobody has it");
    cluster.bus.settle();
    assert_eq!(result(&unknown), Some(Err(ClaimError::UnknownSession)), "it knows the others now");
}

#[test]
fn a_server_without_the_log_of_the_others_refuses_a_session_and_does_not_destroy_it() {
    let mut cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    cluster.join_with_recovery(|_| {});
    let refused = cluster.claim(2, "pid");
    cluster.bus.settle();
    assert_eq!(result(&refused), Some(Err(ClaimError::LogTooShort)));
    assert_eq!(cluster.kept(), [1, 0, 0]);
    let again = cluster.claim(1, "pid");
    cluster.bus.settle();
    assert_eq!(result(&again), Some(Ok(())));
}

#[test]
fn a_server_that_has_lost_its_link_asks_who_is_there_again() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    let pending = cluster.claim(1, "pid");
    cluster.nodes[1].server.cut();
    assert_eq!(result(&pending), Some(Err(ClaimError::Gap)));
    cluster.bus.advance(20 * SECOND);
    assert_eq!(cluster.nodes[1].adapter.server_count(), Some(1), "the other one counts as dead");
    cluster.nodes[1].server.restore();
    cluster.suspend(0, "pid");
    let claim = cluster.claim(1, "pid");
    assert_eq!(result(&claim), None);
    cluster.nodes[0].emit("second");
    cluster.bus.settle();
    assert_eq!(result(&claim), Some(Ok(())));
}

#[test]
fn a_session_that_moves_again_and_again_expires_when_it_would_have_expired() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    for turn in 0..11 {
        cluster.bus.advance(10 * SECOND);
        cluster.nodes[0].emit("keeps the log");
        cluster.bus.settle();
        let claim = cluster.claim((turn + 1) % 2, "pid");
        cluster.bus.settle();
        assert_eq!(result(&claim), Some(Ok(())), "turn {turn}");
    }
    cluster.bus.advance(10 * SECOND);
    for node in [0, 1] {
        let claim = cluster.claim(node, "pid");
        cluster.bus.settle();
        assert!(matches!(result(&claim), Some(Err(ClaimError::Expired | ClaimError::UnknownSession))));
    }
}

#[test]
fn claims_and_requests_have_limits_of_their_own() {
    let cluster = Cluster::start_with_recovery(2, |options| {
        options.max_requests = 1;
        options.max_claims = 1;
    });
    cluster.suspend(0, "pid");
    let fetch = || {
        let received = Arc::new(Mutex::new(vec![]));
        let to = Arc::clone(&received);
        let replies = Replies::new(move |reply| to.lock().expect("nothing panics").push(reply));
        let request = Request { timeout: SECOND, now: cluster.nodes[1].server.now(), replies };
        cluster.nodes[1].adapter.fetch_sockets(&BroadcastOptions::new(), request);
        received
    };
    // Each one uses up its own limit.
    let (claim, fetched) = (cluster.claim(1, "pid"), fetch());
    let refused = cluster.claim(1, "pid");
    assert_eq!(result(&refused), Some(Err(ClaimError::TooManyClaims)));
    assert!(matches!(fetch().lock().expect("nothing panics")[..], [Reply::Missing(_)]));
    cluster.bus.settle();
    assert_eq!(result(&claim), Some(Ok(())));
    assert!(matches!(fetched.lock().expect("nothing panics")[..], [Reply::Sockets(_)]));
}

#[test]
fn claims_that_wait_for_the_bus_have_a_deadline() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    // The bus does not return this.
    cluster.nodes[0].emit("stuck");
    let claim = cluster.claim(0, "pid");
    cluster.nodes[0].adapter.handle_timeout(cluster.bus.now());
    assert_eq!(result(&claim), None);
    let later = cluster.bus.now() + SECOND;
    assert_eq!(cluster.nodes[0].adapter.poll_timeout(), Some(later));
    cluster.nodes[0].adapter.handle_timeout(later);
    assert_eq!(result(&claim), Some(Err(ClaimError::TimedOut)));
    cluster.bus.settle();
    let again = cluster.claim(0, "pid");
    assert_eq!(result(&again), Some(Ok(())), "nothing is lost");
}

#[test]
fn claims_that_wait_for_the_bus_are_bounded() {
    let cluster = Cluster::start_with_recovery(3, |options| options.max_claims = 2);
    let refused = Some(Err(ClaimError::TooManyClaims));
    cluster.suspend(0, "pid");
    cluster.nodes[0].emit("on its way");
    let claims = [0, 1, 2].map(|_| cluster.claim(0, "pid"));
    assert_eq!(claims.each_ref().map(result), [None, None, refused]);
    cluster.bus.settle();
    assert_eq!(claims.each_ref().map(result), [Some(Ok(())), Some(Ok(())), refused]);

    // Claims of other servers have a limit of their own.
    let claims = [1, 1, 2].map(|node| cluster.claim(node, "pid"));
    cluster.accept();
    cluster.nodes[0].emit("on its way");
    let own = cluster.claim(0, "pid");
    cluster.nodes[0].deliver();
    assert_eq!(result(&own), None);
    cluster.bus.settle();
    let refused = Some(Err(ClaimError::ServerUnavailable));
    assert_eq!(claims.each_ref().map(result), [Some(Ok(())), Some(Ok(())), refused]);
    assert_eq!(result(&own), Some(Ok(())));
}

#[test]
fn a_lost_link_refuses_the_claims_that_wait_for_the_bus() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    cluster.nodes[0].emit("lost");
    let claim = cluster.claim(0, "pid");
    cluster.nodes[0].server.cut();
    assert_eq!(result(&claim), Some(Err(ClaimError::Gap)));
}

#[test]
fn many_claims_do_not_delay_the_events_of_other_namespaces() {
    let cluster = Cluster::start_with_recovery(1, |_| {});
    let node = &cluster.nodes[0];
    let host = TestHost::new(0);
    let weak: Weak<TestHost> = Arc::downgrade(&host);
    let other = node.server.adapter_with("/other", weak as Weak<dyn Host>, |_| {});
    other.start(node.server.now());
    let probe = Probe::new(id(2));
    other.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
    cluster.bus.settle();
    cluster.suspend(0, "pid");
    node.emit("on its way");
    let claims: Vec<_> = (0..1_000).map(|_| cluster.claim(0, "pid")).collect();
    other.broadcast(&event("for others"), &BroadcastOptions::new());
    cluster.accept();
    let done = || claims.iter().filter(|claim| result(claim).is_some()).count();
    assert!(node.server.deliver_one());
    assert!(done() < 100, "{} claims come before the next message", done());
    assert!(node.server.deliver_one());
    assert_eq!(probe.texts().len(), 1);
    // The others are due at once.
    while node.adapter.poll_timeout() <= Some(cluster.bus.now()) {
        node.adapter.handle_timeout(cluster.bus.now());
    }
    assert_eq!(done(), 1_000);
}

#[test]
fn a_client_does_not_wait_for_a_server_that_leaves() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    let claim = cluster.claim(1, "pid");
    drop(cluster.nodes[0].adapter.close());
    cluster.bus.settle();
    assert_eq!(result(&claim), Some(Err(ClaimError::ServerUnavailable)));
    assert_eq!(cluster.nodes[0].host.take_links(), []);
}

#[test]
fn a_claimed_session_is_not_resumed_without_a_link() {
    let cluster = Cluster::start_with_recovery(2, |_| {});
    cluster.suspend(0, "pid");
    let claim = cluster.claim(0, "pid");
    let session = claim.lock().expect("nothing panics").take().expect("a result").expect("it is kept");
    cluster.nodes[0].server.cut();
    let socket = Probe::new(id(100));
    let resumed = Arc::new(Mutex::new(None));
    let then = Arc::clone(&resumed);
    let then = move |result: Result<usize, ClaimError>| *then.lock().expect("nothing panics") = Some(result);
    let now = cluster.nodes[0].server.now();
    let socket_of_session = Arc::clone(&socket) as Arc<dyn LocalSocket>;
    cluster.nodes[0].recovery().resume(session, socket_of_session, now, Box::new(then));
    assert_eq!(*resumed.lock().expect("nothing panics"), Some(Err(ClaimError::Gap)));
    cluster.nodes[0].emit("for others");
    assert_eq!((socket.texts().len(), socket.generation()), (0, 0), "it was not added");
}

#[test]
fn sessions_on_their_way_to_other_servers_have_a_limit() {
    let cluster = Cluster::start_with_recovery(3, |options| options.max_claims = 1);
    for (number, pid) in [(100, "first"), (101, "second")] {
        let (recovery, probe) = (cluster.nodes[0].recovery(), Probe::new(id(number)));
        recovery.begin(pid, Arc::clone(&probe) as Arc<dyn LocalSocket>);
        recovery.suspend(&*probe, probe.generation(), cluster.nodes[0].server.now());
    }
    let claims = [(1, "first"), (2, "second")].map(|(node, pid)| cluster.claim(node, pid));
    cluster.bus.settle();
    // Each of them is asked for and handed over in turn. The second one asks while the first is not acknowledged.
    let results = claims.each_ref().map(result);
    assert_eq!(results, [Some(Ok(())), Some(Err(ClaimError::UnknownSession))]);
    assert_eq!(cluster.kept(), [1, 1, 0], "the second one stays");
    let again = cluster.claim(2, "second");
    cluster.bus.settle();
    assert_eq!(result(&again), Some(Ok(())));
}
