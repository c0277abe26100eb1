//! Command-line arguments and environment variables.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidewire::server::{AddressLimits, InvalidNetwork, TrustedProxies};
use tidewire::ws::{AllowedOrigins, InvalidOrigin};

/// The most that `--workers` accepts. It is more than there are cores, and few enough for any system to start.
const MAX_WORKERS: usize = 1024;

/// A Socket.IO and WebSocket server.
#[derive(Debug, Parser)]
#[command(name = "tidewire", version, about, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// Log filter for standard error, for instance `debug` or `tidewire_server=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "TIDEWIRE_LOG", default_value = "warn")]
    pub(crate) log: String,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The options of `serve`, which is the default subcommand.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server (the default without a subcommand)
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; with port 0, the system chooses a free port
    #[arg(long, value_name = "ADDR:PORT", env = "TIDEWIRE_LISTEN", default_value = "127.0.0.1:3000")]
    pub(crate) listen: String,

    /// Origin whose pages may connect and read the responses, for instance https://example.com or
    /// https://*.example.com; can be given several times. Programs, which send no Origin header, can always connect
    /// [default: every origin]
    #[arg(long, value_name = "ORIGIN", env = "TIDEWIRE_ALLOW_ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    pub(crate) allow_origin: Vec<String>,

    /// Accept clients of Socket.IO 4 and Engine.IO 3 too: socket.io-client 1 and 2. The id of such a client's socket
    /// reveals the secret id of its session
    #[arg(long, env = "TIDEWIRE_ALLOW_EIO3")]
    pub(crate) allow_eio3: bool,

    /// PEM file with the certificate chain of the server, its own certificate first; the server then accepts https and
    /// wss only. On SIGHUP it reads the certificate and the key again, for new connections
    #[arg(long, value_name = "FILE", env = "TIDEWIRE_TLS_CERT", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE", env = "TIDEWIRE_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Address or network of a proxy in front of the server, for instance 127.0.0.1 or 10.0.0.0/8; can be given several
    /// times. The addresses of clients then come from the header X-Forwarded-For that the proxy writes
    #[arg(long, value_name = "NETWORK", env = "TIDEWIRE_TRUSTED_PROXY", value_delimiter = ',', value_parser = parse_network)]
    pub(crate) trusted_proxy: Vec<String>,

    /// Header in which the trusted proxies report the address of a client [default: x-forwarded-for; with
    /// --proxy-protocol: none]
    #[arg(long, value_name = "HEADER", env = "TIDEWIRE_FORWARDED_HEADER", requires = "trusted_proxy")]
    pub(crate) forwarded_header: Option<ForwardedHeader>,

    /// Accept only connections of trusted proxies that begin with a header of the PROXY protocol, version 1 or 2
    #[arg(long, env = "TIDEWIRE_PROXY_PROTOCOL", requires = "trusted_proxy")]
    pub(crate) proxy_protocol: bool,

    /// The most Socket.IO connections of one address at the same time, and the most WebSockets of /ws and /game/ws
    #[arg(long, value_name = "NUMBER", env = "TIDEWIRE_MAX_SESSIONS_PER_ADDRESS", default_value_t = AddressLimits::default().max_sessions)]
    pub(crate) max_sessions_per_address: usize,

    /// Apply the limits per address to addresses that are not public, too, for instance to 127.0.0.1 and 10.0.0.0/8
    #[arg(long, env = "TIDEWIRE_LIMIT_PRIVATE_ADDRESSES")]
    pub(crate) limit_private_addresses: bool,

    /// Serve connections on this number of threads with a runtime of their own, `auto` for one per core; a connection
    /// stays on its thread [default: on the threads of one common runtime]
    #[arg(long, value_name = "NUMBER", env = "TIDEWIRE_WORKERS", value_parser = parse_workers)]
    pub(crate) workers: Option<usize>,

    /// Memory for what clients have sent and not finished, and for what waits until they read it: bytes, or a number with
    /// K, M or G. If it is exceeded, the connections that hold the most are closed [default: half of the memory of the
    /// machine or container]
    #[arg(long, value_name = "SIZE", env = "TIDEWIRE_MEMORY_BUDGET", value_parser = parse_size)]
    pub(crate) memory_budget: Option<usize>,

    /// Address and port of an endpoint for Prometheus, which serves GET /metrics over HTTP; with port 0, the system chooses a
    /// free port [default: none]
    #[cfg(feature = "metrics")]
    #[arg(long, value_name = "ADDR:PORT", env = "TIDEWIRE_METRICS")]
    pub(crate) metrics: Option<String>,

    /// URL of the database over which this server forms a cluster with others, of Tidewire or of Node:
    /// postgres://user:password@host/database, redis://user:password@host, or redis+sharded://… for the format of
    /// `createShardedAdapter`; rediss for TLS. The environment variable keeps the password out of the list of processes
    /// [default: no cluster]
    #[arg(long, value_name = "URL", env = "TIDEWIRE_CLUSTER", hide_env_values = true)]
    pub(crate) cluster: Option<String>,

    /// Directory with the files of the JavaScript client, for instance node_modules/socket.io-client/dist; pages then
    /// load them from /socket.io/socket.io.js [default: none]
    #[arg(long, value_name = "DIR", env = "TIDEWIRE_CLIENT_FILES")]
    pub(crate) client_files: Option<PathBuf>,

    /// Serve no pages: /, /chat/, /tracking/, /game/ and /playground/ get 404, and the namespaces that they use do not exist
    #[arg(long, env = "TIDEWIRE_NO_DEMO")]
    pub(crate) no_demo: bool,

    /// Do not compress messages on /ws, even if the client offers compression
    #[arg(long, env = "TIDEWIRE_NO_WS_COMPRESSION")]
    pub(crate) no_ws_compression: bool,

    /// Do not compress Socket.IO responses over long-polling, even if the client accepts compression; for messages that
    /// mix secrets with text of other users (the BREACH attack)
    #[arg(long, env = "TIDEWIRE_NO_HTTP_COMPRESSION")]
    pub(crate) no_http_compression: bool,
}

