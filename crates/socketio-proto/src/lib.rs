//! Sans-I/O implementation of the Socket.IO 5 protocol, and of Socket.IO 4 for servers: packets, their JSON codec and other parsers, and the rules of a connection.
//!
//! Two state machines implement the rules of a connection: [`server::Connection`] and, with the feature `client`,
//! [`client::Client`]. A driver passes received messages, the current time and the commands of the program to the machine. The machine returns
//! events, acknowledgements, deadlines and the messages to send. An [`AckTable`] stores the waiters for
//! acknowledgements. No input from a peer makes this crate panic.
//!
//! The machines use the lower layers of this crate. A [`Decoder`] takes Engine.IO messages, text or binary, one at a
//! time, and returns a [`Packet`] as soon as it is complete. An event without attachments borrows its data from the
//! text it was read from. Its [`Arguments`] stay raw JSON until the program deserializes them into its own type. The
//! functions of [`encode`] write a packet in one pass into an [`engineio_proto::MessageEncoder`]. A
//! [`Parser`] replaces the form that packets have on the wire, for instance by MessagePack (`MessagePackParser`, with the
//! feature `msgpack`).
//!
//! This crate does not decide which namespaces exist, which handlers run, or when a client reconnects. It does not read
//! a clock.
//!
//! This example connects both machines. It passes the messages as literal text, to show what is sent:
//!
//! ```
//! use engineio_proto::MessageEncoder;
//! use tidewire_socketio_proto::client::{self, Auth, EmitAction, Output};
//! use tidewire_socketio_proto::server::{self, Protocol, Received};
//! use tidewire_socketio_proto::{SocketId, encode};
//! use ws_proto::Time;
//!
//! struct Member;
//!
//! impl server::Socket for Member {
//!     fn namespace(&self) -> &str {
//!         "/chat"
//!     }
//!     fn is_disconnected(&self) -> bool {
//!         false
//!     }
//! }
//!
//! let (now, mut encoder) = (Time::ZERO, MessageEncoder::new());
//! let mut client = client::Client::<()>::new(&Default::default(), &Default::default());
//! let mut server = server::Connection::new(Protocol::V5, &Default::default(), &Default::default(), now);
//!
//! let chat = client.socket("/chat", Auth::Static(None));
//! client[chat].connect();
//! client.handle_open();
//! assert!(client.poll_transmit().is_some());
//!
//! let Ok(Some(Received::Connect(request))) = server.handle_text("0/chat,", now) else {
//!     panic!("the client requests a namespace");
//! };
//! assert!(request.insert(Member).accept());
//! let id = SocketId::from_random(*b"fifteen octets!");
//! let _sent = encode::connect(&mut encoder, "/chat", &id);
//!
//! assert_eq!(client.handle_text(r#"0/chat,{"sid":"ZmlmdGVlbiBvY3RldHMh"}"#), Ok(None));
//! assert_eq!(client.poll_output(), Some((chat, Output::Connected { recovered: false })));
//! assert_eq!(client[chat].id(), Some(&*id));
//!
//! let message = encode::event(&mut encoder, "/chat", None, "say", &("hello", 2))?;
//! assert_eq!(client[chat].emit(&message)?, EmitAction::Transmit);
//!
//! let Ok(Some(Received::Event { event, .. })) = server.handle_text(r#"2/chat,["say","hello",2]"#, now) else {
//!     panic!("an event was received");
//! };
//! let (text, times): (String, u32) = event.arguments().deserialize()?;
//! assert_eq!((event.name(), &*text, times), ("say", "hello", 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ack_table;
mod argument_shape;
mod arguments;
#[cfg(feature = "client")]
pub mod client;
mod decoder;
pub mod encode;
mod encoded_event;
mod error;
mod header;
mod json_string;
mod json_unescape;
mod limits;
mod list_count;
#[cfg(feature = "msgpack")]
pub mod message_pack;
mod number;
mod packet;
pub mod parser;
mod placeholder;
mod reply;
mod scan;
mod serializer;
pub mod server;
mod socket_id;
mod value;

pub use ack_table::AckTable;
pub use arguments::{Arguments, RawJson};
pub use decoder::Decoder;
pub use encoded_event::{EncodedEvent, StoredEvent};
pub use error::{ArgumentsError, DecodeError, EncodeError};
pub use limits::DecoderLimits;
#[cfg(feature = "msgpack")]
pub use message_pack::{MessagePackError, MessagePackParser};
pub use packet::{Event, Packet, PacketType, RESERVED_EVENTS};
pub use parser::{PacketDecoder, Parser};
pub use reply::Reply;
pub use socket_id::{InvalidSocketId, SocketId};
pub use value::{Number, Object, Value};
pub use ws_proto::Excerpt;
