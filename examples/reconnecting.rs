//! A WebSocket client that reconnects, and subscribes to a feed again on each new connection.
//! `cargo run -p tidewire-ws --example reconnecting -- wss://feed.example/ '{"subscribe": "BTC"}'`
#![allow(clippy::print_stdout, reason = "the example prints the events")]

use std::process::ExitCode;

use tidewire_ws::{Connector, Message, ReconnectEvent, Reconnection, SendError, WebSocket};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    let subscription: Message = arguments.next().unwrap_or_else(|| "hello".to_owned()).into();
    // `on_connect` sends the subscription first on every connection.
    let reconnection = Reconnection::new().on_connect(move |mut socket: WebSocket| {
        let subscription = subscription.clone();
        async move {
            socket.send(subscription).await?;
            Ok::<_, SendError>(socket)
        }
    });
    let mut socket = Connector::new(url).reconnect_with(reconnection);
    loop {
        tokio::select! {
            event = socket.next_event() => match event {
                Some(ReconnectEvent::Message(Message::Text(text))) => println!("{text}"),
                Some(ReconnectEvent::Message(Message::Binary(bytes))) => println!("{} bytes", bytes.len()),
                Some(ReconnectEvent::Connected { .. }) => println!("-- connected"),
                Some(ReconnectEvent::Disconnected { cause }) => println!("-- disconnected: {cause}"),
                Some(ReconnectEvent::ConnectFailed { error }) => println!("-- not connected: {error}"),
                Some(ReconnectEvent::Reconnecting { attempt, delay }) => println!("-- attempt {attempt} in {delay:.1?}"),
                Some(ReconnectEvent::ReconnectFailed { failure }) => {
                    eprintln!("{failure}");
                    return ExitCode::FAILURE;
                }
                Some(_) => {}
                None => return ExitCode::SUCCESS,
            },
            _ = tokio::signal::ctrl_c() => {
                socket.close(None).await;
            }
        }
    }
}
