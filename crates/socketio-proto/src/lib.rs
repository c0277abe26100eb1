//! Socket.IO 5 packets and their JSON codec, without input or output of their own.
//!
//! What comes in goes through a [`Decoder`]: one Engine.IO message at a time, text or binary, until a [`Packet`] is
//! complete. An event without attachments borrows everything from the text it came in; its [`Arguments`] stay raw JSON
//! until a program asks for them as its own type. What goes out is written by the functions of [`encode`] in one pass
//! into an [`engineio_proto::MessageEncoder`].
//!
//! Not here: which namespaces exist, who waits for which acknowledgement, and every clock. An error of the decoder
//! means that the connection must be closed; nothing in this crate panics on what a peer sends.
//!
//! ```
//! use engineio_proto::MessageEncoder;
//! use tidewire_socketio_proto::{Decoder, Limits, Packet, encode};
//!
//! let mut decoder = Decoder::new(&Limits::default());
//! let Ok(Some(Packet::Event { namespace, ack, event })) = decoder.text(r#"2/chat,7["say","hello",2]"#) else {
//!     panic!("this is an event");
//! };
//! assert_eq!((&*namespace, ack, event.name()), ("/chat", Some(7), "say"));
//! let (text, times): (String, u32) = event.arguments().deserialize()?;
//!
//! let mut encoder = MessageEncoder::new();
//! let message = encode::ack(&mut encoder, &namespace, 7, &format!("{text} ×{times}"))?;
//! assert_eq!(message.text(), r#"3/chat,7["hello ×2"]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acks;
mod arguments;
mod attachments;
pub mod client;
mod decoder;
pub mod encode;
mod error;
mod event;
mod excerpt;
mod header;
mod id;
mod limits;
mod number;
mod packet;
mod placeholder;
mod relay;
mod reserved;
mod scan;
mod serializer;
pub mod server;
mod text;
mod tuple;

pub use acks::AckTable;
pub use arguments::{Arguments, Json};
pub use decoder::Decoder;
pub use error::{ArgumentsError, DecodeError, EncodeError};
pub use event::EncodedEvent;
pub use excerpt::Excerpt;
pub use id::{InvalidSocketId, SocketId};
pub use limits::Limits;
pub use packet::{Event, Packet, PacketType};
pub use reserved::{RESERVED_EVENTS, is_reserved};
