//! The world of the game, and everybody who is connected to it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tidewire::server::{ClientNetwork, Namespace};
use tidewire::ws::{PreparedMessage, Sender};
use tokio::time::MissedTickBehavior;

use super::super::text::visible_name;
use super::protocol;
use super::world::{Input, TICKS_PER_SECOND, World};

const TICK: Duration = Duration::from_millis(1_000 / TICKS_PER_SECOND as u64);
/// The time between two rosters. Each goes to everybody, and a visitor who changes the name causes one.
const TICKS_PER_ROSTER: u32 = TICKS_PER_SECOND / 2;
/// Players and those who watch, of both kinds. A page has one connection of each kind.
const MAX_CONNECTIONS: usize = 512;
/// The connections of one address: a quarter, so that others find room.
const MAX_CONNECTIONS_OF_ADDRESS: usize = MAX_CONNECTIONS / 4;
/// A longer name is left out, as is one with characters that names do not have: the boat has a number then.
pub(super) const MAX_NAME_CHARACTERS: usize = 16;

/// The world and everybody who is connected to it.
#[derive(Clone)]
pub(super) struct Game {
    state: Arc<Mutex<GameState>>,
    namespace: Namespace,
}

pub(super) struct GameState {
    pub(super) world: World,
    connections: HashMap<u64, Connection>,
    next_connection: u64,
    /// Whether the task that moves the world runs. It ends when nobody is connected.
    is_running: bool,
}

struct Connection {
    /// `None` for a socket of Socket.IO: those get their messages by broadcasts of the namespace.
    web_socket: Option<Sender>,
    /// `None` if the limits per address do not hold for it.
    network: Option<ClientNetwork>,
    /// The key of the player, once it has joined.
    player: Option<u64>,
    steers: bool,
}

impl Game {
    pub(super) fn new(namespace: Namespace) -> Self {
        let state = GameState {
            world: World::new(RandomState::new().build_hasher().finish()),
            connections: HashMap::new(),
            next_connection: 0,
            is_running: false,
        };
        Self { state: Arc::new(Mutex::new(state)), namespace }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, GameState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection, which watches until it joins.
    ///
    /// # Errors
    /// Returns which limit is reached.
    pub(super) fn connect(
        &self,
        web_socket: Option<Sender>,
        network: Option<ClientNetwork>,
    ) -> Result<ConnectionHandle, &'static str> {
        let mut state = self.lock();
        if state.connections.len() >= MAX_CONNECTIONS {
            return Err("too many connections to the game");
        }
        let of_address = |other: &&Connection| network.is_some() && other.network == network;
        if state.connections.values().filter(of_address).count() >= MAX_CONNECTIONS_OF_ADDRESS {
            return Err("too many connections of this address to the game");
        }
        if let Some(web_socket) = &web_socket {
            // It is the first of the connection, whose buffer has room.
            let _ = web_socket.try_send(protocol::roster(&state.world));
            let _ = web_socket.try_send(protocol::points(&state.world));
        }
        let id = state.next_connection;
        state.next_connection += 1;
        let connection = Connection { web_socket, network, player: None, steers: false };
        state.connections.insert(id, connection);
        if !state.is_running {
            state.is_running = true;
            tokio::spawn(self.clone().run());
        }
        Ok(ConnectionHandle { game: self.clone(), id })
    }

    /// Moves the world as long as somebody is connected.
    async fn run(self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut roster_waits = false;
        let mut ticks_since_roster = TICKS_PER_ROSTER;
        loop {
            ticks.tick().await;
            let mut state = self.lock();
            if state.connections.is_empty() {
                state.is_running = false;
                return;
            }
            let changed = state.world.step();
            let world = &state.world;
            roster_waits |= changed.roster;
            ticks_since_roster = ticks_since_roster.saturating_add(1);
            if roster_waits && ticks_since_roster >= TICKS_PER_ROSTER {
                (roster_waits, ticks_since_roster) = (false, 0);
                state.send_to_web_sockets(protocol::roster(world));
                self.namespace.keep_latest("roster").emit("roster", roster(world));
            }
            // The clock of the round needs a correction now and then.
            if changed.points || world.tick.is_multiple_of(TICKS_PER_SECOND) {
                state.send_to_web_sockets(protocol::points(world));
                self.namespace.keep_latest("points").emit("points", points(world));
            }
            // A state is out of date in the next tick. It is encoded once for each kind of connection.
            state.send_state_to_web_sockets(protocol::state(world));
            let (tick, wind_angle, wind_force) = protocol::tick_and_wind(world);
            let boats: Vec<_> = world.boats.iter().map(protocol::compact).collect();
            self.namespace.volatile().emit("state", (tick, wind_angle, wind_force, boats));
        }
    }
}

