//! Parts that several formats have.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use socketio_proto::EncodedEvent;

use super::document::{Document, invalid_form};
use super::{DecodeError, DecodeLimits, EMITTER, MAX_NODE_ID_LEN};
use crate::cluster::{NodeId, RequestId};
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::remote_socket::RemoteSocketState;
use crate::room::Room;

/// The packet of a broadcast.
#[derive(Deserialize)]
pub(super) struct Packet<'d> {
    r#type: Option<u64>,
    #[serde(borrow)]
    nsp: Option<Cow<'d, str>>,
    #[serde(borrow)]
    data: &'d RawValue,
}

impl Packet<'_> {
    /// Returns the namespace.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.nsp.as_deref()
    }

    /// Returns the event.
    pub(super) fn event(
        &self,
        document: &Document<'_>,
        namespace: &str,
        options: &Options<'_>,
        limits: &DecodeLimits,
    ) -> Result<EncodedEvent, DecodeError> {
        // A packet with binary values may have the type of one.
        if let Some(number) = self.r#type.filter(|number| !matches!(number, 2 | 5)) {
            return Err(DecodeError::NotAnEvent { number });
        }
        document.event(self.data, namespace, options.flags().compress != Some(false), limits)
    }
}

/// The receivers of an operation.
#[derive(Deserialize)]
pub(super) struct Options<'d> {
    #[serde(borrow)]
    rooms: Option<&'d RawValue>,
    #[serde(borrow)]
    except: Option<&'d RawValue>,
    #[serde(default)]
    flags: Option<Flags>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Flags {
    volatile: Option<bool>,
    compress: Option<bool>,
    timeout: Option<f64>,
    /// Ours.
    keep_latest: Option<String>,
    /// Ours.
    private: Option<bool>,
}

impl Options<'_> {
    fn flags(&self) -> &Flags {
        const NONE: &Flags =
            &Flags { volatile: None, compress: None, timeout: None, keep_latest: None, private: None };
        self.flags.as_ref().unwrap_or(NONE)
    }

    pub(super) fn read(&self, rooms: &mut RoomReader) -> Result<BroadcastOptions, DecodeError> {
        let flags = self.flags();
        let policy = match (&flags.keep_latest, flags.volatile) {
            (Some(key), _) => DeliveryPolicy::KeepLatest(key.as_str().into()),
            (None, Some(true)) => DeliveryPolicy::Volatile,
            _ => DeliveryPolicy::Queue,
        };
        Ok(BroadcastOptions {
            rooms: rooms.read(self.rooms)?.into(),
            except: rooms.read(self.except)?.into(),
            policy,
            local: false,
            private: flags.private == Some(true),
        })
    }

    /// Returns how long the sender waits for acknowledgements. If it does not say it, the limit of the receiver applies.
    pub(super) fn timeout(&self) -> Duration {
        match self.flags().timeout {
            Some(milliseconds) => {
                Duration::try_from_secs_f64(milliseconds.max(0.0) / 1000.0).unwrap_or(Duration::MAX)
            }
            None => Duration::MAX,
        }
    }
}

/// Reads lists of rooms, within the limit of the message.
pub(super) struct RoomReader {
    left: usize,
    max: usize,
}

impl RoomReader {
    pub(super) fn new(limits: &DecodeLimits) -> Self {
        Self { left: limits.max_rooms, max: limits.max_rooms }
    }

    pub(super) fn read(&mut self, raw: Option<&RawValue>) -> Result<Vec<Room>, DecodeError> {
        let Some(raw) = raw else { return Ok(vec![]) };
        let error = DecodeError::TooManyRooms { max: self.max };
        let names: Vec<RoomName> = read_list(raw, &mut self.left, error)?;
        Ok(names.into_iter().map(|name| name.0).collect())
    }

    pub(super) fn read_names(&mut self, raw: Option<&RawValue>) -> Result<Vec<Box<str>>, DecodeError> {
        Ok(self.read(raw)?.iter().map(|room| room.as_str().into()).collect())
    }
}

