//! A chat in the terminal, with the rooms of the binary: start `cargo run --release`, and then this program once for each
//! person: `cargo run -p tidewire --features client --example terminal_chat -- ROOM NAME [URL]`.
#![allow(clippy::print_stdout, reason = "the example prints the messages")]

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use tidewire::client::{Client, Data, DisconnectReason, Socket, State};
use tokio::io::{AsyncBufReadExt, BufReader};

/// What the binary passes to the other members of a room.
#[derive(Serialize, Deserialize)]
struct Line {
    name: String,
    text: String,
}

/// The argument of the binary's event `message`.
#[derive(Serialize)]
struct ToRoom<'a> {
    room: &'a str,
    message: Line,
}

struct Room {
    name: String,
    print: Box<dyn Fn(String) + Send + Sync>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [room, name, rest @ ..] = &arguments[..] else {
        eprintln!("usage: terminal_chat ROOM NAME [URL]");
        return ExitCode::FAILURE;
    };
    let url = rest.first().map_or("http://localhost:3000", String::as_str);
    let socket = join(url, room, |line| println!("{line}"));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        say(&socket, room, name, text);
    }
    socket.client().close().await;
    ExitCode::SUCCESS
}

/// Joins a room. `print` gets each line that the terminal shows.
pub(crate) fn join(url: &str, room: &str, print: impl Fn(String) + Send + Sync + 'static) -> Socket {
    Client::builder(url)
        .state(Room { name: room.to_owned(), print: Box::new(print) })
        // The server forgets the rooms of a socket with its connection, so each connection joins again.
        .on_connect(async |socket: Socket, room: State<Room>| socket.emit("join-room", &room.name))
        .on("notification", async |room: State<Room>, Data(text): Data<String>| {
            (room.print)(format!("* {text}"));
        })
        .on("receive-message", async |room: State<Room>, Data(line): Data<Line>| {
            (room.print)(format!("{}: {}", line.name, line.text));
        })
        .on_disconnect(async |room: State<Room>, reason: DisconnectReason| {
            (room.print)(format!("* disconnected: {reason}"));
        })
        .connect()
}

/// Sends a line to the other members. Without a connection, it is sent as soon as there is one.
pub(crate) fn say(socket: &Socket, room: &str, name: &str, text: String) {
    let message = Line { name: name.to_owned(), text };
    socket.emit("message", ToRoom { room, message });
}
