//! Compares the adapter with a simple model: for every socket, the set of its room names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tidewire_adapter::testing::{Probe, event, id};
use tidewire_adapter::{BroadcastOptions, InMemoryAdapter, LocalSocket, SocketId};

const SOCKETS: u8 = 7;

#[derive(Debug, Clone)]
enum Operation {
    Add(u8),
    DelAll(u8),
    AddAll(u8, Vec<String>),
    Del(u8, String),
    AddSockets(Selection, Vec<String>),
    DelSockets(Selection, Vec<String>),
    Broadcast(Selection),
}

#[derive(Debug, Clone)]
struct Selection {
    rooms: Vec<String>,
    except: Vec<String>,
}

impl Selection {
    fn options(&self) -> BroadcastOptions {
        let options = self.rooms.iter().fold(BroadcastOptions::new(), BroadcastOptions::to);
        self.except.iter().fold(options, BroadcastOptions::except)
    }
}

#[derive(Default)]
struct Model {
    sockets: BTreeMap<SocketId, BTreeSet<String>>,
}

impl Model {
    fn select(&self, selection: &Selection) -> BTreeSet<SocketId> {
        let is_in =
            |rooms: &BTreeSet<String>, names: &[String]| names.iter().any(|name| rooms.contains(name));
        let selected = self.sockets.iter().filter(|(_, rooms)| {
            (selection.rooms.is_empty() || is_in(rooms, &selection.rooms)) && !is_in(rooms, &selection.except)
        });
        selected.map(|(id, _)| id.clone()).collect()
    }

    fn join(&mut self, id: &SocketId, rooms: &[String]) {
        if let Some(joined) = self.sockets.get_mut(id) {
            joined.extend(rooms.iter().cloned());
        }
    }

    fn leave(&mut self, id: &SocketId, room: &str) {
        if let Some(joined) = self.sockets.get_mut(id)
            && id.as_str() != room
        {
            joined.remove(room);
        }
    }
}

fn room() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-f]",
        1 => (0..SOCKETS).prop_map(|number| id(number).to_string()),
        1 => Just("x".repeat(20)),
    ]
}

fn selection() -> impl Strategy<Value = Selection> {
    (vec(room(), 0..4), vec(room(), 0..3)).prop_map(|(rooms, except)| Selection { rooms, except })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0..SOCKETS).prop_map(Operation::Add),
        1 => (0..SOCKETS).prop_map(Operation::DelAll),
        6 => (0..SOCKETS, vec(room(), 0..5)).prop_map(|(socket, rooms)| Operation::AddAll(socket, rooms)),
        4 => (0..SOCKETS, room()).prop_map(|(socket, room)| Operation::Del(socket, room)),
        1 => (selection(), vec(room(), 0..3)).prop_map(|(who, rooms)| Operation::AddSockets(who, rooms)),
        1 => (selection(), vec(room(), 0..3)).prop_map(|(who, rooms)| Operation::DelSockets(who, rooms)),
        4 => selection().prop_map(Operation::Broadcast),
    ]
}

fn names(rooms: &[String]) -> Vec<&str> {
    rooms.iter().map(String::as_str).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_adapter_does_what_the_model_does(operations in vec(operation(), 0..80)) {
        let adapter = InMemoryAdapter::new();
        let mut model = Model::default();
        let mut probes = BTreeMap::new();
        for operation in &operations {
            match operation {
                Operation::Add(socket) => {
                    let probe = Probe::new(id(*socket));
                    adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
                    probes.insert(id(*socket), probe);
                    model.sockets.insert(id(*socket), BTreeSet::from([id(*socket).to_string()]));
                }
                Operation::DelAll(socket) => {
                    adapter.del_all(&id(*socket));
                    model.sockets.remove(&id(*socket));
                }
                Operation::AddAll(socket, rooms) => {
                    adapter.add_all(&id(*socket), &names(rooms)).unwrap();
                    model.join(&id(*socket), rooms);
                }
                Operation::Del(socket, room) => {
                    adapter.del(&id(*socket), room);
                    model.leave(&id(*socket), room);
                }
                Operation::AddSockets(who, rooms) => {
                    adapter.add_sockets(&who.options(), &names(rooms));
                    for id in model.select(who) {
                        model.join(&id, rooms);
                    }
                }
                Operation::DelSockets(who, rooms) => {
                    adapter.del_sockets(&who.options(), &names(rooms));
                    for id in model.select(who) {
                        rooms.iter().for_each(|room| model.leave(&id, room));
                    }
                }
                Operation::Broadcast(who) => {
                    let count = adapter.broadcast(&event("x"), &who.options());
                    let expected = model.select(who);
                    prop_assert_eq!(count, expected.len());
                    for (id, probe) in &probes {
                        prop_assert_eq!(probe.texts().len(), usize::from(expected.contains(id)));
                    }
                    let sockets = adapter.sockets(&who.options());
                    prop_assert_eq!(sockets.into_iter().collect::<BTreeSet<_>>(), expected);
                }
            }
            for socket in 0..SOCKETS {
                let rooms = adapter.socket_rooms(&id(socket));
                let found: BTreeSet<_> = rooms.iter().map(ToString::to_string).collect();
                prop_assert_eq!(rooms.len(), found.len());
                for room in model.sockets.values().flatten() {
                    prop_assert_eq!(adapter.is_in(&id(socket), room), found.contains(room));
                }
                prop_assert_eq!(found, model.sockets.get(&id(socket)).cloned().unwrap_or_default());
            }
        }
    }
}
