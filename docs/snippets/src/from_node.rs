pub use std::sync::{Arc, Weak};
pub use std::time::Duration;

pub use bytes::Bytes;
pub use serde::{Deserialize, Serialize};
pub use tidewire::engineio::http::HeaderValue;
pub use tidewire::server::adapter::Host;
pub use tidewire::server::{
    Adapter, Auth, ClientFiles, ConnectError, Cookie, Cors, Data, DeflateOptions, DisconnectReason, EventName,
    HandlerError, HttpCompression, InMemoryAdapter, Namespace, NamespaceRequest, Reply, Server, Socket,
    SocketId, Transport, Value,
};

#[derive(Deserialize)]
pub struct Credentials {
    pub token: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Player {
    pub name: String,
}
