//! The world of the game: boats, buoys and wind. It knows no connections, and its time is the number of ticks.

use std::collections::VecDeque;
use std::f32::consts::{PI, TAU};

use tidewire::server::ClientNetwork;

use super::super::random::Random;

/// The size of the water. The same numbers are in `boat.ts`, as are those of [`sail`].
pub(super) const WIDTH: f32 = 960.0;
pub(super) const HEIGHT: f32 = 600.0;
pub(super) const TICKS_PER_SECOND: u32 = 25;
const TICK_SECONDS: f32 = 1.0 / TICKS_PER_SECOND as f32;

/// Each boat takes time in each tick, and room in each state.
pub(super) const MAX_PLAYERS: usize = 64;
/// The players of one address: a quarter, so that others find a place.
const MAX_PLAYERS_OF_ADDRESS: usize = MAX_PLAYERS / 4;
/// Three bots for at most one player, two for two players, none for more: somebody who sails alone sees life.
const MAX_BOTS: usize = 3;
const BUOYS: usize = 7;
pub(super) const ROUND_SECONDS: u32 = 90;
/// A boat without a hand at its helm gives its place to somebody else.
const IDLE_TICKS: u32 = 60 * TICKS_PER_SECOND;
/// A boat waits this long for a connection that comes back.
const ADRIFT_TICKS: u32 = 3 * TICKS_PER_SECOND;
/// Inputs that wait for their tick, for an even motion. More of them are a burst after a pause, and would delay all later
/// ones.
const MAX_INPUTS: usize = 2;

const RADIUS: f32 = 15.0;
const REACH: f32 = 25.0;

/// Where the helm points: an angle of 256 in a turn, clockwise from east, and how strongly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) angle: u8,
    pub(super) strength: u8,
}

#[derive(Debug)]
pub(super) struct Boat {
    pub(super) id: u8,
    pub(super) name: String,
    pub(super) score: u16,
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) heading: f32,
    pub(super) vx: f32,
    pub(super) vy: f32,
    /// The number of the last input that has moved the boat.
    pub(super) applied: u8,
    /// The secret of the player's page, by which its connections find their boat. A bot has none.
    key: Option<u64>,
    /// Where the player has joined from. `None` if the limits per address do not hold there.
    network: Option<ClientNetwork>,
    input: Input,
    waiting: VecDeque<(u8, Input)>,
    /// The number of the last input that was received.
    received: Option<u8>,
    last_touched: u32,
    adrift_since: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Buoy {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) points: u8,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Winner {
    pub(super) id: u8,
    pub(super) score: u16,
}

