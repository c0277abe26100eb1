//! A chat in the terminal, with the rooms of the binary: start `cargo run --release`, and then this program once for each
//! person: `cargo run -p tidewire --example terminal_chat -- ROOM NAME [URL]`.
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

struct Room(String);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [room, name, rest @ ..] = &arguments[..] else {
        eprintln!("usage: terminal_chat ROOM NAME [URL]");
        return ExitCode::FAILURE;
    };
    let url = rest.first().map_or("http://localhost:3000", String::as_str);
    let socket = join(url, room);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let message = Line { name: name.clone(), text };
        // Without a connection, the line is sent as soon as there is one.
        socket.emit("message", ToRoom { room, message });
    }
    socket.client().close().await;
    ExitCode::SUCCESS
}

fn join(url: &str, room: &str) -> Socket {
    Client::builder(url)
        .state(Room(room.to_owned()))
        // The server forgets the rooms of a socket with its connection, so each connection joins again.
        .on_connect(async |socket: Socket, room: State<Room>| socket.emit("join-room", &room.0.0))
        .on("notification", async |Data(text): Data<String>| println!("* {text}"))
        .on("receive-message", async |Data(line): Data<Line>| println!("{}: {}", line.name, line.text))
        .on_disconnect(async |reason: DisconnectReason| println!("* disconnected: {reason}"))
        .connect()
}
