//! The tests that every adapter must pass.
//!
//! Each function is one test. [`adapter_suite!`](crate::adapter_suite) makes all of them tests of a crate. A test works
//! with any number of servers: it spreads the sockets over all of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use socketio_proto::SocketId;
use ws_proto::Time;

use super::{Happening, Probe, TestHost, event, event_with_ack, id};
use crate::adapter::Adapter;
use crate::host::Host;
use crate::limits::{JoinError, Limits};
use crate::local_socket::LocalSocket;
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::recovery::{ClaimError, Recovery, RecoveryOptions, Session};
use crate::request::{Missing, MissingReason, Replies, Reply, Request};
use crate::room::Room;

/// Makes the tests of [`suite`](crate::testing::suite) tests of a crate. The argument is an expression that starts a
/// [`Cluster`](crate::testing::suite::Cluster); each test evaluates it.
#[macro_export]
macro_rules! adapter_suite {
    ($start:expr) => {
        $crate::adapter_suite! {
            $start =>
            a_broadcast_reaches_each_member_of_the_union_once_except_the_excluded,
            broadcasts_of_one_server_arrive_in_their_order,
            a_local_broadcast_stays_on_its_server,
            a_removed_socket_receives_nothing_and_joins_nothing,
            selected_sockets_join_leave_and_disconnect_on_all_servers,
            a_socket_that_may_not_join_is_told_and_the_others_join,
            acknowledgements_of_all_clients_arrive_and_then_the_request_ends,
            a_client_that_disconnects_is_missing_at_once,
            clients_that_are_silent_are_missing_after_the_timeout,
            a_broadcast_with_ack_to_nobody_ends_at_once,
            a_local_broadcast_with_ack_asks_only_its_server,
            the_sockets_of_all_other_servers_are_fetched,
            a_server_side_event_reaches_every_other_server,
            the_responses_of_all_other_servers_arrive,
            a_server_that_leaves_is_missing_at_once,
            a_server_without_a_link_is_missing_at_once_and_back_later,
            an_adapter_that_recovers_sessions_says_so_and_any_other_refuses,
            a_session_gets_what_it_has_missed_in_the_order_of_the_log,
            a_session_that_is_claimed_is_not_consumed_and_is_resumed_once,
            a_claim_ends_the_connection_that_still_has_the_session,
            a_session_ends_when_its_socket_is_removed_and_after_its_time,
        }
    };
    ($start:expr => $($case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::testing::suite::$case(&$start);
            }
        )*
    };
}

/// The servers of a test, which share the namespace `/`.
pub trait Cluster {
    /// Returns the adapter and the namespace of each server. All servers know each other.
    fn servers(&self) -> Vec<(Arc<dyn Adapter>, Arc<TestHost>)>;

    /// Returns whether the adapters support connection state recovery. If they do, they must pass the tests of it. If they do
    /// not, [`Adapter::enable_recovery`] must return `false`.
    fn recovers(&self) -> bool;

    /// Returns whether what a server sends without a link reaches the others when the link is back. Default: it is lost.
    fn keeps_messages(&self) -> bool {
        false
    }

    /// Waits until every message has arrived. Default: there are none.
    fn settle(&self) {}

    /// Returns the time.
    fn now(&self) -> Time {
        Time::ZERO
    }

    /// Lets time pass. Default: nobody waits for it.
    fn advance(&self, by: Duration) {
        let _ = by;
    }

    /// Cuts or restores the link of a server. Returns `false` if the cluster cannot do that. Default: `false`.
    fn set_link(&self, server: usize, is_up: bool) -> bool {
        let _ = (server, is_up);
        false
    }
}

const TIMEOUT: Duration = Duration::from_secs(3);

/// A cluster with sockets 1, 2 and 3 on different servers, if there are enough servers. 1 is in rooms a and b, 2 is in b.
struct Test<'c> {
    cluster: &'c dyn Cluster,
    servers: Vec<(Arc<dyn Adapter>, Arc<TestHost>)>,
    probes: [Arc<Probe>; 3],
}

