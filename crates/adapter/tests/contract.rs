//! Tests of the delivery rules, one by one.

use std::any::Any;
use std::sync::{Arc, Mutex};

use tidewire_adapter::testing::{Happening, Probe, event, id};
use tidewire_adapter::{
    Adapter, BroadcastOptions, DeliveryPolicy, InMemoryAdapter, JoinError, Limits, LocalSocket, Room,
    RoomChange,
};

/// Creates three sockets: 1 is in rooms a and b, 2 is in b, and 3 is in no room.
fn three() -> (InMemoryAdapter, [Arc<Probe>; 3]) {
    let adapter = InMemoryAdapter::new();
    let probes = [1, 2, 3].map(|number| Probe::new(id(number)));
    for probe in &probes {
        adapter.insert(Arc::clone(probe) as Arc<dyn LocalSocket>);
    }
    adapter.add_all(&id(1), &["a", "b"]).expect("the limits allow these rooms");
    adapter.add_all(&id(2), &["b"]).expect("the limits allow this room");
    (adapter, probes)
}

fn to(rooms: &[&str], except: &[&str]) -> BroadcastOptions {
    let options = rooms.iter().fold(BroadcastOptions::new(), |options, room| options.to(*room));
    except.iter().fold(options, |options, room| options.except(*room))
}

#[test]
fn a_broadcast_reaches_each_member_of_the_union_once_except_the_excluded() {
    let (adapter, probes) = three();
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
        let count = adapter.broadcast(&event("x"), &to(rooms, except));
        assert_eq!(probes.each_ref().map(|probe| probe.texts().len()), expected, "{rooms:?} {except:?}");
        assert_eq!(count, expected.iter().sum::<usize>(), "{rooms:?} {except:?}");
    }
}

#[test]
fn another_socket_may_join_the_room_of_an_id() {
    let (adapter, probes) = three();
    adapter.add_all(&id(2), &[&id(3)]).unwrap();
    assert_eq!(adapter.broadcast(&event("x"), &to(&[&id(3)], &[])), 2);
    assert_eq!(probes.each_ref().map(|probe| probe.texts().len()), [0, 1, 1]);
    assert_eq!(adapter.broadcast(&event("x"), &to(&["b"], &[&id(3)])), 1);
    adapter.del_all(&id(3));
    assert_eq!(adapter.sockets(&to(&[&id(3)], &[])), [id(2)]);
}

#[test]
fn a_socket_is_in_the_room_of_its_id_and_in_the_rooms_it_has_joined() {
    let (adapter, _) = three();
    adapter.add_all(&id(1), &["a", &id(1)]).unwrap();
    let mut rooms = adapter.socket_rooms(&id(1));
    assert_eq!(rooms[0], Room::from(id(1)));
    rooms[1..].sort();
    assert_eq!(rooms, [Room::from(id(1)), "a".into(), "b".into()]);
    adapter.del(&id(1), "a");
    adapter.del(&id(1), &id(1));
    adapter.del(&id(1), "nowhere");
    assert_eq!(adapter.socket_rooms(&id(1)), [Room::from(id(1)), "b".into()]);
    assert!(adapter.socket_rooms(&id(9)).is_empty());
}

#[test]
fn a_removed_socket_joins_no_room() {
    let (adapter, _) = three();
    adapter.del_all(&id(2));
    adapter.del_all(&id(2));
    adapter.add_all(&id(2), &["b", "c"]).unwrap();
    adapter.del(&id(2), "b");
    assert_eq!(adapter.sockets(&to(&["b", "c"], &[])), [id(1)]);
    assert!(adapter.local_socket(&id(2)).is_none());
}

#[test]
fn an_id_that_is_added_again_starts_without_rooms() {
    let (adapter, probes) = three();
    adapter.insert(Probe::new(id(1)));
    assert_eq!(adapter.socket_rooms(&id(1)), [Room::from(id(1))]);
    assert_eq!(adapter.broadcast(&event("x"), &BroadcastOptions::new()), 3);
    assert_eq!(probes[0].texts().len(), 0);
}

