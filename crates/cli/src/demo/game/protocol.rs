//! The messages of `/game/ws`. Numbers are big-endian; places are in eighths of a unit, speeds in 4 units for each second,
//! and 256 is a whole turn.
//!
//! | from the page | bytes |
//! |---|---|
//! | join | `1`, 1 if this connection steers, key (8), name in UTF-8 |
//! | input | `2`, its number, angle, strength |
//! | helm: this connection steers from now on | `3` |
//! | ping | `4`, any byte |
//!
//! | to the page | bytes |
//! |---|---|
//! | joined | `1`, the id of the boat, or 255: all places are taken |
//! | state, in each tick | `2`, tick (2), angle and force of the wind, and for each boat: id, x (2), y (2), heading, speed in x and y, number of the last input |
//! | roster | `3`, and for each boat: id, 1 for a bot, length of the name, name |
//! | points | `4`, seconds left, id of the last winner or 255, its score (2), number of buoys, for each buoy: x (2), y (2), points, and for each boat: id, score (2) |
//! | pong | `5`, the byte of the ping |

use super::world::{Boat, Input, World, angle_to_byte};

/// The longest message of a page. A name has at most 16 characters.
pub(super) const MAX_MESSAGE_BYTES: usize = 10 + 4 * super::connections::MAX_NAME_CHARACTERS;

/// The id that no boat has.
pub(super) const NOBODY: u8 = u8::MAX;

/// What a page sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Join { steers: bool, key: u64, name: &'a str },
    Input { number: u8, input: Input },
    Helm,
    Ping(u8),
}

impl<'a> Request<'a> {
    /// # Errors
    /// Returns what is wrong with the message.
    pub(super) fn decode(message: &'a [u8]) -> Result<Self, &'static str> {
        match *message {
            [1, steers @ (0 | 1), a, b, c, d, e, f, g, h, ref name @ ..] => Ok(Self::Join {
                steers: steers == 1,
                key: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                name: std::str::from_utf8(name).map_err(|_| "the name of a join is not UTF-8")?,
            }),
            [2, number, angle, strength] => Ok(Self::Input { number, input: Input { angle, strength } }),
            [3] => Ok(Self::Helm),
            [4, any] => Ok(Self::Ping(any)),
            [] => Err("an empty message"),
            [1, ..] => Err("a join has 10 bytes and a name, and its second byte is 0 or 1"),
            [2, ..] => Err("an input has 4 bytes"),
            [3, ..] => Err("a helm has 1 byte"),
            [4, ..] => Err("a ping has 2 bytes"),
            _ => Err("a message begins with 1, 2, 3 or 4"),
        }
    }
}

pub(super) fn joined(id: Option<u8>) -> Vec<u8> {
    vec![1, id.unwrap_or(NOBODY)]
}

pub(super) fn pong(any: u8) -> Vec<u8> {
    vec![5, any]
}

pub(super) fn state(world: &World) -> Vec<u8> {
    let (tick, wind_angle, wind_force) = tick_and_wind(world);
    let mut message = Vec::with_capacity(5 + 9 * world.boats.len());
    message.push(2);
    message.extend_from_slice(&tick.to_be_bytes());
    message.extend_from_slice(&[wind_angle, wind_force]);
    for boat in &world.boats {
        let (id, x, y, heading, vx, vy, applied) = compact(boat);
        message.push(id);
        message.extend_from_slice(&x.to_be_bytes());
        message.extend_from_slice(&y.to_be_bytes());
        message.push(heading);
        message.extend_from_slice(&vx.to_be_bytes());
        message.extend_from_slice(&vy.to_be_bytes());
        message.push(applied);
    }
    message
}

pub(super) fn roster(world: &World) -> Vec<u8> {
    let mut message = vec![3];
    for boat in &world.boats {
        let length = u8::try_from(boat.name.len()).unwrap_or(0);
        message.extend_from_slice(&[boat.id, u8::from(World::is_bot(boat)), length]);
        message.extend_from_slice(&boat.name.as_bytes()[..length.into()]);
    }
    message
}

pub(super) fn points(world: &World) -> Vec<u8> {
    let (winner, winner_score) = world.winner.map_or((NOBODY, 0), |winner| (winner.id, winner.score));
    let mut message = vec![4, world.seconds_left() as u8, winner];
    message.extend_from_slice(&winner_score.to_be_bytes());
    message.push(world.buoys.len() as u8);
    for buoy in &world.buoys {
        message.extend_from_slice(&eighths(buoy.x).to_be_bytes());
        message.extend_from_slice(&eighths(buoy.y).to_be_bytes());
        message.push(buoy.points);
    }
    for boat in &world.boats {
        message.push(boat.id);
        message.extend_from_slice(&boat.score.to_be_bytes());
    }
    message
}

/// The tick, and the angle and the force of the wind. Socket.IO sends the same numbers.
pub(super) fn tick_and_wind(world: &World) -> (u16, u8, u8) {
    let (angle, force) = world.wind();
    (world.tick as u16, angle_to_byte(angle), force.round() as u8)
}

/// A boat as seven small numbers. Socket.IO sends the same ones, so that the two connections differ in nothing else.
pub(super) fn compact(boat: &Boat) -> (u8, u16, u16, u8, i8, i8, u8) {
    let speed = |value: f32| (value / 4.0).round() as i8;
    let heading = angle_to_byte(boat.heading);
    (boat.id, eighths(boat.x), eighths(boat.y), heading, speed(boat.vx), speed(boat.vy), boat.applied)
}

pub(super) fn eighths(length: f32) -> u16 {
    (length * 8.0).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_page_are_decoded_and_others_are_refused() {
        let input = Input { angle: 64, strength: 255 };
        let join = Request::Join { steers: true, key: 0x0102_0304_0506_0708, name: "Zoë" };
        for (message, decoded) in [
            (&b"\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08Zo\xc3\xab"[..], Ok(join)),
            (&[2, 7, 64, 255], Ok(Request::Input { number: 7, input })),
            (&[3], Ok(Request::Helm)),
            (&[4, 9], Ok(Request::Ping(9))),
            (&[], Err("an empty message")),
            (&[2, 7, 64], Err("an input has 4 bytes")),
            (&[3, 0], Err("a helm has 1 byte")),
            (&[4], Err("a ping has 2 bytes")),
            (&[1, 1, 2, 3], Err("a join has 10 bytes and a name, and its second byte is 0 or 1")),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff], Err("the name of a join is not UTF-8")),
            (&[0], Err("a message begins with 1, 2, 3 or 4")),
        ] {
            assert_eq!(Request::decode(message), decoded, "{message:?}");
        }
    }

    #[test]
    fn a_state_has_five_bytes_and_nine_for_each_boat() {
        let mut world = World::new(1);
        world.join(1, "Ann", None);
        world.step();
        let message = state(&world);
        assert_eq!(message.len(), 5 + 9 * world.boats.len());
        assert_eq!(message[..3], [2, 0, 1]);
    }
}