/// What a tick has changed, beside the places of the boats.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// Somebody has come, left, or has another name.
    pub(super) roster: bool,
    /// Scores, buoys or the round.
    pub(super) points: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) tick: u32,
    pub(super) boats: Vec<Boat>,
    pub(super) buoys: [Buoy; BUOYS],
    /// Who has won the last round.
    pub(super) winner: Option<Winner>,
    round_ends: u32,
    random: Random,
    changed: Changed,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let buoys = std::array::from_fn(|_| Buoy::anywhere(&mut random));
        let round_ends = ROUND_SECONDS * TICKS_PER_SECOND;
        let changed = Changed::default();
        let mut world = Self { tick: 0, boats: Vec::new(), buoys, winner: None, round_ends, random, changed };
        world.settle_bots();
        world
    }

    /// Adds a player or finds the one with this key, and returns the id of the boat. `None`: all places are taken, or all
    /// that one address has.
    pub(super) fn join(&mut self, key: u64, name: &str, network: Option<ClientNetwork>) -> Option<u8> {
        if let Some(boat) = self.boats.iter_mut().find(|boat| boat.key == Some(key)) {
            let name = name_or_default(name, boat.id);
            self.changed.roster |= boat.name != name;
            boat.name = name;
            boat.adrift_since = None;
            return Some(boat.id);
        }
        let of_address = |boat: &&Boat| network.is_some() && boat.network == network;
        if self.players() >= MAX_PLAYERS
            || self.boats.iter().filter(of_address).count() >= MAX_PLAYERS_OF_ADDRESS
        {
            return None;
        }
        let id = self.add(Some(key), name, network);
        self.settle_bots();
        Some(id)
    }

    /// Removes the boat of a player.
    pub(super) fn remove(&mut self, key: u64) {
        self.remove_boats(|boat| boat.key == Some(key));
    }

    /// Takes the hand off the helm. The boat is removed if nobody joins with its key in time.
    pub(super) fn set_adrift(&mut self, key: u64) {
        let tick = self.tick;
        if let Some(boat) = self.player(key) {
            boat.input = Input::default();
            boat.adrift_since = Some(tick);
        }
    }

    /// Prepares the boat for inputs of another connection.
    pub(super) fn change_helm(&mut self, key: u64) {
        if let Some(boat) = self.player(key) {
            boat.waiting.clear();
            boat.received = None;
        }
    }

    /// Keeps an input for one of the next ticks. An input that came before, or that overtook a later one, has no effect.
    pub(super) fn steer(&mut self, key: u64, number: u8, input: Input) {
        let tick = self.tick;
        let Some(boat) = self.player(key) else { return };
        let is_new = |last: u8| (1..128).contains(&number.wrapping_sub(last));
        if !boat.received.is_none_or(is_new) {
            return;
        }
        boat.received = Some(number);
        if input.strength > 0 {
            boat.last_touched = tick;
        }
        if boat.waiting.len() == MAX_INPUTS {
            boat.waiting.pop_front();
        }
        boat.waiting.push_back((number, input));
    }

    /// Moves everything by one tick, and returns what has changed since the last call.
    pub(super) fn step(&mut self) -> Changed {
        self.tick = self.tick.wrapping_add(1);
        self.remove_absent();
        let wind = self.wind();
        for index in 0..self.boats.len() {
            let bot_input = self.boats[index].key.is_none().then(|| self.bot_input(index));
            let boat = &mut self.boats[index];
            if let Some(input) = bot_input {
                boat.input = input;
            } else if let Some((number, input)) = boat.waiting.pop_front() {
                (boat.applied, boat.input) = (number, input);
            }
            sail(boat, wind);
        }
        self.push_apart();
        self.collect();
        if self.tick >= self.round_ends {
            self.end_round();
        }
        std::mem::take(&mut self.changed)
    }

    /// The wind turns slowly, with gusts: its angle, and its force in units of length for each second and second.
    pub(super) fn wind(&self) -> (f32, f32) {
        let seconds = self.tick as f32 * TICK_SECONDS;
        let angle = (seconds * 0.05 + 0.6 * (seconds * 0.11).sin()).rem_euclid(TAU);
        (angle, 45.0 + 25.0 * (seconds * 0.37).sin())
    }

    pub(super) fn seconds_left(&self) -> u32 {
        self.round_ends.saturating_sub(self.tick).div_ceil(TICKS_PER_SECOND)
    }

    pub(super) fn is_bot(boat: &Boat) -> bool {
        boat.key.is_none()
    }

    fn players(&self) -> usize {
        self.boats.iter().filter(|boat| boat.key.is_some()).count()
    }

    fn player(&mut self, key: u64) -> Option<&mut Boat> {
        self.boats.iter_mut().find(|boat| boat.key == Some(key))
    }

    fn add(&mut self, key: Option<u64>, name: &str, network: Option<ClientNetwork>) -> u8 {
        let taken = |id: &u8| self.boats.iter().any(|boat| boat.id == *id);
        let id = (0..u8::MAX).find(|id| !taken(id)).unwrap_or(u8::MAX - 1);
        let (x, y) = place(&mut self.random, 80.0);
        self.boats.push(Boat {
            id,
            name: name_or_default(name, id),
            score: 0,
            x,
            y,
            heading: self.random.between(0.0, TAU.into()) as f32,
            vx: 0.0,
            vy: 0.0,
            applied: 0,
            key,
            network,
            input: Input::default(),
            waiting: VecDeque::with_capacity(MAX_INPUTS),
            received: None,
            last_touched: self.tick,
            adrift_since: None,
        });
        self.changed = Changed { roster: true, points: true };
        id
    }

    fn settle_bots(&mut self) {
        const NAMES: [&str; MAX_BOTS] = ["Bot Nora", "Bot Ole", "Bot Pia"];
        let wanted = match self.players() {
            0 | 1 => MAX_BOTS,
            2 => 2,
            _ => 0,
        };
        let bots = |world: &Self| world.boats.iter().filter(|boat| boat.key.is_none()).count();
        while bots(self) > wanted {
            if let Some(index) = self.boats.iter().rposition(|boat| boat.key.is_none()) {
                self.boats.remove(index);
                self.changed.roster = true;
            }
        }
        while bots(self) < wanted {
            let free = NAMES.into_iter().find(|name| !self.boats.iter().any(|boat| boat.name == *name));
            self.add(None, free.unwrap_or("Bot"), None);
        }
    }

    fn remove_absent(&mut self) {
        let tick = self.tick;
        self.remove_boats(|boat| {
            let idle = tick.wrapping_sub(boat.last_touched) > IDLE_TICKS;
            let adrift = boat.adrift_since.is_some_and(|since| tick.wrapping_sub(since) > ADRIFT_TICKS);
            boat.key.is_some() && (idle || adrift)
        });
    }

    fn remove_boats(&mut self, is_removed: impl Fn(&Boat) -> bool) {
        let before = self.boats.len();
        self.boats.retain(|boat| !is_removed(boat));
        if self.boats.len() != before {
            self.changed.roster = true;
            self.settle_bots();
        }
    }

    /// A bot heads for the next buoy, without haste.
    fn bot_input(&self, index: usize) -> Input {
        let boat = &self.boats[index];
        let distance = |buoy: &&Buoy| (buoy.x - boat.x).hypot(buoy.y - boat.y);
        let next = self.buoys.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let angle = next.map_or(0.0, |buoy| (buoy.y - boat.y).atan2(buoy.x - boat.x));
        Input { angle: angle_to_byte(angle), strength: 120 }
    }

    /// Boats that touch push each other.
    fn push_apart(&mut self) {
        for index in 1..self.boats.len() {
            let (before, rest) = self.boats.split_at_mut(index);
            let one = &mut rest[0];
            for other in before {
                let (dx, dy) = (other.x - one.x, other.y - one.y);
                let distance = dx.hypot(dy);
                if distance >= 2.0 * RADIUS {
                    continue;
                }
                let (nx, ny) = if distance > 0.01 { (dx / distance, dy / distance) } else { (1.0, 0.0) };
                let overlap = (2.0 * RADIUS - distance) / 2.0;
                let impulse = ((one.vx - other.vx) * nx + (one.vy - other.vy) * ny).max(0.0) * 0.9;
                for (boat, sign) in [(&mut *one, -1.0), (other, 1.0)] {
                    boat.x = (boat.x + sign * nx * overlap).clamp(RADIUS, WIDTH - RADIUS);
                    boat.y = (boat.y + sign * ny * overlap).clamp(RADIUS, HEIGHT - RADIUS);
                    boat.vx += sign * nx * impulse;
                    boat.vy += sign * ny * impulse;
                }
            }
        }
    }

    fn collect(&mut self) {
        for buoy in &mut self.buoys {
            let reached = |boat: &&mut Boat| (boat.x - buoy.x).hypot(boat.y - buoy.y) < REACH;
            if let Some(boat) = self.boats.iter_mut().find(reached) {
                boat.score = boat.score.saturating_add(buoy.points.into());
                *buoy = Buoy::anywhere(&mut self.random);
                self.changed.points = true;
            }
        }
    }

    fn end_round(&mut self) {
        let best = self.boats.iter().max_by_key(|boat| boat.score);
        self.winner = best.map(|boat| Winner { id: boat.id, score: boat.score });
        for boat in &mut self.boats {
            boat.score = 0;
        }
        self.round_ends = self.tick + ROUND_SECONDS * TICKS_PER_SECOND;
        self.changed.points = true;
    }
}