impl GameState {
    fn web_sockets(&self) -> impl Iterator<Item = &Sender> {
        self.connections.values().filter_map(|connection| connection.web_socket.as_ref())
    }

    /// What must arrive. If the buffer of a connection is full, it misses a change, and gets the next one.
    fn send_to_web_sockets(&self, message: Vec<u8>) {
        let message = PreparedMessage::new(message);
        for web_socket in self.web_sockets() {
            let _ = web_socket.try_send_prepared(&message);
        }
    }

    /// The latest state wins: a connection that has not sent the one before yet skips this one, so a slow network delays
    /// no state by those before it.
    fn send_state_to_web_sockets(&self, message: Vec<u8>) {
        let message = PreparedMessage::new(message);
        for web_socket in self.web_sockets().filter(|web_socket| web_socket.buffered_amount() == 0) {
            let _ = web_socket.try_send_prepared(&message);
        }
    }
}

/// The list of the boats: id, name, and whether it is a bot.
pub(super) fn roster(world: &World) -> Vec<(u8, &str, bool)> {
    world.boats.iter().map(|boat| (boat.id, boat.name.as_str(), World::is_bot(boat))).collect()
}

/// The seconds that are left, the last winner, the buoys and the scores.
pub(super) fn points(world: &World) -> impl Serialize {
    let winner = world.winner.map(|winner| (winner.id, winner.score));
    let buoys: Vec<_> = world
        .buoys
        .iter()
        .map(|buoy| (protocol::eighths(buoy.x), protocol::eighths(buoy.y), buoy.points))
        .collect();
    let scores: Vec<_> = world.boats.iter().map(|boat| (boat.id, boat.score)).collect();
    (world.seconds_left(), winner, buoys, scores)
}

/// One connection to the game. It leaves when it is dropped.
pub(super) struct ConnectionHandle {
    game: Game,
    id: u64,
}

impl ConnectionHandle {
    /// Returns the id of the boat, or `None` if all places are taken.
    pub(super) fn join(&self, key: u64, name: &str, steers: bool) -> Option<u8> {
        let name = visible_name(name, MAX_NAME_CHARACTERS).unwrap_or_default();
        let mut state = self.game.lock();
        // A connection has one boat: one that joins with a new key gives up the boat of the former key first.
        let connection = state.connections.get_mut(&self.id)?;
        let (before, network) = (connection.player.take(), connection.network);
        if let Some(before) = before.filter(|before| *before != key && !state.is_connected(*before)) {
            state.world.remove(before);
        }
        let id = state.world.join(key, &name, network)?;
        state.connections.get_mut(&self.id)?.player = Some(key);
        if steers {
            state.give_helm(self.id, key);
        }
        Some(id)
    }

    pub(super) fn take_helm(&self) {
        let mut state = self.game.lock();
        if let Some(key) = state.connections.get(&self.id).and_then(|connection| connection.player) {
            state.give_helm(self.id, key);
        }
    }

    /// Takes an input, if this connection is the one that steers.
    pub(super) fn steer(&self, number: u8, input: Input) {
        let mut state = self.game.lock();
        if let Some(Connection { player: Some(key), steers: true, .. }) = state.connections.get(&self.id) {
            let key = *key;
            state.world.steer(key, number, input);
        }
    }

    pub(super) fn leave(&self) {
        let mut state = self.game.lock();
        if let Some(Connection { player: Some(key), .. }) = state.connections.remove(&self.id) {
            state.set_adrift_without_connection(key);
        }
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        self.leave();
    }
}

impl GameState {
    fn give_helm(&mut self, connection: u64, key: u64) {
        for (id, other) in self.connections.iter_mut().filter(|(_, other)| other.player == Some(key)) {
            other.steers = *id == connection;
        }
        self.world.change_helm(key);
    }

    fn set_adrift_without_connection(&mut self, key: u64) {
        if !self.is_connected(key) {
            self.world.set_adrift(key);
        }
    }

