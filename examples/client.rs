//! A WebSocket client that sends each line of its input and prints each message that it receives.
//! `cargo run -p tidewire-ws --example client -- wss://echo.example/`
#![allow(clippy::print_stdout, reason = "the example prints the messages")]

use std::process::ExitCode;

use tidewire_ws::{CloseCode, CloseFrame, Message};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> ExitCode {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    let mut socket = match tidewire_ws::connect(url).await {
        Ok(socket) => socket,
        // If `main` returned the error, Rust would print its `Debug` form, which is harder to read.
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Message::Text(text)) => println!("{text}"),
                Some(Message::Binary(bytes)) => println!("{} bytes", bytes.len()),
                None => break,
            },
            line = lines.next_line() => match line {
                Ok(Some(line)) => {
                    if socket.send(line).await.is_err() {
                        break;
                    }
                }
                Ok(None) | Err(_) => {
                    socket.close(CloseFrame::from(CloseCode::NORMAL)).await;
                    break;
                }
            },
        }
    }
    if let Some(closed) = socket.close_cause() {
        println!("{closed}");
    }
    ExitCode::SUCCESS
}
