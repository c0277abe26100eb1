//! Socket.IO 5 packets and their JSON codec, without input or output of their own.
//!
//! Two machines know the rules of a connection: [`server::Connection`] and [`client::Client`]. Messages, the time and
//! what the program wants go in; events, acknowledgements, deadlines and what is to be sent come out. An [`AckTable`] has
//! who waits for an acknowledgement. Nothing in this crate panics on what a peer sends.
//!
//! Below them, what comes in goes through a [`Decoder`]: one Engine.IO message at a time, text or binary, until a
//! [`Packet`] is complete. An event without attachments borrows everything from the text it came in; its [`Arguments`]
//! stay raw JSON until a program asks for them as its own type. What goes out is written by the functions of [`encode`]
//! in one pass into an [`engineio_proto::MessageEncoder`].
//!
//! Not here: which namespaces exist, which handlers run, when to reconnect, and every clock.
//!
//! Both machines in conversation, with what travels between them written out:
//!
//! ```
//! use engineio_proto::MessageEncoder;
//! use tidewire_socketio_proto::client::{self, Auth, EmitAction, Output};
//! use tidewire_socketio_proto::server::{self, Received};
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
//! let mut server = server::Connection::new(&Default::default(), &Default::default(), now);
//!
//! let chat = client.socket("/chat", Auth::Static(None));
//! client[chat].connect();
//! client.handle_open();
//! assert!(client.poll_transmit().is_some());
//!
//! let Ok(Some(Received::Connect(request))) = server.handle_text("0/chat,", now) else {
//!     panic!("the client asks for a namespace");
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
//!     panic!("an event has come");
//! };
//! let (text, times): (String, u32) = event.arguments().deserialize()?;
//! assert_eq!((event.name(), &*text, times), ("say", "hello", 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ack_table;
mod argument_shape;
mod arguments;
mod arguments_serialize;
mod attachment_deserializer;
pub mod client;
mod decoder;
pub mod encode;
mod encoded_event;
mod error;
mod excerpt;
mod header;
mod json_string;
mod limits;
mod number;
mod packet;
mod placeholder;
mod scan;
mod serializer;
pub mod server;
mod socket_id;

pub use ack_table::AckTable;
pub use arguments::{Arguments, RawJson};
pub use decoder::Decoder;
pub use encoded_event::EncodedEvent;
pub use error::{ArgumentsError, DecodeError, EncodeError};
pub use excerpt::Excerpt;
pub use limits::DecoderLimits;
pub use packet::{Event, Packet, PacketType, RESERVED_EVENTS};
pub use socket_id::{InvalidSocketId, SocketId};
