//! Many threads at once: each event is delivered once and in order, and never to a socket that was removed.

use std::collections::HashMap;
use std::sync::{Arc, Barrier};
use std::thread;

use tidewire_adapter::testing::{Probe, event, id};
use tidewire_adapter::{BroadcastOptions, InMemoryAdapter, LocalSocket, Room};

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
