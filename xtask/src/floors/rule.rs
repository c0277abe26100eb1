//! The rule, applied to names of crates.

use super::table::{ALSO_PORTABLE, BANS, FLOORS, NEIGHBOURS};

/// The purpose of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// For the crate itself, including its build script.
    Normal,
    /// For its tests, examples and benches only.
    Development,
}

/// An import of one crate under `crates/` by another. Both are named by folder.
#[derive(Debug)]
pub(super) struct Edge<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) kind: Kind,
}

/// Checks that a crate has a floor, and the name that belongs to its folder.
pub(super) fn complaint_about_crate(folder: &str, name: &str) -> Option<String> {
    if floor(folder).is_none() {
        return Some(format!("crates/{folder} has no floor; add it to xtask/src/floors/table.rs"));
    }
    let expected = if folder == "tidewire" { folder.to_owned() } else { format!("tidewire-{folder}") };
    (name != expected).then(|| format!("crates/{folder} is named {name} instead of {expected}"))
}

/// Checks one import. A crate imports only from lower floors, except for the neighbours in the table. Tests may also import
/// from their own floor, because no other crate builds on tests.
pub(super) fn complaint_about_edge(edge: &Edge<'_>) -> Option<String> {
    let Edge { from, to, kind } = *edge;
    let below = floor(from)?; // `complaint_about_crate` reports a crate without a floor
    let Some(above) = floor(to) else {
        return Some(format!("{from} imports {to}, which has no floor"));
    };
    let allowed =
        above < below || (kind == Kind::Development && above == below) || NEIGHBOURS.contains(&(from, to));
    if allowed {
        return complaint_about_import(from, to, kind);
    }
    let purpose = if kind == Kind::Development { " for its tests" } else { "" };
    Some(format!(
        "{from} (floor {below}) imports {to} (floor {above}){purpose}: a crate imports only from lower floors"
    ))
}

/// Checks an import against the bans. Tests may import banned crates.
pub(super) fn complaint_about_import(from: &str, import: &str, kind: Kind) -> Option<String> {
    if kind == Kind::Development {
        return None;
    }
    let ban = BANS.iter().find(|ban| matches_any(ban.crates, from) && matches_any(ban.imports, import))?;
    Some(format!("{from} imports {import}: {}", ban.because))
}

/// Whether the crate must compile for browsers too.
pub(super) fn is_portable(folder: &str) -> bool {
    floor(folder).is_some_and(|floor| floor <= 2) || ALSO_PORTABLE.contains(&folder)
}

fn floor(folder: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == folder).map(|(_, floor)| *floor)
}