impl<'c> Test<'c> {
    fn new(cluster: &'c dyn Cluster) -> Self {
        let test = Self { cluster, servers: cluster.servers(), probes: [1, 2, 3].map(|n| Probe::new(id(n))) };
        for (index, probe) in test.probes.iter().enumerate() {
            test.of(index).insert(Arc::clone(probe) as Arc<dyn LocalSocket>);
        }
        for (index, rooms) in [&["a", "b"][..], &["b"], &[]].into_iter().enumerate() {
            let joined = test.of(index).add_all(&id(index as u8 + 1), rooms);
            assert!(joined.is_ok(), "the limits allow these rooms");
        }
        cluster.settle();
        test
    }

    /// The adapter that has this probe.
    fn of(&self, probe: usize) -> &dyn Adapter {
        &*self.servers[probe % self.servers.len()].0
    }

    fn adapters(&self) -> impl Iterator<Item = &dyn Adapter> {
        self.servers.iter().map(|(adapter, _)| &**adapter)
    }

    /// Returns how many events each probe has received.
    fn counts(&self) -> [usize; 3] {
        self.cluster.settle();
        self.probes.each_ref().map(|probe| probe.texts().len())
    }

    fn request(&self) -> (Request, Collected) {
        let collected = Collected::default();
        let replies = Arc::clone(&collected.replies);
        let open = Arc::new(());
        let is_open = Arc::downgrade(&open);
        let replies = Replies::new(move |reply| {
            let _ = &open;
            replies.lock().unwrap_or_else(PoisonError::into_inner).push(reply);
        });
        let request = Request { timeout: TIMEOUT, now: self.cluster.now(), replies };
        (request, Collected { is_open, ..collected })
    }

    /// Broadcasts an event with an acknowledgement from the first server.
    fn ask(&self, options: &BroadcastOptions) -> Collected {
        let (request, collected) = self.request();
        let (adapter, host) = &self.servers[0];
        let ack_id = host.next_ack_id();
        adapter.broadcast_with_ack(&event_with_ack("ask", ack_id), ack_id, options, request);
        self.cluster.settle();
        collected
    }

    /// Returns whether the two probes are on one server.
    fn are_together(&self, one: usize, other: usize) -> bool {
        one % self.servers.len() == other % self.servers.len()
    }
}

/// The first server of a cluster whose adapters recover sessions.
struct RecoveryTest<'c> {
    cluster: &'c dyn Cluster,
    servers: Vec<(Arc<dyn Adapter>, Arc<TestHost>)>,
}

impl<'c> RecoveryTest<'c> {
    /// Returns `None` if the adapters do not support recovery.
    fn new(cluster: &'c dyn Cluster) -> Option<Self> {
        let servers = cluster.servers();
        for (adapter, host) in &servers {
            let host = Arc::downgrade(host) as Weak<dyn Host>;
            let is_enabled = adapter.enable_recovery(RecoveryOptions::new([7; 8]), host);
            assert_eq!(is_enabled, cluster.recovers(), "whether recovery is enabled");
        }
        cluster.recovers().then_some(Self { cluster, servers })
    }

    fn adapter(&self) -> &dyn Adapter {
        &*self.servers[0].0
    }

    fn recovery(&self) -> &dyn Recovery {
        self.adapter().recovery().expect("it is enabled")
    }

    /// Emits an event from each server in turn.
    fn emit(&self, name: &str, options: &BroadcastOptions) {
        for (adapter, _) in &self.servers {
            adapter.broadcast(&event(name), options);
        }
        self.cluster.settle();
    }

    fn suspend(&self, probe: &Probe) {
        self.recovery().suspend(probe, probe.generation(), self.cluster.now());
        self.cluster.settle();
    }

    fn claim(&self, pid: &str, offset: Option<&str>) -> Result<Session, ClaimError> {
        let (send, claimed) = std::sync::mpsc::channel();
        let then = Box::new(move |result| assert!(send.send(result).is_ok(), "it is called once"));
        self.recovery().claim(pid, offset, self.cluster.now(), then);
        self.cluster.settle();
        claimed.try_recv().expect("the adapter has answered")
    }

    fn resume(&self, session: Session, probe: &Arc<Probe>) -> Result<usize, ClaimError> {
        let (send, resumed) = std::sync::mpsc::channel();
        let then = Box::new(move |result| assert!(send.send(result).is_ok(), "it is called once"));
        let socket = Arc::clone(probe) as Arc<dyn LocalSocket>;
        self.recovery().resume(session, socket, self.cluster.now(), then);
        self.cluster.settle();
        resumed.try_recv().expect("the adapter has answered")
    }