impl Buoy {
    /// A new buoy. One in six is worth three points.
    fn anywhere(random: &mut Random) -> Self {
        let (x, y) = place(random, 40.0);
        Self { x, y, points: if random.below(6) == 0 { 3 } else { 1 } }
    }
}

/// Moves a boat by one tick. The page has the same function and runs it ahead of the server, see `boat.ts`.
fn sail(boat: &mut Boat, (wind_angle, wind_force): (f32, f32)) {
    let strength = f32::from(boat.input.strength) / 255.0;
    if strength > 0.0 {
        let turn = wrap_angle(byte_to_angle(boat.input.angle) - boat.heading);
        boat.heading += turn.clamp(-4.5 * TICK_SECONDS, 4.5 * TICK_SECONDS);
    }
    let (sin, cos) = boat.heading.sin_cos();
    boat.vx += (cos * strength * 300.0 + wind_angle.cos() * wind_force) * TICK_SECONDS;
    boat.vy += (sin * strength * 300.0 + wind_angle.sin() * wind_force) * TICK_SECONDS;
    // The keel lets a boat slide forward more easily than sideways.
    let ahead = (boat.vx * cos + boat.vy * sin) * (1.0 - 1.2 * TICK_SECONDS);
    let aside = (boat.vy * cos - boat.vx * sin) * (1.0 - 4.0 * TICK_SECONDS);
    boat.vx = ahead * cos - aside * sin;
    boat.vy = ahead * sin + aside * cos;
    boat.x += boat.vx * TICK_SECONDS;
    boat.y += boat.vy * TICK_SECONDS;
    let (x, y) = (boat.x.clamp(RADIUS, WIDTH - RADIUS), boat.y.clamp(RADIUS, HEIGHT - RADIUS));
    if x != boat.x {
        (boat.x, boat.vx) = (x, boat.vx * -0.4);
    }
    if y != boat.y {
        (boat.y, boat.vy) = (y, boat.vy * -0.4);
    }
}

fn name_or_default(name: &str, id: u8) -> String {
    if name.is_empty() { format!("Boat {}", u16::from(id) + 1) } else { name.to_owned() }
}

fn wrap_angle(angle: f32) -> f32 {
    (angle + PI).rem_euclid(TAU) - PI
}

pub(super) fn angle_to_byte(angle: f32) -> u8 {
    // 256 is a whole turn, and wraps to 0.
    ((angle.rem_euclid(TAU) * 256.0 / TAU).round() as u16 % 256) as u8
}

fn byte_to_angle(byte: u8) -> f32 {
    f32::from(byte) * TAU / 256.0
}

/// Returns a place on the water, at least this far from its edges.
fn place(random: &mut Random, margin: f32) -> (f32, f32) {
    let mut within = |length: f32| random.between(margin.into(), (length - margin).into()) as f32;
    (within(WIDTH), within(HEIGHT))
}

#[cfg(test)]
mod tests;