/// Whether a pattern matches `name`. `ab*` matches names that begin with `ab`, `*ab` names that end with `ab`.
fn matches_any(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| {
        if let Some(beginning) = pattern.strip_suffix('*') {
            name.starts_with(beginning)
        } else if let Some(end) = pattern.strip_prefix('*') {
            name.ends_with(end)
        } else {
            name == *pattern
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> Option<String> {
        complaint_about_edge(&Edge { from, to, kind: Kind::Normal })
    }

    fn edge_of_tests(from: &str, to: &str) -> Option<String> {
        complaint_about_edge(&Edge { from, to, kind: Kind::Development })
    }

    fn import(from: &str, import: &str) -> Option<String> {
        complaint_about_import(from, import, Kind::Normal)
    }

    #[test]
    fn an_import_downwards_is_fine_however_far() {
        for (from, to) in [
            ("engineio-proto", "ws-proto"),
            ("net", "ws-proto"),
            ("engineio", "net"),
            ("server", "adapter"),
            ("server", "socketio-proto"),
            ("adapter-redis", "adapter"),
            ("tidewire", "server"),
            ("cli", "tidewire"),
        ] {
            assert_eq!(edge(from, to), None, "{from} → {to}");
        }
    }

    #[test]
    fn an_import_upwards_is_refused_and_named() {
        assert_eq!(
            edge("ws-proto", "net").as_deref(),
            Some("ws-proto (floor 0) imports net (floor 3): a crate imports only from lower floors")
        );
        for (from, to) in [("adapter", "net"), ("net", "engineio"), ("ws", "server"), ("server", "tidewire")]
        {
            assert!(edge(from, to).is_some(), "{from} → {to}");
        }
    }

    #[test]
    fn an_import_sideways_is_refused_but_for_the_neighbours_in_the_table() {
        for (from, to) in [
            ("engineio", "ws"),
            ("ws", "engineio"),
            ("server", "client"),
            ("server", "adapter-redis"),
            ("socketio-proto", "adapter"),
            ("tidewire", "cli"),
        ] {
            assert!(edge(from, to).is_some(), "{from} → {to}");
        }
        assert_eq!(edge("adapter", "socketio-proto"), None);
    }

    #[test]
    fn tests_may_import_sideways_but_not_upwards() {
        assert_eq!(edge_of_tests("server", "client"), None);
        assert_eq!(edge_of_tests("engineio", "ws-proto"), None);
        assert_eq!(
            edge_of_tests("net", "server").as_deref(),
            Some(
                "net (floor 3) imports server (floor 5) for its tests: a crate imports only from lower floors"
            )
        );
    }

    #[test]
    fn a_crate_without_a_floor_is_an_error_on_either_end() {
        assert!(
            complaint_about_crate("attic", "tidewire-attic")
                .is_some_and(|text| text.contains("has no floor"))
        );
        assert!(edge("server", "attic").is_some_and(|text| text.contains("has no floor")));
        assert_eq!(edge("attic", "server"), None, "reported once, about the crate");
    }

    #[test]
    fn a_crate_has_the_name_of_its_folder() {
        assert_eq!(complaint_about_crate("ws", "tidewire-ws"), None);
        assert_eq!(complaint_about_crate("tidewire", "tidewire"), None);
        assert!(complaint_about_crate("ws", "tidewire-websocket").is_some());
        assert!(complaint_about_crate("tidewire", "tidewire-tidewire").is_some());
    }

    #[test]
    fn the_machines_import_no_runtime_no_clock_and_no_chance() {
        for machine in ["ws-proto", "engineio-proto", "socketio-proto", "adapter"] {
            for banned in [
                "tokio",
                "tokio-util",
                "mio",
                "socket2",
                "getrandom",
                "rand",
                "rand_core",
                "hyper",
                "hyper-util",
                "time",
            ] {
                assert!(import(machine, banned).is_some(), "{machine} → {banned}");
            }
            for fine in ["bytes", "http", "serde", "serde_json", "tracing"] {
                assert_eq!(import(machine, fine), None, "{machine} → {fine}");
            }
            assert_eq!(complaint_about_import(machine, "tokio", Kind::Development), None);
        }
        assert_eq!(import("net", "tokio"), None);
    }

    #[test]
    fn handlers_know_no_side_and_no_runtime() {
        for banned in ["tokio", "tokio-util", "hyper", "getrandom", "wasm-bindgen-futures"] {
            assert!(import("handlers", banned).is_some(), "handlers → {banned}");
        }
        for banned in ["net", "engineio", "server", "client"] {
            assert!(edge("handlers", banned).is_some(), "handlers → {banned}");
        }
        for below in ["ws-proto", "engineio-proto", "socketio-proto"] {
            assert_eq!(edge("handlers", below), None, "handlers → {below}");
        }
        for above in ["server", "client"] {
            assert_eq!(edge(above, "handlers"), None, "{above} → handlers");
        }
    }

    #[test]
    fn database_drivers_stay_in_their_adapters() {
        for crate_without in ["server", "client", "adapter"] {
            for driver in ["redis", "fred", "tokio-postgres", "sqlx", "async-nats"] {
                assert!(import(crate_without, driver).is_some(), "{crate_without} → {driver}");
            }
        }
        assert_eq!(import("adapter-redis", "redis"), None);
        assert_eq!(import("adapter-postgres", "tokio-postgres"), None);
    }

    #[test]
    fn a_server_compiles_no_macro_for_errors() {
        for of_a_server in ["ws-proto", "adapter", "handlers", "net", "ws", "engineio", "server"] {
            assert!(import(of_a_server, "thiserror").is_some(), "{of_a_server} → thiserror");
            assert_eq!(complaint_about_import(of_a_server, "thiserror", Kind::Development), None);
        }
        for other in ["client", "adapter-redis", "testing", "cli"] {
            assert_eq!(import(other, "thiserror"), None, "{other} → thiserror");
        }
    }

    #[test]
    fn downwards_is_not_enough_where_the_table_says_so() {
        for (from, to) in [
            ("net", "engineio-proto"),
            ("adapter-redis", "engineio"),
            ("adapter-nats", "server"),
            ("engineio", "socketio-proto"),
            ("ws", "adapter"),
            ("cli", "server"),
            ("cli", "net"),
            ("cli", "ws-proto"),
            ("cli", "adapter"),
        ] {
            assert!(edge(from, to).is_some(), "{from} → {to}");
        }
    }

    #[test]
    fn every_name_in_the_bans_and_neighbours_is_in_the_table_of_floors() {
        let folders = BANS.iter().flat_map(|ban| ban.crates).filter(|name| !name.ends_with('*'));
        let neighbours = NEIGHBOURS.iter().flat_map(|(from, to)| [from, to]);
        for name in folders.chain(neighbours) {
            assert!(floor(name).is_some(), "{name} has no floor");
        }
    }
}
