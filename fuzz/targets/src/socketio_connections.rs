//! Both state machines of a Socket.IO connection, each with a peer and a driver with random actions, in virtual time.

mod client;
mod server;

use std::time::Duration;

use arbitrary::{Result, Unstructured};

/// The input selects the state machine. After that it is a sequence of actions of the peer, the driver, the application
/// and the clock.
pub fn socketio_connections(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    // The run ends with the input.
    let _ = match choices.arbitrary() {
        Ok(true) => server::run(&mut choices),
        Ok(false) => client::run(&mut choices),
        Err(error) => Err(error),
    };
}

const NAMESPACES: [&str; 3] = ["/", "/a", "/b"];

enum Message {
    Text(String),
    Binary(Vec<u8>),
}

/// Returns a message of the peer, usually a packet that is valid at this time.
fn message(choices: &mut Unstructured<'_>) -> Result<Message> {
    let namespace = match *choices.choose(&NAMESPACES)? {
        "/" => String::new(),
        other => format!("{other},"),
    };
    let id = choices.int_in_range(0..=3_u8)?;
    Ok(Message::Text(match choices.int_in_range(0..=17_u8)? {
        0..=2 => format!("0{namespace}"),
        3 => format!(r#"0{namespace}{{"sid":"s{id}","pid":"p","offset":"o"}}"#),
        4 => format!(r#"0{namespace}{{"sid":"s{id}"}}"#),
        5 => format!(r#"0{namespace}{{"sid":{id},"pid":null,"offset":{{}}}}"#),
        6 => format!("1{namespace}"),
        7 | 8 => format!(r#"2{namespace}["x",{id},"o{id}"]"#),
        9 => format!(r#"2{namespace}{id}["x"]"#),
        10 => format!("3{namespace}{id}[{id}]"),
        11 => format!(r#"4{namespace}{{"message":"no"}}"#),
        12 => format!(r#"4{namespace}"no""#),
        13 => format!(r#"5{id}-{namespace}["x",{{"_placeholder":true,"num":0}}]"#),
        14 => return Ok(Message::Binary(choices.arbitrary()?)),
        // A query, which only Socket.IO 4 has.
        15 => format!("0{}?token={id}&é=%00", namespace.trim_end_matches(',')),
        16 => format!(r#"2{}?x,["x"]"#, namespace.trim_end_matches(',')),
        _ => choices.arbitrary::<&str>()?.to_owned(),
    }))
}

fn duration(choices: &mut Unstructured<'_>) -> Result<Duration> {
    choices.int_in_range(0..=60_u64).map(Duration::from_secs)
}
