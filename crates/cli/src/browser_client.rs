//! Tidewire's own client for browsers, which is part of the binary: `/socket.io/tidewire.js`. Its source is in `web/client`.

use tidewire::server::ClientFiles;

macro_rules! built {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../web/client/", $name)) as &[u8])),*]
    };
}

const FILES: [(&str, &[u8]); 8] = built![
    "tidewire.js",
    "tidewire.js.map",
    "tidewire.d.ts",
    "tidewire-msgpack.js",
    "tidewire-msgpack.js.map",
    "tidewire-msgpack.d.ts",
    "tidewire.global.js",
    "tidewire.global.js.map",
];

/// Returns `files` and those of the client. None has the name of a file of the official client.
pub(crate) fn added_to(files: ClientFiles) -> ClientFiles {
    FILES.into_iter().fold(files, |files, (name, content)| files.with_file(name, content))
}
