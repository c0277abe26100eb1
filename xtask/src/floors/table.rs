//! The table of floors, and what each crate must do without. `ARCHITECTURE.md` explains it; this decides.

/// Folder under `crates/`, and its floor.
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

/// Imports within a floor that are meant: from, to.
pub(super) const NEIGHBOURS: &[(&str, &str)] = &[("adapter", "socketio-proto")];

/// What a group of crates must not import, ours or others', and why.
#[derive(Debug)]
pub(super) struct Ban {
    /// Folders; a name that ends with `*` stands for all that begin like it.
    pub(super) crates: &'static [&'static str],
    /// Crates under `crates/` by folder, others by their name; `*` as above.
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
        because: "floors 0 to 2 have no input or output of their own",
    },
    Ban {
        crates: &["ws-proto", "engineio-proto", "socketio-proto", "adapter"],
        imports: &["fastrand", "getrandom", "rand*", "uuid"],
        because: "floors 0 to 2 are given their random bytes",
    },
    Ban {
        crates: &["ws-proto", "engineio-proto", "socketio-proto", "adapter"],
        imports: &["chrono", "coarsetime", "instant", "quanta", "time", "web-time"],
        because: "floors 0 to 2 are given the time",
    },
    Ban { crates: &["net"], imports: &["engineio-proto"], because: "Engine.IO begins above the connection" },
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
        because: "handlers are the same on both sides of the wire and on every runtime",
    },
    Ban {
        crates: &["net", "ws", "engineio", "engineio-client"],
        imports: &["socketio-proto", "adapter", "handlers"],
        because: "namespaces, events and rooms begin above the engine",
    },
    Ban {
        crates: &["server", "client", "adapter"],
        imports: DATABASE_DRIVERS,
        because: "database drivers live in the adapter-* crates",
    },
    Ban {
        crates: &["adapter-*"],
        imports: &["server", "engineio"],
        because: "an adapter carries messages between servers and knows none of them",
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
        because: "the binary has no protocol knowledge; it imports tidewire",
    },
];

/// Crates above floor 2 that must compile for browsers, as those below do.
pub(super) const ALSO_PORTABLE: &[&str] = &["handlers"];

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