/// The header in which a proxy reports the address of a client.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ForwardedHeader {
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
    /// Only the PROXY protocol reports addresses.
    None,
}

/// Checks that the text is an address or a network.
fn parse_network(text: &str) -> Result<String, InvalidNetwork> {
    TrustedProxies::new([text]).map(|_| text.to_owned())
}

/// Checks that the text is an origin, or the origins of all subdomains. Any other value would never match, without any
/// warning.
fn parse_origin(text: &str) -> Result<String, InvalidOrigin> {
    AllowedOrigins::new([text]).map(|_| text.to_owned())
}

/// Parses a number of worker threads, or `auto` for one per core.
fn parse_workers(text: &str) -> Result<usize, String> {
    if text == "auto" {
        return Ok(available_parallelism().map_or(1, NonZeroUsize::get));
    }
    let workers = text.parse().ok().filter(|workers| (1..=MAX_WORKERS).contains(workers));
    workers.ok_or_else(|| format!("not `auto` or a number from 1 to {MAX_WORKERS}"))
}

/// Parses a number of bytes, with a unit of 1,024 bytes or its powers if there is one.
fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => Some(1),
        "K" | "KB" | "KIB" => Some(1 << 10),
        "M" | "MB" | "MIB" => Some(1 << 20),
        "G" | "GB" | "GIB" => Some(1 << 30),
        _ => None,
    };
    let bytes = unit.and_then(|unit: usize| digits.parse::<usize>().ok()?.checked_mul(unit));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| "not a size such as 536870912, 512M or 2G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_origin_is_refused_at_the_start() {
        for text in
            ["https://example.com:443/", "HTTP://localhost:5173", "https://*.example.com", "file://", "null"]
        {
            assert_eq!(parse_origin(text).as_deref(), Ok(text));
        }
        for text in ["*", "example.com", "https://", "://x", "https://example.com/path"] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn settings_of_trusted_proxies_need_a_trusted_proxy() {
        let parse = |arguments: &[&str]| Cli::try_parse_from([&["tidewire"], arguments].concat());
        assert!(parse(&[]).is_ok());
        for setting in [&["--forwarded-header", "forwarded"][..], &["--proxy-protocol"]] {
            let error = parse(setting).expect_err("no proxy is trusted");
            assert_eq!(error.kind(), clap::error::ErrorKind::MissingRequiredArgument);
            assert!(parse(&[setting, &["--trusted-proxy", "127.0.0.1"]].concat()).is_ok(), "{setting:?}");
        }
    }

    #[test]
    fn workers_are_a_number_or_one_per_core() {
        assert_eq!(parse_workers("1"), Ok(1));
        assert_eq!(parse_workers("1024"), Ok(1024));
        assert!(parse_workers("auto").is_ok_and(|workers| workers > 0));
        for text in ["", "0", "-1", "1025", "2.5", "AUTO", "cores"] {
            assert!(parse_workers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_a_number_of_bytes_with_or_without_a_unit() {
        for (text, bytes) in
            [("1000", 1_000), ("512M", 512 << 20), ("2g", 2 << 30), ("64KiB", 64 << 10), ("7B", 7)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "0", "0G", "-1M", "1.5G", "12 M", "99999999999G", "1T", "ä"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
