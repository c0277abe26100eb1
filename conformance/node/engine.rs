//! The engine without Socket.IO, for clients of Engine.IO 3. `reference-engine.js` is the same program on the Node package
//! `engine.io`, and has the description.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::task::Context;
use std::time::Duration;

use http::request::Parts;
use net::{HttpLimits, Listener};
use tidewire_engineio::{
    Application, CloseReason, Engine, Handler, InitialPacket, Message, Options, Session, Time,
};
use tokio::signal::unix::{SignalKind, signal};

/// The sessions that have ended, with their reasons, and those who want to know one.
#[derive(Default)]
struct Ends {
    reasons: HashMap<String, String>,
    waiting: Vec<(String, Session)>,
}

struct Program(Arc<Mutex<Ends>>);

struct Conversation {
    session: Session,
    ends: Arc<Mutex<Ends>>,
}

impl Application for Program {
    type Handler = Conversation;

    fn on_open(&self, _: &Engine<Self>, session: Session, _: Parts) -> Conversation {
        Conversation { session, ends: Arc::clone(&self.0) }
    }
}

impl Handler for Conversation {
    fn on_message(&mut self, message: Message<'_>, _: Time, _: &mut Context<'_>) {
        let text = match message {
            Message::Binary(data) => return self.session.send_binary(&data),
            Message::Text(text) => text,
        };
        match text.strip_prefix("why ") {
            Some(sid) => {
                let mut ends = self.ends.lock().expect("no panic");
                match ends.reasons.get(sid) {
                    Some(reason) => self.session.send_text(reason),
                    None => ends.waiting.push((sid.to_owned(), self.session.clone())),
                }
            }
            None if text == "two" => {
                self.session.send_text("€");
                self.session.send_binary(&[1, 2, 3, 4]);
            }
            None if text == "close" => {
                self.session.send_text("bye");
                self.session.close();
            }
            None => self.session.send_text(text),
        }
    }

    fn on_close(&mut self, reason: CloseReason, _: Time, _: &mut Context<'_>) {
        let mut ends = self.ends.lock().expect("no panic");
        let sid = self.session.id().as_str();
        for (_, session) in ends.waiting.iter().filter(|(wanted, _)| wanted == sid) {
            session.send_text(&reason.to_string());
        }
        ends.reasons.insert(sid.to_owned(), reason.to_string());
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: HashMap<&str, &str> =
        arguments.chunks_exact(2).map(|pair| (pair[0].trim_start_matches("--"), &*pair[1])).collect();
    let number =
        |name, default| arguments.get(name).map_or(default, |value| value.parse().expect("a number"));

    let initial_packet = arguments.get("initial-packet").map(|text| InitialPacket::from(*text));
    let mut options = Options { allow_eio3: true, initial_packet, ..Options::default() };
    options.protocol.ping_interval = Duration::from_millis(number("ping-interval", 25_000));
    options.protocol.ping_timeout = Duration::from_millis(number("ping-timeout", 20_000));
    options.protocol.max_payload = usize::try_from(number("max-payload", 1_000_000)).expect("a size");
    let engine = Engine::new(options, Program(Arc::default()));

    let address = arguments.get("listen").copied().unwrap_or("127.0.0.1:0");
    let listener = Listener::bind(address, HttpLimits::default()).await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        engine.close();
    };
    listener.serve(engine.service(), stop).await;
    engine.closed(Duration::from_secs(5)).await;
    Ok(())
}
