//! The table of floors, and the imports that each crate must not have. `ARCHITECTURE.md` explains it. If the two differ, this
//! table applies.

/// Each folder under `crates/` with its floor.
pub(super) const FLOORS: &[(&str, u8)] = &[
    ("ws-proto", 0),
    ("engineio-proto", 1),
    ("socketio-proto", 2),
    ("adapter", 2),
    ("handlers", 3),
    ("net", 3),
    ("ws", 4),
    ("engineio", 4),
    ("engineio-client", 4),
    ("server", 5),
    ("client", 5),
    ("adapter-redis", 5),
    ("adapter-postgres", 5),
    ("adapter-nats", 5),
    ("testing", 6),
    ("admin", 6),
    ("gateway", 6),
    ("tidewire", 7),
    ("cli", 8),
];

/// Allowed imports within a floor: from, to.
pub(super) const NEIGHBOURS: &[(&str, &str)] = &[("adapter", "socketio-proto")];

/// Imports that are banned for a group of crates, and the reason.
#[derive(Debug)]
pub(super) struct Ban {
    /// Folders. `ab*` stands for all folders that begin with `ab`.
    pub(super) crates: &'static [&'static str],
    /// Crates under `crates/` by folder, other crates by name. `*` works as above, and also at the beginning.
    pub(super) imports: &'static [&'static str],
    pub(super) because: &'static str,
}

pub(super) const BANS: &[Ban] = &[
    Ban {
        crates: &["ws-proto", "engineio-proto", "socketio-proto", "adapter"],
        imports: &[
            "async-std",
            "futures*",
            "hyper*",
            "mio",
            "polling",
            "quinn*",
            "rustls*",
            "smol",
            "socket2",
            "tokio*",
        ],
        because: "floors 0 to 2 do no I/O",
    },
    Ban {
        crates: &["ws-proto", "engineio-proto", "socketio-proto", "adapter"],
        imports: &["fastrand", "getrandom", "rand*", "uuid"],
        because: "floors 0 to 2 get random bytes as arguments",
    },
    Ban {
        crates: &["ws-proto", "engineio-proto", "socketio-proto", "adapter"],
        imports: &["chrono", "coarsetime", "instant", "quanta", "time", "web-time"],
        because: "floors 0 to 2 get the time as an argument",
    },
    Ban { crates: &["net"], imports: &["engineio-proto"], because: "net does not depend on Engine.IO" },
    Ban {
        crates: &["handlers"],
        imports: &[
            "adapter",
            "async-std",
            "chrono",
            "client",
            "engineio",
            "engineio-client",
            "getrandom",
            "hyper*",
            "mio",
            "net",
            "rand*",
            "server",
            "smol",
            "socket2",
            "tokio*",
            "wasm-bindgen*",
        ],
        because: "handlers do not depend on server or client, or on a runtime",
    },
    Ban {
        crates: &["net", "ws", "engineio", "engineio-client"],
        imports: &["socketio-proto", "adapter", "handlers"],
        because: "namespaces, events and rooms belong to the floors above the engine",
    },
    Ban {
        crates: &["server", "client", "adapter"],
        imports: DATABASE_DRIVERS,
        because: "database drivers belong in the adapter-* crates",
    },
    Ban {
        crates: &[
            "ws-proto",
            "engineio-proto",
            "socketio-proto",
            "adapter",
            "handlers",
            "net",
            "ws",
            "engineio",
            "server",
        ],
        imports: &["thiserror"],
        because: "the crates of a server write `Display` and `Error` by hand, so that servers do not compile a macro for it",
    },
    Ban {
        crates: &["adapter-*"],
        imports: &["server", "engineio"],
        because: "an adapter carries messages between servers and does not depend on the server crates",
    },
    Ban {
        crates: &["testing"],
        imports: &["*-proto", "adapter", "engineio", "engineio-client", "handlers", "mio", "net", "socket2"],
        because: "test clients are the real clients on a stream in memory, and know no protocol",
    },
    Ban {
        crates: &["cli"],
        imports: &[
            "*-proto",
            "adapter",
            "handlers",
            "net",
            "engineio",
            "engineio-client",
            "ws",
            "server",
            "client",
        ],
        because: "the binary uses only the public API of tidewire",
    },
];

/// Crates above floor 2 that must compile for browsers, like floors 0 to 2.
pub(super) const ALSO_PORTABLE: &[&str] = &["handlers", "engineio-client", "client"];

const DATABASE_DRIVERS: &[&str] = &[
    "async-nats",
    "deadpool*",
    "diesel*",
    "fred",
    "mongodb",
    "nats",
    "postgres*",
    "redis*",
    "sqlx*",
    "tokio-postgres",
];
