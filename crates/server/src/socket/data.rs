//! The data of a socket: one value that other servers of a cluster can read. And its extensions: values of any type
//! that stay in this process.

use std::any::{TypeId, type_name};
use std::fmt;
use std::sync::Arc;

use handlers::ReceivedEvent;
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{Arguments, ArgumentsError, EncodeError, Object, Value};

use super::{Socket, insert_or_replace};
use crate::Observation;

/// The data of a socket as it is stored: one argument, as JSON text with its binary data. So it needs no conversion to
/// leave the process.
pub(super) type StoredData = Arc<Arguments<'static>>;

/// The reason why the data of a socket cannot be read or stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataError {
    /// The stored data has another type. Before the first [`Socket::set_data`], the data is an empty object.
    Deserialize {
        /// What was expected and what was found.
        reason: String,
    },
    /// The new data cannot be serialized. The stored data is unchanged.
    Serialize(EncodeError),
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deserialize { reason } => write!(f, "the data of the socket has another type: {reason}"),
            Self::Serialize(error) => write!(f, "the data for the socket cannot be serialized: {error}"),
        }
    }
}

impl std::error::Error for DataError {}

impl Socket {
    /// Returns the data of the socket, deserialized as `T`. Before the first [`set_data`](Self::set_data), the data is
    /// an empty object, as in Node.
    ///
    /// The data is one value per socket, which serde reads and writes. It is JSON with binary values, as the arguments
    /// of an event. Use [`Value`] as `T` for data of any type. Values that serde cannot write, such as a channel, are
    /// [extensions](Self::extension).
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use tidewire_server::{DataError, Server, Socket};
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// #[serde(default)]
    /// struct Player {
    ///     name: String,
    ///     score: u32,
    /// }
    ///
    /// let io = Server::new();
    /// io.on_connection(async |socket: Socket| socket.set_data(Player { name: "Ann".into(), score: 0 }));
    /// io.on("hit", async |socket: Socket| {
    ///     let score = socket.update_data(|player: &mut Player| {
    ///         player.score += 1;
    ///         player.score
    ///     })?;
    ///     socket.emit("score", score);
    ///     Ok::<_, DataError>(())
    /// });
    /// ```
    ///
    /// # Errors
    /// Returns an error if the data does not fit `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        read_data(self.stored_data().as_deref())
    }

    /// Replaces the data of the socket.
    ///
    /// # Errors
    /// Returns an error if the data cannot be serialized. The stored data is then unchanged.
    pub fn set_data<T: Serialize>(&self, data: T) -> Result<(), DataError> {
        let data = write(&data)?;
        self.update_extensions(|own| own.data.replace(data));
        self.notify(|| Observation::SocketDataChanged { socket: self });
        Ok(())
    }

    /// Changes the data of the socket, and returns what `change` returns. If another task changes the data meanwhile,
    /// `change` is called again with the new data, so no change is lost.
    ///
    /// # Errors
    /// Returns an error if the stored data does not fit `T`, or if the changed data cannot be serialized. The stored data
    /// is then unchanged.
    pub fn update_data<T, R>(&self, mut change: impl FnMut(&mut T) -> R) -> Result<R, DataError>
    where
        T: Serialize + DeserializeOwned,
    {
        loop {
            let before = self.stored_data();
            let mut data: T = read_data(before.as_deref())?;
            let result = change(&mut data);
            let mut after = Some(write(&data)?);
            self.update_extensions(|own| {
                let is_unchanged = match (&own.data, &before) {
                    (Some(now), Some(before)) => Arc::ptr_eq(now, before),
                    (None, None) => true,
                    _ => false,
                };
                if is_unchanged { std::mem::replace(&mut own.data, after.take()) } else { None }
            });
            if after.is_none() {
                self.notify(|| Observation::SocketDataChanged { socket: self });
                return Ok(result);
            }
        }
    }

    /// Stores a value of any type in this socket. There is one value per type; a second value of the same type replaces
    /// the first. It stays in this process. Values that other servers of a cluster may see are the
    /// [data](Self::data) of the socket.
    pub fn set_extension<T: Send + Sync + 'static>(&self, value: T) {
        self.update_extensions(|own| insert_or_replace(&mut own.values, TypeId::of::<T>(), Arc::new(value)));
    }

    /// Returns the value of this type that [`set_extension`](Self::set_extension) stored, or else the
    /// [extension](crate::Handshake::extension) of the request that opened the connection.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let own = self.0.extensions.get().and_then(|own| {
            let own = own.lists();
            own.values.iter().find(|(kind, _)| *kind == TypeId::of::<T>()).map(|(_, value)| Arc::clone(value))
        });
        match own {
            Some(value) => value.downcast().ok(),
            None => self.handshake().extension(),
        }
    }

    pub(super) fn stored_data(&self) -> Option<StoredData> {
        self.0.extensions.get()?.lists().data.clone()
    }
}

/// Deserializes the data of a socket. `None` if the program has set none.
pub(crate) fn read_data<T: DeserializeOwned>(data: Option<&Arguments<'static>>) -> Result<T, DataError> {
    let read = match data {
        Some(data) => data.deserialize::<(T,)>().map(|(data,)| data),
        None => Value::Object(Object::default()).deserialize_into(),
    };
    read.map_err(|error| {
        let reason = match error {
            ArgumentsError::Invalid { reason, .. } | ArgumentsError::InvalidPayload { reason } => reason,
            error => error.to_string(),
        };
        let unset = if data.is_none() { "; no data has been set" } else { "" };
        DataError::Deserialize { reason: format!("{reason} (read as `{}`{unset})", type_name::<T>()) }
    })
}

fn write<T: Serialize>(data: &T) -> Result<StoredData, DataError> {
    // A list with one argument, so that data that is a tuple stays one value.
    let event = ReceivedEvent::new("data", (data,)).map_err(DataError::Serialize)?;
    Ok(Arc::new(event.arguments().clone()))
}