/// The name of a room. In JavaScript, it may be a number, and is then another room than the one with its text.
struct RoomName(Room);

impl<'de> Deserialize<'de> for RoomName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl Visitor<'_> for Names {
            type Value = RoomName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a room")
            }

            fn visit_str<E>(self, name: &str) -> Result<RoomName, E> {
                Ok(RoomName(name.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<RoomName, E> {
                Ok(RoomName(number.to_string().into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<RoomName, E> {
                Ok(RoomName(number.to_string().into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<RoomName, E> {
                let number = socketio_proto::Number::from_f64(number);
                Ok(RoomName(number.map_or_else(|| "null".into(), |number| number.to_string().into())))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

/// A socket of another server.
#[derive(Deserialize)]
struct Socket<'d> {
    #[serde(borrow)]
    id: Cow<'d, str>,
    #[serde(borrow)]
    handshake: &'d RawValue,
    #[serde(borrow)]
    rooms: &'d RawValue,
    #[serde(borrow)]
    data: Option<&'d RawValue>,
}

/// Reads the sockets of another server.
pub(super) fn read_sockets(
    document: &Document<'_>,
    raw: &RawValue,
    limits: &DecodeLimits,
) -> Result<Vec<RemoteSocketState>, DecodeError> {
    let (mut left, mut rooms) = (limits.max_sockets, RoomReader::new(limits));
    let error = DecodeError::TooManySockets { max: limits.max_sockets };
    let sockets: Vec<Socket<'_>> = read_list(raw, &mut left, error)?;
    let read = |socket: Socket<'_>| {
        let data = match socket.data {
            Some(data) => document.argument(Some(data))?,
            None => document.argument(Some(RawValue::NULL))?,
        };
        let rooms = rooms.read(Some(socket.rooms))?;
        Ok(RemoteSocketState::new(&socket.id, document.json(socket.handshake), rooms, data))
    };
    sockets.into_iter().map(read).collect()
}

/// Reads the ids of sockets.
pub(super) fn read_ids(raw: &RawValue, limits: &DecodeLimits) -> Result<Vec<Box<str>>, DecodeError> {
    let mut left = limits.max_sockets;
    read_list(raw, &mut left, DecodeError::TooManySockets { max: limits.max_sockets })
}

/// Reads a value that may be null, which differs from a missing one.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads the id of a request.
pub(super) fn read_request(id: &str) -> Result<RequestId, DecodeError> {
    RequestId::parse(id).ok_or(DecodeError::RequestIdTooLong { len: id.len() })
}

/// Reads the name of the sender. An emitter has none.
pub(super) fn read_sender(uid: Option<&str>) -> Result<Option<NodeId>, DecodeError> {
    match uid {
        None | Some(EMITTER) => Ok(None),
        Some(uid) if uid.len() > MAX_NODE_ID_LEN => Err(DecodeError::NodeIdTooLong { len: uid.len() }),
        Some(uid) => Ok(Some(uid.into())),
    }
}

/// Reads a list of at most `left` elements, and subtracts their number from it.
fn read_list<'d, T: Deserialize<'d>>(
    raw: &'d RawValue,
    left: &mut usize,
    error: DecodeError,
) -> Result<Vec<T>, DecodeError> {
    let mut is_exceeded = false;
    let list = List { left, is_exceeded: &mut is_exceeded, element: PhantomData };
    let read = list.deserialize(&mut serde_json::Deserializer::from_str(raw.get()));
    match read {
        Err(_) if is_exceeded => Err(error),
        read => read.map_err(|error| invalid_form(&error)),
    }
}

struct List<'l, T> {
    left: &'l mut usize,
    is_exceeded: &'l mut bool,
    element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            let Some(left) = self.left.checked_sub(1) else {
                *self.is_exceeded = true;
                return Err(A::Error::custom("too many elements"));
            };
            *self.left = left;
            list.push(element);
        }
        Ok(list)
    }
}
