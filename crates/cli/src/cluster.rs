//! `--cluster`: the database over which this server and others act like one.

use anyhow::{Context, bail};
use tidewire::postgres::PostgresAdapter;
use tidewire::server::Builder;

/// Connects to the database at `url`, and sets the adapter for it. A database that does not work at the start is an error; one that
/// is gone later is awaited.
pub(crate) async fn join(builder: Builder, url: &str) -> anyhow::Result<Builder> {
    // The URL has a password, so no error shows it.
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some("postgres" | "postgresql") => {
            let adapter = PostgresAdapter::connect(url).await.context("cannot join the cluster")?;
            Ok(builder.adapter(adapter))
        }
        Some(scheme) => {
            bail!(
                "cannot join the cluster: {scheme:?} is not a kind of URL that --cluster accepts; write postgres://…"
            )
        }
        None => bail!(
            "cannot join the cluster: the value of --cluster is not a URL such as postgres://user:password@host/database"
        ),
    }
}

#[cfg(test)]
mod tests {
    use tidewire::server::Server;

    use super::*;

    #[tokio::test]
    async fn a_url_that_cannot_be_used_is_a_clear_error_without_the_password() {
        for (url, expected) in [
            ("mysql://user:secret@host", "\"mysql\" is not a kind of URL"),
            ("localhost", "is not a URL"),
            ("postgres://user:secret@127.0.0.1:1/db", "cannot connect to PostgreSQL"),
            ("postgres://user:secret@host:port/db", "the URL of the database is not valid"),
        ] {
            let Err(error) = join(Server::builder(), url).await else { panic!("{url} is refused") };
            let error = format!("{error:#}");
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
