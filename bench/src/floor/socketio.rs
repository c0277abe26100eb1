//! The events of the bench, distinguished by their first bytes.

use super::Turn;
use crate::wire::websocket::{self, TEXT, put_server_frame};

/// The Engine.IO packet that opens a session.
pub(super) fn open(session: u64) -> String {
    format!(
        r#"0{{"sid":"{session:020}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
    )
}

/// The Socket.IO packet that accepts the connection to the namespace.
pub(super) fn connected(session: u64) -> String {
    format!(r#"40{{"sid":"s{session:019}"}}"#)
}

/// Responds to a packet received over WebSocket. Returns `true` if its sender has joined the room.
pub(super) fn handle(place: u64, packet: &[u8], turn: &mut Turn) -> bool {
    if packet.starts_with(br#"42["echo""#) {
        put_server_frame(&mut turn.out, TEXT, packet);
    } else if packet.starts_with(br#"42["broadcast""#) {
        put_server_frame(&mut turn.room, TEXT, packet);
    } else if packet.starts_with(b"42") {
        return acknowledge(place, packet, turn);
    } else if packet == b"40" {
        put_server_frame(&mut turn.out, TEXT, connected(place).as_bytes());
    } else if packet == b"2probe" {
        put_server_frame(&mut turn.out, TEXT, b"3probe");
        turn.sessions.release_poll(place, &mut turn.elsewhere);
    }
    false
}

/// The response to `42<id>["ack",<value>]` is `43<id>[<value>]`, and to `42<id>["join"]` it is `43<id>[]`.
fn acknowledge(place: u64, packet: &[u8], turn: &mut Turn) -> bool {
    let Some(bracket) = packet.iter().position(|&byte| byte == b'[') else { return false };
    let (id, arguments) = (&packet[2..bracket], &packet[bracket..]);
    let joins = arguments.starts_with(br#"["join""#);
    let values =
        arguments.iter().position(|&byte| byte == b',').map_or(&b"]"[..], |comma| &arguments[comma + 1..]);
    websocket::put_header(&mut turn.out, TEXT, 3 + id.len() + values.len(), None);
    turn.out.extend_from_slice(b"43");
    turn.out.extend_from_slice(id);
    turn.out.push(b'[');
    turn.out.extend_from_slice(values);
    if joins {
        turn.members.push(place);
    }
    joins
}
