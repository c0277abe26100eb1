//! Many threads at once: each event is delivered once and in order, and never to a socket that was removed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Weak, mpsc};
use std::thread;

use tidewire_adapter::testing::{Probe, TestHost, event, id};
use tidewire_adapter::{
    Adapter, BroadcastOptions, Host, InMemoryAdapter, LocalSocket, Recovery, RecoveryOptions, Room, Time,
};

#[test]
fn events_of_each_thread_arrive_in_order_while_others_join_and_leave() {
    const EMITTERS: u8 = 3;
    const FRAMES: usize = 300;
    let adapter: Arc<InMemoryAdapter> = Arc::default();
    // The `steady` sockets stay in the room. The sockets of the threads below join and leave.
    let steady: Vec<_> = (0..20).map(|number| Probe::new(id(number))).collect();
    for probe in &steady {
        adapter.insert(Arc::clone(probe) as Arc<dyn LocalSocket>);
        adapter.add_all(probe.id(), &["hall", "second"]).unwrap();
    }
    let start = Barrier::new(usize::from(EMITTERS) + 3);
    thread::scope(|scope| {
        for emitter in 0..EMITTERS {
            let (adapter, start) = (&adapter, &start);
            scope.spawn(move || {
                start.wait();
                let options = BroadcastOptions::new().to("hall").to("second");
                for number in 0..FRAMES {
                    adapter.broadcast(&event(&format!("{emitter} {number}")), &options);
                }
            });
        }
        for thread in 0..3 {
            let (adapter, start) = (&adapter, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..300_u16 {
                    let own = id(100 + thread * 10 + (round % 10) as u8);
                    adapter.insert(Probe::new(own.clone()));
                    adapter.add_all(&own, &["hall", &format!("private {thread}")]).unwrap();
                    adapter.del(&own, "hall");
                    adapter.add_sockets(&BroadcastOptions::new().to(&own), &["second", "third"]);
                    if round % 3 == 0 {
                        adapter.del_all(&own);
                        adapter.add_all(&own, &["hall"]).unwrap();
                        assert!(adapter.socket_rooms(&own).is_empty());
                    }
                }
            });
        }
    });
    for probe in &steady {
        let mut next = HashMap::new();
        for text in probe.texts() {
            let (emitter, number) = text.split_once(' ').expect("the event name has two parts");
            let expected = next.entry(emitter.to_owned()).or_insert(0);
            assert_eq!(number.parse(), Ok(*expected), "emitter {emitter}");
            *expected += 1;
        }
        assert_eq!(next.len(), usize::from(EMITTERS));
        assert!(next.values().all(|count| *count == FRAMES), "{next:?}");
    }
    assert_eq!(adapter.sockets(&BroadcastOptions::new().to("hall")).len(), steady.len());
    for socket in adapter.sockets(&BroadcastOptions::new()) {
        adapter.del_all(&socket);
    }
    assert!(adapter.sockets(&BroadcastOptions::new().to(Room::from("third")).to("second")).is_empty());
}

/// Ends the emitters when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The rooms of a session are joined, and its missed events are sent, at one place in the order of the log.
#[test]
fn a_session_that_comes_back_while_others_broadcast_gets_each_event_once_and_in_order() {
    const EMITTERS: usize = 3;
    const ROUNDS: usize = 300;
    let adapter = Arc::new(InMemoryAdapter::new());
    let host = TestHost::new(0);
    let weak: Weak<TestHost> = Arc::downgrade(&host);
    let mut options = RecoveryOptions::new([7; 8]);
    // A thread may wait for long.
    (options.max_missed_events, options.max_missed_bytes) = (usize::MAX / 4, usize::MAX / 4);
    options.max_log_bytes = 1 << 30;
    assert!(adapter.enable_recovery(options, weak as Weak<dyn Host>));
    let mut probe = Probe::new(id(1));
    adapter.begin("pid", Arc::clone(&probe) as Arc<dyn LocalSocket>);
    adapter.add_all(&id(1), &["hall", "second"]).unwrap();
    // It never loses its connection.
    let steady = Probe::new(id(2));
    adapter.begin("steady", Arc::clone(&steady) as Arc<dyn LocalSocket>);
    adapter.add_all(&id(2), &["hall", "second"]).unwrap();
    let start = Barrier::new(EMITTERS + 1);
    let is_over = AtomicBool::new(false);
    let mut received = vec![];
    let sent: Vec<usize> = thread::scope(|scope| {
        let emitters: Vec<_> = (0..EMITTERS)
            .map(|emitter| {
                let (adapter, start, is_over) = (&adapter, &start, &is_over);
                scope.spawn(move || {
                    // In both rooms, in a room that it joins last, and to all.
                    let selected = [
                        BroadcastOptions::new().to("hall").to("second"),
                        BroadcastOptions::new().to("second"),
                    ];
                    let options = selected.get(emitter).cloned().unwrap_or_default();
                    start.wait();
                    let mut number = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        adapter.broadcast(&event(&format!("{emitter} {number}")), &options);
                        number += 1;
                        thread::yield_now();
                    }
                    number
                })
            })
            .collect();
        // Also if the test fails.
        let stop = Stop(&is_over);
        start.wait();
        let mut offset = None;
        for round in 0..ROUNDS {
            if round % 2 == 0 {
                adapter.suspend(&*probe, probe.generation(), Time::ZERO);
            }
            // Otherwise nobody has noticed the end of the connection. What came last is lost with it.
            let texts = probe.texts();
            for text in texts.iter().take(texts.len() - texts.len() / 3) {
                let (name, rest) = text.split_once('"').expect("an offset");
                received.push(name.to_owned());
                offset = rest.rsplit('"').next().map(str::to_owned);
            }
            let (send, session) = mpsc::channel();
            adapter.claim(
                "pid",
                offset.as_deref(),
                Time::ZERO,
                Box::new(move |session| {
                    send.send(session).expect("the test waits");
                }),
            );
            let session = session.recv().expect("a result").expect("nothing is lost");
            probe = Probe::new(id(1));
            let socket = Arc::clone(&probe) as Arc<dyn LocalSocket>;
            adapter.resume(
                session,
                socket,
                Time::ZERO,
                Box::new(|resumed| {
                    resumed.expect("nothing is lost");
                }),
            );
        }
        drop(stop);
        emitters.into_iter().map(|emitter| emitter.join().expect("no panic")).collect()
    });
    let name = |text: &String| text.split('"').next().unwrap_or_default().to_owned();
    received.extend(probe.texts().iter().map(name));
    let steady: Vec<_> = steady.texts().iter().map(name).collect();
    assert_eq!(steady.len(), sent.iter().sum::<usize>());
    let differs = received.iter().zip(&steady).position(|(one, other)| one != other);
    assert_eq!((differs, received.len()), (None, steady.len()), "both get the same events in the same order");
}
