//! The end of the connection, and reconnecting.

use client::DisconnectReason;
use tokio::time::timeout;

use super::Client;
use crate::error::{ConnectError, Error};

impl Client {
    /// Disconnects from the namespace, and waits until the server has noticed it. The handler `on_disconnect` of the server
    /// may still run.
    ///
    /// # Errors
    /// The client is not connected, or the server has not noticed it in time.
    pub async fn disconnect(&mut self) -> Result<(), Error> {
        let socket = self.server_socket()?;
        self.socket.disconnect();
        match timeout(self.timeout, socket.disconnected()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.timed_out("the end of the socket of the server".to_owned())),
        }
    }

    /// Waits until the client is disconnected, and returns the reason. Each disconnect is returned once, also if it came
    /// before the call. Cancel safe.
    ///
    /// # Errors
    /// The client is still connected after the time.
    pub async fn disconnected(&mut self) -> Result<DisconnectReason, Error> {
        let told = self.told;
        let waited = {
            let disconnects = self.disconnects.wait_for(|disconnects| disconnects.len() > told);
            // The client keeps the sender.
            timeout(self.timeout, disconnects).await.ok().and_then(Result::ok)
        };
        match waited.and_then(|disconnects| disconnects.get(told).copied()) {
            Some(reason) => {
                self.told += 1;
                Ok(reason)
            }
            None => Err(self.timed_out("the end of the connection".to_owned())),
        }
    }

    /// Connects again after the client was disconnected. If the server recovers sessions, this asks for the former one:
    /// [`is_recovered`](client::Socket::is_recovered) says whether it succeeded. Does nothing if the client is connected.
    ///
    /// # Errors
    /// The server has refused the client, or has not accepted it in time.
    pub async fn reconnect(&mut self) -> Result<(), ConnectError> {
        self.connect_socket().await
    }

    pub(super) async fn connect_socket(&mut self) -> Result<(), ConnectError> {
        let limit = self.timeout;
        let connecting = async {
            loop {
                self.socket.connect();
                match self.socket.connected().await {
                    // That was the former connection: its end has overtaken the call of `connect`.
                    Err(client::ConnectError::ConnectionLost(_)) if !self.socket.is_connected() => {}
                    connected => return connected,
                }
            }
        };
        timeout(limit, connecting).await.map_err(|_| ConnectError::TimedOut(limit))??;
        self.former = self.disconnects.borrow().len();
        Ok(())
    }
}
