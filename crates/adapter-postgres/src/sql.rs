//! The statements.

/// The longest name of a channel in bytes: `NAMEDATALEN - 1`. `LISTEN` cuts longer ones, `pg_notify` refuses them. So Node's
/// adapter cannot use such a namespace either.
pub(crate) const MAX_CHANNEL: usize = 63;

/// How many rows one statement deletes. The statement must end within the limit of the session.
pub(crate) const CLEANUP_BATCH: u64 = 5_000;

/// How long a statement waits for a lock, and how long it may take. So a table that is locked for long, by `VACUUM FULL` for
/// instance, does not make the messages wait that do not need it.
pub(crate) const SESSION: &str = "SET lock_timeout = '2s'; SET statement_timeout = '5s'";

/// Sends notifications in their order: channels and payloads.
pub(crate) const NOTIFY: &str = "SELECT pg_notify(channel, payload) \
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS message(channel, payload, number) ORDER BY number";

/// The statements that name the table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: Box<str>,
    /// Says whether the table exists.
    pub(crate) exists: String,
    pub(crate) create: String,
    /// Inserts a row and sends its notification: the content, the channel, and the payload before and after the id. Both have
    /// an effect at the same moment, and only together.
    pub(crate) insert: String,
    /// Reads rows: their ids and the longest content that is wanted. A longer one is null.
    pub(crate) read: String,
    /// Deletes the oldest rows: their age in milliseconds.
    pub(crate) clean_up: String,
}

impl Table {
    /// Returns `None` if the name is not one that needs no quotes. As in Node's adapter, it is not quoted, and so PostgreSQL makes
    /// it lower case.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let is_identifier = |part: &str| {
            let first = part.bytes().next();
            first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let parts: Vec<_> = name.split('.').collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_identifier(part)) {
            return None;
        }
        Some(Self {
            name: name.into(),
            exists: format!("SELECT to_regclass('{name}') IS NOT NULL"),
            create: format!(
                "CREATE TABLE IF NOT EXISTS {name} \
                 (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)"
            ),
            insert: format!(
                "WITH inserted AS (INSERT INTO {name} (payload) VALUES ($1) RETURNING id) \
                 SELECT pg_notify($2, $3 || inserted.id || $4) FROM inserted"
            ),
            read: format!(
                "SELECT id, CASE WHEN octet_length(payload) <= $2 THEN payload END \
                 FROM {name} WHERE id = ANY($1)"
            ),
            clean_up: format!(
                "DELETE FROM {name} WHERE id IN (SELECT id FROM {name} \
                 WHERE created_at < now() - $1 * interval '1 millisecond' ORDER BY id LIMIT {CLEANUP_BATCH})"
            ),
        })
    }
}

/// Returns whether PostgreSQL accepts the name of a channel.
pub(crate) fn is_channel(name: &str) -> bool {
    name.len() <= MAX_CHANNEL && !name.contains('\0')
}

/// Quotes an identifier. Clients choose the names of dynamic namespaces.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_name_that_needs_no_quotes() {
        for name in ["socket_io_attachments", "Schema1.t", "_"] {
            assert!(Table::new(name).is_some(), "{name}");
        }
        for name in ["", ".", "a.", "a.b.c", "1a", "a;b", "a b", "\"a\"", "é"] {
            assert!(Table::new(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_name_of_a_channel_cannot_leave_its_quotes() {
        assert_eq!(quoted(r#"a"; DROP TABLE b; --"#), r#""a""; DROP TABLE b; --""#);
    }

    #[test]
    fn a_channel_has_at_most_63_bytes_and_no_nul() {
        assert!(is_channel(&"x".repeat(63)));
        assert!(!is_channel(&"x".repeat(64)));
        assert!(!is_channel("a\0"));
    }
}