    /// Returns the names of the events that a probe has received, and the offset of the last one.
    fn received(probe: &Probe) -> (Vec<String>, Option<String>) {
        let texts = probe.texts();
        let offset = texts.last().and_then(|text| text.rsplit('"').next().map(str::to_owned));
        let name = |text: &String| text.split('"').next().unwrap_or_default().to_owned();
        (texts.iter().map(name).collect(), offset)
    }
}

/// The replies to a request.
#[derive(Default)]
struct Collected {
    replies: Arc<Mutex<Vec<Reply>>>,
    is_open: Weak<()>,
}

impl Collected {
    fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut self.replies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_open(&self) -> bool {
        self.is_open.strong_count() > 0
    }

    /// Takes the JSON of the acknowledgements, sorted. There must be no other reply.
    #[track_caller]
    fn acks(&self) -> Vec<String> {
        let json = |reply| match reply {
            Reply::Ack { arguments, .. } | Reply::Server { arguments, .. } => {
                arguments.json_elements().to_owned()
            }
            other => panic!("{other:?} is not an acknowledgement"),
        };
        let mut acks: Vec<_> = self.take().into_iter().map(json).collect();
        acks.sort();
        acks
    }
}

fn to(rooms: &[&str], except: &[&str]) -> BroadcastOptions {
    let options = rooms.iter().fold(BroadcastOptions::new(), |options, room| options.to(*room));
    except.iter().fold(options, |options, room| options.except(*room))
}

fn local() -> BroadcastOptions {
    let mut options = BroadcastOptions::new();
    options.local = true;
    options
}

#[allow(missing_docs, reason = "the names of the tests say what they show")]
mod cases {
    use super::*;

    pub fn a_broadcast_reaches_each_member_of_the_union_once_except_the_excluded(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let (one, two, three) = (&*id(1), &*id(2), &*id(3));
        for (rooms, except, expected) in [
            (&[][..], &[][..], [1, 1, 1]),
            (&["a"], &[], [1, 0, 0]),
            (&["b"], &[], [1, 1, 0]),
            (&["a", "b", "b"], &[], [1, 1, 0]),
            (&["a", "b"], &["a"], [0, 1, 0]),
            (&["nowhere"], &[], [0, 0, 0]),
            (&["nowhere", "a"], &["nowhere"], [1, 0, 0]),
            (&[], &["b"], [0, 0, 1]),
            (&[three], &[], [0, 0, 1]),
            (&[one, one, "a"], &[], [1, 0, 0]),
            (&["b", three], &[one], [0, 1, 1]),
            (&[], &[one, two, three], [0, 0, 0]),
        ] {
            for adapter in test.adapters() {
                adapter.broadcast(&event("x"), &to(rooms, except));
                assert_eq!(test.counts(), expected, "{rooms:?} {except:?}");
            }
        }
    }

    pub fn broadcasts_of_one_server_arrive_in_their_order(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let names: Vec<_> = (0..20).map(|number| format!("event {number}")).collect();
        for name in &names {
            test.of(0).broadcast(&event(name), &to(&["a", "b"], &[]));
        }
        cluster.settle();
        for probe in &test.probes[..2] {
            let texts = probe.texts();
            // A log appends its offset.
            let found: Vec<_> = texts.iter().map(|text| text.split('"').next().unwrap_or_default()).collect();
            assert_eq!(found, names);
        }
    }

    pub fn a_local_broadcast_stays_on_its_server(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        test.of(0).broadcast(&event("x"), &local());
        assert_eq!(test.counts(), [0, 1, 2].map(|probe| usize::from(test.are_together(0, probe))));
    }

    pub fn a_removed_socket_receives_nothing_and_joins_nothing(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        test.of(1).del_all(&id(2));
        for adapter in test.adapters() {
            adapter.add_sockets(&to(&[&id(2)], &[]), &["a"]);
            cluster.settle();
            adapter.broadcast(&event("x"), &to(&["a", "b", &id(2)], &[]));
            assert_eq!(test.counts(), [1, 0, 0]);
        }
        assert!(test.of(1).local().socket_rooms(&id(2)).is_empty());
    }

