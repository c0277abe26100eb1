//! `--cluster`: the database over which this server and others act like one.

use anyhow::{Context, bail};
use tidewire::postgres::PostgresAdapter;
use tidewire::redis::{RedisAdapter, SubscriptionMode};
use tidewire::server::Builder;

/// Connects to the database at `url`, and sets the adapter for it. A database that does not work at the start is an error; one that
/// is gone later is awaited.
pub(crate) async fn join(builder: Builder, url: &str) -> anyhow::Result<Builder> {
    // The URL has a password, so no error shows it.
    let Some((scheme, rest)) = url.split_once("://") else {
        bail!("--cluster needs a URL such as postgres://user:password@host/database or redis://host");
    };
    let failed = "cannot join the cluster";
    match scheme {
        "postgres" | "postgresql" => {
            let adapter = PostgresAdapter::connect(url).await.context(failed)?;
            Ok(builder.adapter(adapter))
        }
        "redis" | "rediss" => Ok(builder.adapter(RedisAdapter::connect(url).await.context(failed)?)),
        "redis+sharded" | "rediss+sharded" => {
            let tls = if scheme.starts_with("rediss") { "rediss" } else { "redis" };
            let adapter = RedisAdapter::builder(format!("{tls}://{rest}")).sharded(SubscriptionMode::Dynamic);
            Ok(builder.adapter(adapter.connect().await.context(failed)?))
        }
        scheme => bail!(
            "--cluster accepts URLs that begin with postgres, redis, rediss, redis+sharded or rediss+sharded, \
             and not with {scheme:?}"
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
            ("mysql://user:secret@host", "not with \"mysql\""),
            ("localhost", "needs a URL"),
            ("redis://user:secret@127.0.0.1:1", "cannot connect to Redis"),
            ("redis+sharded://user:secret@127.0.0.1:1", "cannot connect to Redis"),
            ("postgres://user:secret@127.0.0.1:1/db", "cannot connect to PostgreSQL"),
            ("postgres://user:secret@host:port/db", "the URL of the database is not valid"),
        ] {
            let Err(error) = join(Server::builder(), url).await else { panic!("{url} is refused") };
            let error = format!("{error:#}");
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
