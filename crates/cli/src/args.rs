//! What may be said on the command line and in the environment.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tidewire::ws::AllowedOrigins;

/// A Socket.IO and WebSocket server.
#[derive(Debug, Parser)]
#[command(name = "tidewire", version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What is logged to standard error, for instance `debug` or `tidewire_server=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "TIDEWIRE_LOG", default_value = "warn")]
    pub(crate) log: String,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Without a subcommand the server is run.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server (what happens without a subcommand too)
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", env = "TIDEWIRE_LISTEN", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,

    /// Origin whose pages may connect and read the responses, for instance https://example.com; may be given several
    /// times. Programs that are no pages may connect all the same [default: every origin]
    #[arg(long, value_name = "ORIGIN", env = "TIDEWIRE_ALLOW_ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    pub(crate) allow_origin: Vec<String>,

    /// PEM file with the certificate of the server, then those that lead to its authority: the server speaks https and
    /// wss, and nothing else
    #[arg(long, value_name = "FILE", env = "TIDEWIRE_TLS_CERT", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE", env = "TIDEWIRE_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Do not compress messages of /ws, although the client offers it
    #[arg(long, env = "TIDEWIRE_NO_WS_COMPRESSION")]
    pub(crate) no_ws_compression: bool,
}

/// An origin as browsers send it: scheme, host and perhaps port. Anything else would never match, in silence.
fn parse_origin(text: &str) -> Result<String, String> {
    let origin = text.strip_suffix('/').unwrap_or(text);
    // CORS knows no wildcards in a list.
    if AllowedOrigins::new([origin]).is_err() || origin.contains('*') {
        return Err("an origin is a scheme and a host, for instance https://example.com".into());
    }
    Ok(origin.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_as_browsers_send_it() {
        assert_eq!(parse_origin("https://example.com:8080/").as_deref(), Ok("https://example.com:8080"));
        for text in ["example.com", "https://", "://x", "https://example.com/path", "https://*.example.com"] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }
}