    pub fn selected_sockets_join_leave_and_disconnect_on_all_servers(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        for (number, adapter) in test.adapters().enumerate() {
            let room = &*format!("new {number}");
            adapter.add_sockets(&to(&["b"], &[]), &[room, "other"]);
            cluster.settle();
            adapter.broadcast(&event("x"), &to(&[room], &[]));
            assert_eq!(test.counts(), [1, 1, 0]);
            adapter.del_sockets(&to(&["other"], &["a"]), &[room]);
            cluster.settle();
            adapter.broadcast(&event("x"), &to(&[room], &[]));
            assert_eq!(test.counts(), [1, 0, 0]);
            adapter.disconnect_sockets(&to(&[&id(3)], &[]), true);
            cluster.settle();
            let expected = Happening::Disconnected { close_connection: true };
            assert_eq!(test.probes[2].take_log(), [expected]);
        }
        assert_eq!(test.counts(), [0, 0, 0]);
    }

    pub fn a_socket_that_may_not_join_is_told_and_the_others_join(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let limited = Probe::that_may(id(4), Limits { max_rooms: 1, max_room_name_len: 20 });
        let last = test.servers.len() - 1;
        test.of(last).insert(Arc::clone(&limited) as Arc<dyn LocalSocket>);
        test.of(0).add_sockets(&BroadcastOptions::new(), &["c", "d"]);
        cluster.settle();
        let refused = Happening::Refused(JoinError::TooManyRooms { max: 1 });
        assert_eq!(limited.take_log(), [refused]);
        test.of(0).broadcast(&event("x"), &to(&["d"], &[]));
        assert_eq!(test.counts(), [1, 1, 1]);
        assert!(limited.texts().is_empty());
    }

