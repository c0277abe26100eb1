pub use std::time::Duration;

pub use axum::extract::State;
pub use axum::response::Response;
pub use tidewire::ws::{
    self, CloseCode, CloseFrame, Connector, SendError, TrySendError, Upgrade, UpgradeRejection, WebSocket,
};
pub use tokio::net::TcpListener;
pub use tokio::signal::unix::{SignalKind, signal};
pub use tokio::sync::watch;

pub type Request = ws::http::Request<()>;

/// The connections of a room.
#[derive(Clone, Default)]
pub struct Room;

impl Room {
    pub fn add(&self, _sender: ws::Sender) -> usize {
        0
    }

    pub fn remove(&self, _id: usize) {}
}

pub async fn join(_socket: WebSocket, _room: &Room) -> Result<(), SendError> {
    Ok(())
}

/// The state of an axum program.
#[derive(Clone)]
pub struct App {
    pub origins: ws::AllowedOrigins,
    pub stop: watch::Receiver<bool>,
}

pub async fn talk(_socket: WebSocket, _stop: watch::Receiver<bool>) {}

pub async fn respond(_socket: &mut WebSocket, _message: ws::Message) {}

/// A file that is larger than memory.
pub struct File;

impl File {
    pub async fn next_piece(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

pub async fn store(_chunk: &[u8]) -> std::io::Result<()> {
    Ok(())
}

pub async fn log_in_again() {}

pub async fn new_token() -> std::io::Result<String> {
    Ok(String::new())
}

/// The prices that a feed reports.
pub struct Prices;

impl Prices {
    pub fn apply(&mut self, _message: &ws::Message) {}

    pub fn mark_stale(&mut self) {}
}
