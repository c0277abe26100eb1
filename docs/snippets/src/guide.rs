pub use std::collections::BTreeSet;
pub use std::sync::Arc;
pub use std::time::Duration;

pub use bytes::Bytes;
pub use tidewire::ws::http::HeaderValue;
pub use serde::{Deserialize, Serialize};
pub use serde_json::json;
pub use tidewire::server::{
    Ack, AckError, AllowedOrigins, Auth, ClientFiles, ConnectError, ConnectionStateRecovery, Cookie, Cors, Data, DataError, DisconnectReason,
    EmitError, EventName, HandlerError, Namespace, NamespaceRequest, ReceivedEvent, Reply, Server, Socket, SocketId, State, Value,
};

#[derive(Default)]
pub struct Rooms;

impl Rooms {
    pub async fn count(&self, _room: &str) {}
}

#[derive(Deserialize)]
pub struct Credentials {
    pub token: String,
}

pub struct Users;

impl Users {
    pub async fn find(&self, _token: &str) -> Option<String> {
        None
    }
}

pub struct Limiter;

impl Limiter {
    pub async fn allows(&self, _socket: SocketId, _event: &str) -> bool {
        true
    }
}

pub async fn cook() {}

pub async fn token_is_valid(_token: &HeaderValue) -> bool {
    true
}

pub async fn render(month: &str) -> String {
    month.to_owned()
}
