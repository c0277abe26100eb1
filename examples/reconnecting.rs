//! A feed that is subscribed to for as long as the program runs, whatever becomes of the connection.
//! `cargo run -p tidewire-ws --example reconnecting -- wss://feed.example/ '{"subscribe": "BTC"}'`
#![allow(clippy::print_stdout, reason = "it shows what comes")]

use std::process::ExitCode;

use tidewire_ws::{Connect, Event, Message, Reconnection, SendError, WebSocket};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    let subscription: Message = arguments.next().unwrap_or_else(|| "hello".to_owned()).into();
    // Said first on every connection, the tenth like the first.
    let reconnection = Reconnection::new().on_connect(move |mut socket: WebSocket| {
        let subscription = subscription.clone();
        async move {
            socket.send(subscription).await?;
            Ok::<_, SendError>(socket)
        }
    });
    let mut socket = Connect::new(url).reconnect_with(reconnection);
    loop {
        tokio::select! {
            event = socket.next_event() => match event {
                Some(Event::Message(Message::Text(text))) => println!("{text}"),
                Some(Event::Message(Message::Binary(bytes))) => println!("{} bytes", bytes.len()),
                Some(Event::Connected { .. }) => println!("-- connected"),
                Some(Event::Disconnected { closed }) => println!("-- disconnected: {closed}"),
                Some(Event::Failed { error }) => println!("-- not connected: {error}"),
                Some(Event::Reconnecting { attempt, delay }) => println!("-- attempt {attempt} in {delay:.1?}"),
                Some(Event::GaveUp { lost }) => {
                    eprintln!("{lost}");
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