    fn is_connected(&self, key: u64) -> bool {
        self.connections.values().any(|connection| connection.player == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use tidewire::server::{AddressLimits, ClientAddress, Server};

    use super::*;

    fn game() -> Game {
        Game::new(Server::builder().build().of("/game"))
    }

    fn boats(game: &Game) -> Vec<String> {
        let state = game.lock();
        state.world.boats.iter().filter(|boat| !World::is_bot(boat)).map(|boat| boat.name.clone()).collect()
    }

    #[tokio::test]
    async fn both_connections_of_a_page_have_one_boat_and_the_last_one_takes_it_away() {
        let game = game();
        let (one, other) = (game.connect(None, None).unwrap(), game.connect(None, None).unwrap());
        assert_eq!(one.join(1, "Ann", true), other.join(1, "Ann", false));
        assert_eq!(boats(&game), ["Ann"]);
        drop(one);
        for _ in 0..1_000 {
            game.lock().world.step();
        }
        assert_eq!(boats(&game), ["Ann"]);
        drop(other);
        for _ in 0..1_000 {
            game.lock().world.step();
        }
        assert_eq!(boats(&game), [""; 0]);
    }

    #[tokio::test]
    async fn a_connection_has_one_boat_however_often_it_joins() {
        let game = game();
        let (one, other) = (game.connect(None, None).unwrap(), game.connect(None, None).unwrap());
        other.join(1, "Ben", false);
        for key in 1..200 {
            assert!(one.join(key, "Ann", true).is_some(), "the place of the former key is free again");
        }
        let mut names = boats(&game);
        names.sort();
        assert_eq!(names, ["Ann", "Ann"], "the other connection has kept the boat of the first key");
    }

    #[tokio::test]
    async fn only_the_connection_with_the_helm_steers() {
        let game = game();
        let (one, other) = (game.connect(None, None).unwrap(), game.connect(None, None).unwrap());
        one.join(1, "Ann", true);
        other.join(1, "Ann", false);
        let applied = |number| {
            one.steer(number, Input { angle: 0, strength: 255 });
            other.steer(number + 100, Input { angle: 0, strength: 255 });
            let mut state = game.lock();
            state.world.step();
            state.world.boats.iter().find(|boat| boat.name == "Ann").unwrap().applied
        };
        assert_eq!(applied(1), 1);
        other.take_helm();
        assert_eq!(applied(2), 102);
        one.take_helm();
        assert_eq!(applied(3), 3);
    }

    #[tokio::test]
    async fn the_number_of_connections_has_a_limit() {
        let game = game();
        let mut handles: Vec<_> = (0..MAX_CONNECTIONS).map(|_| game.connect(None, None).unwrap()).collect();
        assert!(game.connect(None, None).is_err());
        handles.pop();
        assert!(game.connect(None, None).is_ok());
    }

    #[tokio::test]
    async fn one_address_has_a_quarter_of_the_connections_and_of_the_places() {
        let limits = AddressLimits::default();
        let network = |ip: &str| limits.network_of(ClientAddress::new(ip.parse().unwrap()));
        let (one, other) = (network("203.0.113.1"), network("203.0.113.2"));
        let game = game();
        let mut handles: Vec<_> = (0..128).map(|_| game.connect(None, one).unwrap()).collect();
        assert!(game.connect(None, one).is_err());
        let stranger = game.connect(None, other).unwrap();
        let seats: Vec<_> = (0..).zip(&handles).map(|(key, handle)| handle.join(key, "", true)).collect();
        assert_eq!(seats.iter().flatten().count(), 16);
        assert!(seats[..16].iter().all(Option::is_some), "{seats:?}");
        assert!(stranger.join(1_000, "", true).is_some());
        assert!(handles[20].join(3, "", false).is_some(), "the other connection of a player needs no place");
        handles.pop();
        assert!(game.connect(None, one).is_ok());
        // Addresses that the limits do not hold for are not counted.
        let private = network("10.0.0.1");
        let _private: Vec<_> = (0..200).map(|_| game.connect(None, private).unwrap()).collect();
    }

    #[tokio::test]
    async fn the_world_moves_only_while_somebody_is_connected() {
        async fn until(game: &Game, condition: impl Fn(&GameState) -> bool) {
            while !condition(&game.lock()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let game = game();
        for _ in 0..2 {
            let handle = game.connect(None, None).unwrap();
            let start = game.lock().world.tick;
            until(&game, |state| state.world.tick >= start + 3).await;
            drop(handle);
            until(&game, |state| !state.is_running).await;
        }
    }

    #[tokio::test]
    async fn a_name_that_is_too_long_or_invisible_is_left_out() {
        let game = game();
        for (key, name) in (0..).zip([" Ann\n", "a name that is far too long", "\u{200b}"]) {
            let _ = game.connect(None, None).unwrap().join(key, name, true);
        }
        let names = boats(&game);
        assert_eq!(names[0], "Ann");
        assert!(names[1..].iter().all(|name| name.starts_with("Boat ")), "{names:?}");
    }
}