#[test]
fn selected_sockets_join_and_leave_together() {
    let (adapter, _) = three();
    adapter.add_sockets(&to(&["b"], &[&id(1)]), &["c", "d"]);
    assert_eq!(adapter.sockets(&to(&["c"], &[])), [id(2)]);
    adapter.add_sockets(&BroadcastOptions::new(), &["c"]);
    assert_eq!(adapter.sockets(&to(&["c"], &[])).len(), 3);
    // The room that is left may also be the room that selects the sockets.
    adapter.del_sockets(&to(&["c"], &["a"]), &["c", "b"]);
    assert_eq!(adapter.sockets(&to(&["c", "b"], &[])), [id(1)]);
}

#[test]
fn the_limits_bound_the_number_of_rooms_and_the_length_of_their_names() {
    let adapter = InMemoryAdapter::new();
    let probe = Probe::that_may(id(1), Limits { max_rooms: 2, max_room_name_len: 20 });
    adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
    let long = "x".repeat(21);
    let too_long = JoinError::NameTooLong { len: 21, max: 20 };
    let too_many = JoinError::TooManyRooms { max: 2 };
    assert_eq!(adapter.add_all(&id(1), &["a", &long, "b"]), Err(too_long));
    assert_eq!(adapter.socket_rooms(&id(1)), [Room::from(id(1)), "a".into()]);
    // The room of its own id does not count, and neither does a room that it has already joined.
    assert_eq!(adapter.add_all(&id(1), &[&long[..20], &id(1), "a"]), Ok(()));
    assert_eq!(adapter.add_all(&id(1), &["a", "b"]), Err(too_many));
    assert_eq!(adapter.sockets(&to(&["b", &long], &[])), []);
    // Each socket has its own limits, and the socket that could not join is told.
    adapter.insert(Probe::new(id(2)));
    adapter.add_sockets(&BroadcastOptions::new(), &["b", "c"]);
    assert_eq!(probe.take_log(), [Happening::Refused(too_many)]);
    assert_eq!(adapter.sockets(&to(&["b", "c"], &[])), [id(2)]);
    // After it leaves a room, it may join another one.
    adapter.del(&id(1), "a");
    assert_eq!(adapter.add_all(&id(1), &["b"]), Ok(()));
}

#[test]
fn a_socket_that_is_woken_or_disconnected_may_call_the_adapter() {
    let adapter: Arc<dyn Adapter> = Arc::new(InMemoryAdapter::new());
    let probes = [1, 2].map(|number| Probe::that_leaves(id(number), Arc::clone(&adapter)));
    adapter.insert(Arc::clone(&probes[0]) as Arc<dyn LocalSocket>);
    let mut options = BroadcastOptions::new();
    options.policy = DeliveryPolicy::KeepLatest("key".into());
    adapter.broadcast(&event("x"), &options);
    let received = Happening::Received { text: "x".into(), policy: options.policy.clone() };
    assert_eq!(probes[0].take_log(), [received, Happening::Woken]);
    assert!(adapter.local().local_socket(&id(1)).is_none());

    adapter.insert(Arc::clone(&probes[1]) as Arc<dyn LocalSocket>);
    adapter.disconnect_sockets(&BroadcastOptions::new(), true);
    assert_eq!(probes[1].take_log(), [Happening::Disconnected { close_connection: true }]);
    assert!(adapter.local().local_socket(&id(2)).is_none());
    assert_eq!(adapter.server_count(), Some(1));
}

#[test]
fn the_server_can_downcast_a_socket_that_it_added() {
    let (adapter, probes) = three();
    let member = adapter.local_socket(&id(1)).expect("the socket was added");
    let probe = (member as Arc<dyn Any + Send + Sync>).downcast::<Probe>().expect("the socket is a probe");
    assert!(Arc::ptr_eq(&probe, &probes[0]));
    assert_eq!(adapter.local_sockets(&to(&["b"], &[])).len(), 2);
}

