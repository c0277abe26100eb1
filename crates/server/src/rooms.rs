//! The rooms that a method takes: one, or a list.

use std::borrow::Cow;
use std::sync::Arc;

use adapter::{Room, SocketId};

/// One room, or a list of rooms: `"a"`, a `String`, a [`Room`], the [`SocketId`] of a socket, an array, a slice or a
/// `Vec` of them, or a reference to one of these.
///
/// ```
/// use tidewire_server::{Server, Socket};
///
/// let io = Server::new();
/// io.on_connection(async |socket: Socket| {
///     socket.join(["readers", "writers"]);
/// });
/// io.to(["readers", "writers"]).except("banned").emit("news", 1);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a room nor a list of rooms",
    note = "a room is a `&str`, `String`, `Room` or `SocketId`; a list is an array, a slice or a `Vec` of them"
)]
pub trait Rooms: Sized {
    /// Appends the rooms to a list.
    #[doc(hidden)]
    fn append_to(self, rooms: &mut impl Extend<Room>);

    /// Calls a function with the names of the rooms.
    #[doc(hidden)]
    fn with_names<R>(self, call: impl FnOnce(&[&str]) -> R) -> R;
}

/// One room.
#[doc(hidden)]
pub trait RoomName {
    fn name(&self) -> &str;

    fn to_room(&self) -> Room {
        self.name().into()
    }
}

impl RoomName for str {
    fn name(&self) -> &str {
        self
    }
}

impl RoomName for String {
    fn name(&self) -> &str {
        self
    }
}

impl RoomName for Cow<'_, str> {
    fn name(&self) -> &str {
        self
    }
}

impl RoomName for Box<str> {
    fn name(&self) -> &str {
        self
    }
}

impl RoomName for Arc<str> {
    fn name(&self) -> &str {
        self
    }

    fn to_room(&self) -> Room {
        Arc::clone(self).into()
    }
}

impl RoomName for Room {
    fn name(&self) -> &str {
        self.as_str()
    }

    fn to_room(&self) -> Room {
        self.clone()
    }
}

impl RoomName for SocketId {
    fn name(&self) -> &str {
        self.as_str()
    }

    fn to_room(&self) -> Room {
        self.into()
    }
}

impl<T: RoomName + ?Sized> RoomName for &T {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn to_room(&self) -> Room {
        (**self).to_room()
    }
}

impl<T: RoomName> Rooms for T {
    fn append_to(self, rooms: &mut impl Extend<Room>) {
        rooms.extend([self.to_room()]);
    }

    fn with_names<R>(self, call: impl FnOnce(&[&str]) -> R) -> R {
        call(&[self.name()])
    }
}

/// Lists that can be indexed like a slice.
macro_rules! list {
    ($([$($generics:tt)*] $list:ty),+) => {
        $(
            impl<$($generics)*> Rooms for $list {
                fn append_to(self, rooms: &mut impl Extend<Room>) {
                    rooms.extend(self[..].iter().map(RoomName::to_room));
                }

                fn with_names<R>(self, call: impl FnOnce(&[&str]) -> R) -> R {
                    call(&self[..].iter().map(RoomName::name).collect::<Vec<_>>())
                }
            }
        )+
    };
}

list!(
    [T: RoomName, const N: usize] [T; N],
    [T: RoomName, const N: usize] &[T; N],
    [T: RoomName] &[T],
    [T: RoomName] Vec<T>,
    [T: RoomName] &Vec<T>
);