    pub fn acknowledgements_of_all_clients_arrive_and_then_the_request_ends(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let collected = test.ask(&BroadcastOptions::new());
        assert!(collected.is_open());
        for (index, probe) in test.probes.iter().enumerate() {
            assert_eq!(probe.packets_with_ack().len(), 1, "one copy");
            // Only the first argument is passed on, as in Node.
            probe.acknowledge(&format!(r#"[{{"number":{index}}},"more"]"#));
            cluster.settle();
            assert_eq!(collected.acks(), [format!(r#"{{"number":{index}}}"#)]);
            assert_eq!(collected.is_open(), index < 2);
        }
        cluster.advance(TIMEOUT * 2);
        assert_eq!(collected.take(), []);
    }

    pub fn a_client_that_disconnects_is_missing_at_once(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let collected = test.ask(&to(&["b"], &[]));
        test.probes[1].fail_ack(MissingReason::Disconnected);
        cluster.settle();
        let missing = Missing::Client { id: id(2).as_str().into(), reason: MissingReason::Disconnected };
        assert_eq!(collected.take(), [Reply::Missing(missing)]);
        test.probes[0].acknowledge("[1]");
        assert_eq!(collected.acks(), ["1"]);
        assert!(!collected.is_open());
    }

    pub fn clients_that_are_silent_are_missing_after_the_timeout(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let collected = test.ask(&BroadcastOptions::new());
        test.probes[1].acknowledge("[2]");
        cluster.settle();
        assert_eq!(collected.acks(), ["2"]);
        cluster.advance(TIMEOUT);
        // The deadlines of a server's own clients belong to their connections.
        let here = [0, 2].into_iter().filter(|probe| test.are_together(0, *probe));
        here.for_each(|probe| test.probes[probe].fail_ack(MissingReason::TimedOut));
        let replies = collected.take();
        let missing: usize = replies
            .iter()
            .map(|reply| match reply {
                Reply::Missing(Missing::Client { reason: MissingReason::TimedOut, .. }) => 1,
                Reply::Missing(Missing::Clients { count, reason: MissingReason::TimedOut, .. }) => *count,
                other => panic!("{other:?}"),
            })
            .sum();
        assert_eq!(missing, 2, "{replies:?}");
        assert!(!collected.is_open());
        // An acknowledgement that is late is ignored.
        for probe in [0, 2].into_iter().filter(|probe| !test.are_together(0, *probe)) {
            test.probes[probe].acknowledge("[3]");
        }
        cluster.settle();
        assert_eq!(collected.take(), []);
    }

    pub fn a_broadcast_with_ack_to_nobody_ends_at_once(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let collected = test.ask(&to(&["nowhere"], &[]));
        assert_eq!((collected.take(), collected.is_open()), (vec![], false));
    }

    pub fn a_local_broadcast_with_ack_asks_only_its_server(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let collected = test.ask(&local());
        let asked = test.probes.each_ref().map(|probe| probe.packets_with_ack().len());
        assert_eq!(asked, [0, 1, 2].map(|probe| usize::from(test.are_together(0, probe))));
        for (index, probe) in test.probes.iter().enumerate() {
            if test.are_together(0, index) {
                probe.acknowledge("[]");
            }
        }
        assert_eq!(collected.acks().len(), asked.iter().sum::<usize>());
        assert!(!collected.is_open());
    }

    pub fn the_sockets_of_all_other_servers_are_fetched(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let (request, collected) = test.request();
        test.of(0).fetch_sockets(&BroadcastOptions::new(), request);
        cluster.settle();
        let states: Vec<_> = collected
            .take()
            .into_iter()
            .flat_map(|reply| match reply {
                Reply::Sockets(sockets) => sockets,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(!collected.is_open());
        let here = test.of(0).local().sockets(&BroadcastOptions::new());
        let ids: BTreeSet<_> =
            states.iter().map(|state| &*state.id).chain(here.iter().map(SocketId::as_str)).collect();
        assert_eq!(ids, [id(1), id(2), id(3)].iter().map(SocketId::as_str).collect());
        assert_eq!(states.len() + here.len(), 3);
        for state in &states {
            assert_eq!((&*state.handshake, state.data.json_elements()), (r#"{"url":"/"}"#, "7"));
            let rooms = if *state.id == *id(2) {
                vec![Room::from(id(2)), "b".into()]
            } else {
                vec![Room::from(id(3))]
            };
            assert_eq!(state.rooms, rooms);
        }
        let (request, collected) = test.request();
        test.of(0).fetch_sockets(&local(), request);
        cluster.settle();
        assert_eq!((collected.take(), collected.is_open()), (vec![], false));
    }

    pub fn a_server_side_event_reaches_every_other_server(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        test.of(0).server_side_emit(&event("reload"), None);
        cluster.settle();
        for (index, (_, host)) in test.servers.iter().enumerate() {
            let events = host.take_events();
            let events: Vec<_> =
                events.iter().map(|event| (&*event.json, event.responder.is_some())).collect();
            let expected = [(r#"["reload"]"#, false)];
            assert_eq!(events, expected[..usize::from(index > 0)]);
        }
        assert_eq!(test.counts(), [0, 0, 0], "clients do not see it");
    }

    pub fn the_responses_of_all_other_servers_arrive(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let (request, collected) = test.request();
        test.of(0).server_side_emit(&event("load"), Some(request));
        cluster.settle();
        let others = test.servers.len() - 1;
        assert_eq!(test.of(0).server_count(), Some(test.servers.len()));
        for (index, (_, host)) in test.servers.iter().enumerate().skip(1) {
            assert!(collected.is_open());
            let Ok([event]) = <[_; 1]>::try_from(host.take_events()) else { panic!("one event") };
            event.respond(&format!("[{index},2]"));
            cluster.settle();
            assert_eq!(collected.acks(), [index.to_string()]);
            assert_eq!(collected.is_open(), index < others);
        }
        assert!(!collected.is_open());
        // A server that does not respond is missing after the timeout.
        let (request, collected) = test.request();
        test.of(0).server_side_emit(&event("load"), Some(request));
        cluster.settle();
        cluster.advance(TIMEOUT);
        let missing = collected.take();
        assert_eq!((missing.len(), collected.is_open()), (others, false));
        for reply in missing {
            let Reply::Missing(Missing::Server { reason: MissingReason::TimedOut, .. }) = reply else {
                panic!("{reply:?}")
            };
        }
    }

    pub fn a_server_that_leaves_is_missing_at_once(cluster: &dyn Cluster) {
        let test = Test::new(cluster);
        let collected = test.ask(&BroadcastOptions::new());
        let (request, other) = test.request();
        test.of(0).server_side_emit(&event("load"), Some(request));
        cluster.settle();
        for adapter in test.adapters().skip(1) {
            drop(adapter.close());
        }
        cluster.settle();
        let others = test.servers.len() - 1;
        let gone = |replies: Vec<Reply>| -> usize {
            let reasons = replies.iter().map(|reply| match reply {
                Reply::Missing(missing) if missing.reason() == MissingReason::Disconnected => match missing {
                    Missing::Clients { count, .. } => *count,
                    _ => 1,
                },
                other => panic!("{other:?}"),
            });
            reasons.sum()
        };
        assert_eq!((gone(other.take()), other.is_open()), (others, false));
        assert_eq!(gone(collected.take()), others.min(2));
        for (index, probe) in test.probes.iter().enumerate() {
            if test.are_together(0, index) {
                probe.acknowledge("[]");
            }
        }
        assert!(!collected.is_open());
        assert_eq!(test.of(0).server_count(), Some(1));
    }

    pub fn a_server_without_a_link_is_missing_at_once_and_back_later(cluster: &dyn Cluster) {
        use crate::host::LinkChange;

        let test = Test::new(cluster);
        let collected = test.ask(&to(&["b"], &["a"]));
        if !cluster.set_link(0, false) {
            return;
        }
        assert_eq!(test.servers[0].1.take_links(), [LinkChange::Lost]);
        assert_eq!(collected.take().len(), 1, "the client of the other server is missing");
        assert!(!collected.is_open(), "it does not wait for the timeout");
        // Without the link, the sockets of this server are reached, and nobody waits for the others.
        test.of(0).broadcast(&event("alone"), &BroadcastOptions::new());
        assert_eq!(test.counts(), [0, 1, 2].map(|probe| usize::from(test.are_together(0, probe))));
        let collected = test.ask(&to(&["b"], &["a"]));
        assert_eq!(collected.take().len(), test.servers.len() - 1);
        assert!(!collected.is_open());

        assert!(cluster.set_link(0, true));
        cluster.settle();
        let Ok([LinkChange::Restored { .. }]) = <[_; 1]>::try_from(test.servers[0].1.take_links()) else {
            panic!("the namespace is told")
        };
        // What was sent without the link is before it, if it was kept.
        let late =
            [0, 1, 2].map(|probe| usize::from(cluster.keeps_messages() && !test.are_together(0, probe)));
        test.of(0).broadcast(&event("together"), &BroadcastOptions::new());
        assert_eq!(test.counts(), late.map(|late| 1 + late));
        let collected = test.ask(&to(&["b"], &["a"]));
        test.probes[1].fail_ack(MissingReason::TimedOut);
        test.probes[1].acknowledge("[2]");
        cluster.settle();
        assert_eq!(collected.acks(), ["2"]);
        assert!(!collected.is_open());
    }

    pub fn an_adapter_that_recovers_sessions_says_so_and_any_other_refuses(cluster: &dyn Cluster) {
        let servers = cluster.servers();
        assert!(servers.iter().all(|(adapter, _)| adapter.recovery().is_none()), "not enabled yet");
        let test = RecoveryTest::new(cluster);
        let probe = Probe::new(id(1));
        match &test {
            Some(test) => test.recovery().begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>),
            None => servers[0].0.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>),
        }
        for (adapter, _) in &servers {
            assert_eq!(adapter.recovery().is_some(), cluster.recovers());
            adapter.broadcast(&event("x"), &BroadcastOptions::new());
        }
        cluster.settle();
        let (names, offset) = RecoveryTest::received(&probe);
        assert_eq!(names.len(), servers.len(), "events arrive in both cases");
        let Some(test) = test else { return };
        test.suspend(&probe);
        let session = test.claim("pid", offset.as_deref()).expect("the session is kept");
        assert_eq!(test.resume(session, &Probe::new(id(1))), Ok(0));
    }

    pub fn a_session_gets_what_it_has_missed_in_the_order_of_the_log(cluster: &dyn Cluster) {
        let Some(test) = RecoveryTest::new(cluster) else { return };
        let times = |name: &str| vec![name.to_owned(); test.servers.len()];
        let probe = Probe::new(id(1));
        test.recovery().begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>);
        assert!(test.adapter().add_all(&id(1), &["a", "b"]).is_ok());
        test.emit("received", &to(&["a"], &[]));
        let (names, offset) = RecoveryTest::received(&probe);
        assert_eq!(names, times("received"));
        test.emit("before it left", &to(&["b"], &[]));
        test.adapter().del(&id(1), "b");
        test.emit("after it left", &to(&["b"], &[]));
        test.suspend(&probe);
        assert_eq!(test.adapter().local().sockets(&BroadcastOptions::new()), []);
        test.emit("missed", &BroadcastOptions::new());
        test.emit("private", &to(&[&id(1)], &[]));
        test.emit("for others", &to(&[], &["a"]));
        test.emit("not logged", &local());
        test.emit(
            "not logged",
            &BroadcastOptions { policy: DeliveryPolicy::Volatile, ..BroadcastOptions::new() },
        );
        let session = test.claim("pid", offset.as_deref()).expect("the session is kept");
        assert_eq!((&session.id, &session.rooms[..]), (&id(1), &["a".into()][..]));
        test.emit("after the claim", &to(&["a"], &[]));
        let back = Probe::new(id(1));
        let missed = test.resume(session, &back).expect("nothing is lost");
        test.emit("live", &to(&["a"], &[]));
        let expected = ["before it left", "missed", "private", "after the claim", "live"].map(times).concat();
        assert_eq!(missed, 4 * test.servers.len());
        assert_eq!(RecoveryTest::received(&back).0, expected);
        assert_eq!(test.adapter().local().socket_rooms(&id(1)), [Room::from(id(1)), "a".into()]);
    }

    pub fn a_session_that_is_claimed_is_not_consumed_and_is_resumed_once(cluster: &dyn Cluster) {
        let Some(test) = RecoveryTest::new(cluster) else { return };
        assert_eq!(test.claim("nobody", None), Err(ClaimError::UnknownSession));
        let probe = Probe::new(id(1));
        test.recovery().begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>);
        test.suspend(&probe);
        let [first, second] = [0, 1].map(|_| test.claim("pid", None).expect("the session is kept"));
        assert_eq!(test.recovery().kept().sessions, 1);
        let back = Probe::new(id(1));
        assert_eq!(test.resume(first, &back), Ok(0));
        let late = Probe::new(id(1));
        assert_eq!(test.resume(second, &late), Err(ClaimError::UnknownSession));
        test.suspend(&probe);
        test.emit("live", &BroadcastOptions::new());
        assert_eq!(back.texts().len(), test.servers.len(), "the former socket cannot suspend it");
        assert_eq!((late.texts().len(), late.generation()), (0, 0));
    }

    pub fn a_claim_ends_the_connection_that_still_has_the_session(cluster: &dyn Cluster) {
        let Some(test) = RecoveryTest::new(cluster) else { return };
        let probe = Probe::new(id(1));
        test.recovery().begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>);
        let session = test.claim("pid", None).expect("the session is taken over");
        assert_eq!(probe.take_log(), [Happening::Disconnected { close_connection: true }]);
        let back = Probe::new(id(1));
        assert_eq!(test.resume(session, &back), Ok(0));
        test.emit("live", &BroadcastOptions::new());
        assert_eq!((probe.texts().len(), back.texts().len()), (0, test.servers.len()));
    }

    pub fn a_session_ends_when_its_socket_is_removed_and_after_its_time(cluster: &dyn Cluster) {
        let Some(test) = RecoveryTest::new(cluster) else { return };
        for number in [1, 2] {
            let probe = Probe::new(id(number));
            test.recovery().begin(&number.to_string(), Arc::clone(&probe) as Arc<dyn LocalSocket>);
            if number == 1 {
                test.adapter().del_all(&id(number));
            } else {
                test.suspend(&probe);
            }
            assert_eq!(test.recovery().has_session(&id(number)), number == 2);
        }
        assert_eq!(test.claim("1", None), Err(ClaimError::UnknownSession));
        assert!(test.claim("2", None).is_ok());
        test.emit("x", &BroadcastOptions::new());
        assert!(test.servers[0].1.timers() > 0, "somebody drops it in time");
        let later = test.cluster.now() + Duration::from_secs(1_000);
        assert_eq!(test.recovery().handle_timeout(later), None);
        assert_eq!(test.recovery().kept(), crate::recovery::KeptForRecovery::default());
        assert_eq!(test.claim("2", None), Err(ClaimError::UnknownSession));
    }
}

pub use cases::*;
