//! Tells the clients of a server what happens to its link to the other servers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::json;
use tidewire::server::adapter::cluster::Message;
use tidewire::server::{Data, LinkChange, Observation, Observer, Server, Socket, Value};

/// Observes the links of all namespaces.
#[derive(Clone, Default)]
pub(crate) struct Reporter {
    server: Arc<OnceLock<Server>>,
    /// The namespaces that have no link.
    lost: Arc<Mutex<HashSet<String>>>,
}

impl Reporter {
    /// Sends the reports to the clients of this server. They may send events to all servers.
    pub(crate) fn register(&self, io: &Server) {
        let _ = self.server.set(io.clone());
        io.on("say", async |io: Server, Data((room, message)): Data<(String, Value)>| {
            io.to(room).emit("said", message);
        });
    }

    /// Tells a client that it is connected, and whether its server has lost its link.
    pub(crate) fn welcome(&self, socket: &Socket) {
        // Holding the lock keeps the order of what the client hears.
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        socket.emit("ready", (lost.contains(socket.namespace().name()),));
    }
}

impl Observer for Reporter {
    fn observe(&self, observation: &Observation<'_>) {
        match observation {
            Observation::ClusterLinkChanged { namespace, change, .. } => {
                let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
                let is_lost = *change == LinkChange::Lost;
                if is_lost {
                    lost.insert((*namespace).to_owned());
                } else {
                    lost.remove(*namespace);
                }
                if let Some(server) = self.server.get() {
                    server.of(namespace).local().emit("link", (is_lost,));
                }
            }
            // The test has numbered its events.
            Observation::ClusterMessageFailed { message, error, .. } => {
                let event = match message {
                    Message::Broadcast { event, .. } => Some(event.json()),
                    _ => None,
                };
                println!(
                    "{}",
                    json!({ "id": "failure", "message": message.name(), "event": event, "error": error.to_string() })
                );
            }
            _ => {}
        }
    }
}
