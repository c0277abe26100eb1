//! The engine without Socket.IO, with the API for programs. `reference-engine.js` is the same program on the Node package
//! `engine.io`, and has the description.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Request;
use tidewire_engineio::Cors;
use tidewire_engineio::server::{SendError, Sender, Server, Socket};
use tokio::signal::unix::{SignalKind, signal};

/// The sessions that have ended, with their reasons, and those who want to know one.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<EndsInner>>);

#[derive(Default)]
struct EndsInner {
    reasons: HashMap<String, &'static str>,
    waiting: Vec<(String, Sender)>,
}

impl Ends {
    fn lock(&self) -> MutexGuard<'_, EndsInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: &str, reason: &'static str) {
        let mut ends = self.lock();
        for (_, sender) in ends.waiting.iter().filter(|(wanted, _)| wanted == id) {
            // It may be closed.
            let _ = sender.try_send(reason);
        }
        ends.reasons.insert(id.to_owned(), reason);
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: HashMap<&str, &str> =
        arguments.chunks_exact(2).map(|pair| (pair[0].trim_start_matches("--"), &*pair[1])).collect();
    let number =
        |name, default| arguments.get(name).map_or(default, |value| value.parse().expect("a number"));

    let mut builder = Server::builder()
        .allow_eio3(true)
        .cors(Cors::any())
        .ping_interval(Duration::from_millis(number("ping-interval", 25_000)))
        .ping_timeout(Duration::from_millis(number("ping-timeout", 20_000)))
        .max_http_buffer_size(usize::try_from(number("max-payload", 1_000_000)).expect("a length"));
    if let Some(packet) = arguments.get("initial-packet") {
        builder = builder.initial_packet((*packet).to_owned());
    }
    let ends = Ends::default();
    let server = builder.build(move |mut socket: Socket, request: Request<()>| {
        let ends = ends.clone();
        async move {
            let handled = handle(&mut socket, &request, &ends).await;
            ends.add(socket.id(), socket.closed().await.reason().as_str());
            handled
        }
    });

    let listener = server.bind(arguments.get("listen").copied().unwrap_or("127.0.0.1:3000")).await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    server.serve(listener, stop).await;
    Ok(())
}

async fn handle(socket: &mut Socket, request: &Request<()>, ends: &Ends) -> Result<(), SendError> {
    while let Some(message) = socket.recv().await {
        let text = message.as_text().unwrap_or_default().to_owned();
        let (command, argument) = text.split_once(' ').unwrap_or((&text, ""));
        match command {
            "two" => {
                socket.send("€").await?;
                socket.send(&[1, 2, 3, 4]).await?;
            }
            "send" => {
                for number in 0..argument.parse().unwrap_or(0_u32) {
                    socket.send(number.to_string()).await?;
                }
                socket.send(&[1, 2, 3]).await?;
            }
            "slow" => {
                for _ in 0..argument.parse().unwrap_or(0_u32) {
                    socket.send("x".repeat(10_000)).await?;
                }
            }
            "about" => {
                let name = request.headers().get("x-name").and_then(|name| name.to_str().ok());
                let name = name.map_or("null".to_owned(), |name| format!("\"{name}\""));
                let (url, transport) = (request.uri(), socket.transport().name());
                let about = format!(r#"{{"url":"{url}","name":{name},"transport":"{transport}"}}"#);
                socket.send(about).await?;
            }
            "close" => {
                socket.send("bye").await?;
                socket.close();
            }
            "discard" => socket.close_discarding(),
            "why" => {
                let known = {
                    let mut ends = ends.lock();
                    let known = ends.reasons.get(argument).copied();
                    if known.is_none() {
                        ends.waiting.push((argument.to_owned(), socket.sender()));
                    }
                    known
                };
                if let Some(reason) = known {
                    socket.send(reason).await?;
                }
            }
            _ => socket.send(message).await?,
        }
    }
    Ok(())
}
