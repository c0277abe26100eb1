pub use std::time::Duration;

pub use serde_json::json;
pub use tidewire::client::{AckError, Client, ConnectError, Data, MessagePackParser, Socket};

pub async fn fetch_token() -> std::io::Result<String> {
    Ok(String::new())
}
