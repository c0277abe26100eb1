pub use axum::extract::Request as AxumRequest;
pub use axum::middleware::Next;
pub use axum::response::Response;
pub use tidewire::engineio::http::HeaderValue;
use std::net::IpAddr;
pub use tidewire::engineio::{
    AddressLimits, AllowedOrigins, ClientAddress, Cors, DeflateOptions, ForwardedHeader, MemoryBudget,
    Message, SendError, Sender, Server, Socket, TrustedProxies, TrySendError,
};
// What a program needs to name in its own functions: the body of a request to `serve_with`, and an error of
// `TrustedProxies::new`.
pub use tidewire::engineio::{Incoming, InvalidNetwork};

pub type Request = tidewire::engineio::http::Request<()>;

#[derive(Clone, Default)]
pub struct Room;

pub async fn join(_socket: Socket, _room: &Room, _name: &str) {}

pub async fn handle(_socket: Socket) {}

pub async fn respond(_socket: &Socket, _message: Message<'static>) -> Result<(), SendError> {
    Ok(())
}

pub async fn token_is_valid(_token: &HeaderValue) -> bool {
    true
}

pub fn is_blocked(_address: IpAddr) -> bool {
    false
}

pub async fn authenticate(request: AxumRequest, next: Next) -> Response {
    next.run(request).await
}
