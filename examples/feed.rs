//! A feed on raw Engine.IO: clients subscribe to topics and publish on them, over long-polling or WebSocket.
//! `cargo run -p tidewire --example feed`
//!
//! A client sends `subscribe TOPIC` or `publish TOPIC TEXT`, and receives `TOPIC TEXT`. In a browser:
//!
//! ```js
//! import { Socket } from "engine.io-client";
//!
//! const socket = new Socket("http://localhost:3000");
//! socket.on("open", () => socket.send("subscribe weather"));
//! socket.on("message", (text) => console.log(text));
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidewire::engineio::{Cors, SendError, Sender, Server, Socket, TrySendError};

/// Protects against clients that fill the memory with subscriptions.
const MAX_TOPICS_PER_CLIENT: usize = 100;

/// The subscribers of each topic.
#[derive(Clone, Default)]
struct Topics(Arc<Mutex<HashMap<String, Vec<Sender>>>>);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt::init(); // turns on the log
    feed().listen("127.0.0.1:3000").await
}

pub(crate) fn feed() -> Server {
    let topics = Topics::default();
    Server::builder().cors(Cors::any()).build(move |socket: Socket| {
        let topics = topics.clone();
        async move {
            let subscriber = socket.sender();
            let mut subscribed = Vec::new();
            let handled = handle(socket, &topics, &mut subscribed).await;
            for topic in subscribed {
                topics.unsubscribe(&topic, &subscriber);
            }
            handled
        }
    })
}

async fn handle(mut socket: Socket, topics: &Topics, subscribed: &mut Vec<String>) -> Result<(), SendError> {
    while let Some(message) = socket.recv().await {
        let text = message.as_text().unwrap_or_default();
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        match command {
            "subscribe" if subscribed.len() == MAX_TOPICS_PER_CLIENT => {
                socket.send("error: too many topics").await?;
            }
            "subscribe" => {
                if !subscribed.iter().any(|topic| topic == rest) {
                    subscribed.push(rest.to_owned());
                    topics.subscribe(rest, socket.sender());
                }
                socket.send(format!("subscribed {rest}")).await?;
            }
            "publish" => {
                let (topic, text) = rest.split_once(' ').unwrap_or((rest, ""));
                topics.publish(topic, text);
            }
            _ => socket.send("error: unknown command").await?,
        }
    }
    Ok(())
}

impl Topics {
    fn subscribe(&self, topic: &str, subscriber: Sender) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.entry(topic.to_owned()).or_default().push(subscriber);
    }

    fn unsubscribe(&self, topic: &str, subscriber: &Sender) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(subscribers) = topics.get_mut(topic) else { return };
        subscribers.retain(|other| !other.same_session(subscriber));
        if subscribers.is_empty() {
            topics.remove(topic);
        }
    }

    fn publish(&self, topic: &str, text: &str) {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let message = format!("{topic} {text}");
        for subscriber in topics.get(topic).into_iter().flatten() {
            // One slow subscriber must not hold up the others, so the program does not wait for it.
            if subscriber.try_send(&message) == Err(TrySendError::Full) {
                subscriber.close_discarding();
            }
        }
    }
}