/// Records the changes of the rooms, in words: `b2` is socket 2 in room b.
fn changes(adapter: &Arc<InMemoryAdapter>) -> impl Fn() -> Vec<String> + use<> {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let (recorded, observed) = (Arc::clone(&changes), Arc::downgrade(adapter));
    adapter.observe_rooms(Box::new(move |change| {
        // This works only if the adapter holds no lock.
        let _ = observed.upgrade().expect("it exists").sockets(&BroadcastOptions::new());
        let name = |text: &str| {
            let known = (1..=3).find(|number| *id(*number) == *text);
            known.map_or_else(|| text.to_owned(), |number| number.to_string())
        };
        recorded.lock().expect("no panic").push(match change {
            RoomChange::Created { room } => format!("create {}", name(room)),
            RoomChange::Joined { room, socket } => format!("join {}{}", name(room), name(socket)),
            RoomChange::Left { room, socket } => format!("leave {}{}", name(room), name(socket)),
            RoomChange::Deleted { room } => format!("delete {}", name(room)),
        });
    }));
    move || std::mem::take(&mut changes.lock().expect("no panic"))
}

#[test]
fn an_observer_sees_each_change_of_the_rooms_once_and_after_the_lock_is_released() {
    let adapter = Arc::new(InMemoryAdapter::new());
    let changes = changes(&adapter);
    let insert = |number| adapter.insert(Probe::new(id(number)) as Arc<dyn LocalSocket>);
    insert(1);
    assert_eq!(changes(), ["create 1", "join 11"]);
    insert(2);
    changes();
    adapter.add_all(&id(1), &["a", "b", "a"]).unwrap();
    assert_eq!(changes(), ["create a", "join a1", "create b", "join b1"]);
    adapter.add_all(&id(2), &["b"]).unwrap();
    adapter.add_all(&id(2), &["b", &id(2)]).unwrap();
    assert_eq!(changes(), ["join b2"]);
    adapter.del(&id(1), "a");
    adapter.del(&id(1), "a");
    adapter.del(&id(2), "nowhere");
    assert_eq!(changes(), ["leave a1", "delete a"]);
    adapter.add_sockets(&to(&["b"], &[]), &["c"]);
    assert_eq!(changes(), ["create c", "join c1", "join c2"]);
    adapter.del_sockets(&to(&["c"], &[&id(1)]), &["c"]);
    assert_eq!(changes(), ["leave c2"]);
    adapter.del_all(&id(1));
    let mut left = changes();
    left.sort_unstable();
    assert_eq!(left, ["delete 1", "delete c", "leave 11", "leave b1", "leave c1"]);
    adapter.del_all(&id(1));
    assert_eq!(changes(), [""; 0]);
}

#[test]
fn the_room_of_an_id_is_created_and_deleted_once_even_if_others_are_in_it() {
    let adapter = Arc::new(InMemoryAdapter::new());
    let changes = changes(&adapter);
    let insert = |number| adapter.insert(Probe::new(id(number)) as Arc<dyn LocalSocket>);
    insert(1);
    adapter.add_all(&id(1), &[&id(2)]).unwrap();
    changes();
    insert(2);
    assert_eq!(changes(), ["join 22"]);
    adapter.del_all(&id(2));
    assert_eq!(changes(), ["leave 22"]);
    adapter.del(&id(1), &id(2));
    assert_eq!(changes(), ["leave 21", "delete 2"]);
    insert(3);
    changes();
    adapter.add_all(&id(1), &[&id(3)]).unwrap();
    adapter.del(&id(1), &id(3));
    assert_eq!(changes(), ["join 31", "leave 31"]);
}

#[test]
fn the_rooms_are_listed_with_the_number_of_their_members() {
    let (adapter, _) = three();
    let mut rooms = adapter.rooms();
    rooms.sort();
    assert_eq!(rooms, [("a".into(), 1), ("b".into(), 2)], "without the rooms of their own ids");
    adapter.del_all(&id(1));
    adapter.add_all(&id(2), &[&id(3)]).unwrap();
    let mut rooms = adapter.rooms();
    rooms.sort();
    assert_eq!(rooms, [(Room::from(id(3)), 1), ("b".into(), 1)]);
}
