//! What a visitor of the chat may do at most, and what a visitor hears who wants more.

use std::fmt;
use std::time::Duration;

use tidewire::server::HandlerError;

use super::super::rate_limit::TOO_FAST;

/// The characters of the name of a person.
pub(super) const MAX_NAME_CHARS: usize = 24;
/// The characters of the name of a room.
pub(super) const MAX_ROOM_NAME_CHARS: usize = 24;
/// The characters of a message.
pub(super) const MAX_TEXT_CHARS: usize = 1_000;
/// The bytes of the id that a page gives a message. A UUID has 36.
pub(super) const MAX_ID_BYTES: usize = 36;
/// The rooms, with those that always exist.
pub(super) const MAX_ROOMS: usize = 40;
/// The rooms that the visitors of one address have opened: others find room for theirs.
pub(super) const MAX_ROOMS_OF_ADDRESS: usize = 8;
/// The connections that one room has.
pub(super) const MAX_MEMBERS: usize = 200;
/// The connections of one address in one room.
pub(super) const MAX_MEMBERS_OF_ADDRESS: usize = MAX_MEMBERS / 4;
/// The messages that a room keeps.
pub(super) const MAX_MESSAGES: usize = 50;
/// The bytes of one picture.
pub(super) const MAX_PICTURE_BYTES: usize = 512 * 1024;
/// The width and the height of a picture.
pub(super) const MAX_PICTURE_SIDE: usize = 4_096;
/// The pixels of a picture. A browser needs four bytes for each, and few bytes can describe many of them.
pub(super) const MAX_PICTURE_PIXELS: usize = 4 * 1024 * 1024;
/// The bytes of the pictures that all rooms keep together. The oldest ones are dropped, their messages stay.
pub(super) const MAX_KEPT_PICTURE_BYTES: usize = 8 * 1024 * 1024;
/// How long a room exists without people. Longer than the session of a client that has lost its connection.
pub(super) const EMPTY_ROOM_LIFE: Duration = Duration::from_secs(180);

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Name,
    NameTaken,
    RoomName,
    RoomNameTaken,
    Text,
    MessageId,
    TooManyRooms,
    TooManyRoomsOfAddress,
    NoRoom,
    RoomIsFull,
    TooManyOfAddress,
    NotInRoom,
    TooFast,
    TooManyPictures,
    PictureTooLarge,
    Animated,
    NotAPicture,
    NoPicture,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "A name has 1 to 24 letters, digits, spaces and punctuation marks.",
            Self::NameTaken => "Somebody in this room has a name that looks the same.",
            Self::RoomName => "The name of a room has 1 to 24 letters, digits, spaces or hyphens.",
            Self::Text => "A message has 1 to 1,000 characters.",
            Self::MessageId => "The id of a message has 1 to 36 bytes.",
            Self::RoomNameTaken => "There is a room whose name looks the same.",
            Self::TooManyRooms => {
                "There are 40 rooms already. Rooms without people are removed after three minutes."
            }
            Self::TooManyRoomsOfAddress => {
                "People in your network have opened 8 rooms already. Rooms without people are removed after three minutes."
            }
            Self::NoRoom => "This room does not exist any more.",
            Self::RoomIsFull => "This room is full.",
            Self::TooManyOfAddress => "This room has 50 connections of your network already.",
            Self::NotInRoom => "You are not in this room.",
            Self::TooFast => TOO_FAST,
            Self::TooManyPictures => "Too many pictures. Wait a minute.",
            Self::PictureTooLarge => {
                "A picture has at most 512 KiB, 4 megapixels, and 4,096 pixels in width and height."
            }
            Self::Animated => "A picture must not be animated.",
            Self::NotAPicture => "This is no PNG, JPEG or WebP picture.",
            Self::NoPicture => "This picture is not kept any more.",
        })
    }
}

// Not an `Error`: the texts are for the visitor, and `?` would hide the text of an error.
impl From<Refusal> for HandlerError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.to_string())
    }
}
