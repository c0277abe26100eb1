//! The memory of idle connections in the process and in the kernel, at several numbers of connections. What one
//! connection adds is the slope of a straight line through the measurements, by least squares.
//!
//! The clients are blocking sockets of this process. They are not in an epoll, so that all objects of epoll belong to the
//! server. All other objects of the kernel exist twice, once for each end.

mod client;
mod kernel;
mod line;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::host;
use client::{Client, Connector};
use kernel::Kernel;
use line::Line;

/// How long the server may take until it listens.
const START: Duration = Duration::from_secs(10);
/// Pings must be answered more often than this.
const PINGS: Duration = Duration::from_secs(10);
/// The number of connections that are opened at the same time.
const AT_ONCE: usize = 64;
/// The number of clients with the same address. Each needs a port of it.
const PER_ADDRESS: usize = 20_000;

/// The connections that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Raw,
    SocketIo,
    SocketIoTls,
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Self::Raw => "raw WebSocket",
            Self::SocketIo => "Socket.IO over WebSocket",
            Self::SocketIoTls => "Socket.IO over WebSocket and TLS",
        }
    }
}

/// How many connections, and the runtime of the server.
#[derive(Debug)]
pub struct Options {
    connections: Vec<usize>,
    runtime: String,
}

impl Options {
    /// Parses `[--connections N,N,...] [--runtime WORD]`.
    pub fn from_arguments(arguments: &[String]) -> Result<Self> {
        let mut options = Self { connections: vec![2_000, 5_000, 10_000, 19_500], runtime: "0".to_owned() };
        for pair in arguments.chunks(2) {
            match pair {
                [word, list] if word == "--connections" => {
                    let numbers = list.split(',').map(str::parse);
                    options.connections = numbers.collect::<Result<_, _>>().context("--connections")?;
                }
                [word, runtime] if word == "--runtime" => options.runtime.clone_from(runtime),
                _ => bail!("usage: scale [--connections N,N,...] [--runtime WORD]"),
            }
        }
        Ok(options)
    }
}

/// Measures all kinds of connections and prints the tables.
pub fn run(options: &Options) -> Result<()> {
    let certificate = Certificate::create()?;
    for kind in [Kind::Raw, Kind::SocketIo, Kind::SocketIoTls] {
        let mut found = Vec::new();
        for &connections in &options.connections {
            eprint!("{} {connections:<40}\r", kind.title());
            found.push(measure(kind, connections, &options.runtime, &certificate.0)?);
        }
        print!("{}", table(kind, &found));
    }
    Ok(())
}

/// What some connections have added, in bytes.
#[derive(Debug)]
struct Added {
    connections: f64,
    resident: f64,
    page_tables: f64,
    descriptors: f64,
    kernel: Kernel,
}

fn measure(kind: Kind, connections: usize, runtime: &str, certificate: &Path) -> Result<Added> {
    let tls = (kind == Kind::SocketIoTls).then_some(certificate);
    let server = Server::start(runtime, tls)?;
    let connector = Connector::new(kind, server.address, tls)?;
    // One connection was opened and closed before, so that one-time allocations are not counted.
    drop(connector.connect([own_address(0)].into_iter())?);
    host::settle(server.process())?;
    let before = server.reading()?;
    let mut clients: Vec<Client> = Vec::with_capacity(connections);
    let mut answered = Instant::now();
    while clients.len() < connections {
        let numbers = clients.len()..connections.min(clients.len() + AT_ONCE);
        clients.extend(connector.connect(numbers.map(own_address))?);
        if answered.elapsed() > PINGS {
            clients.iter_mut().try_for_each(Client::answer_pings)?;
            answered = Instant::now();
        }
    }
    host::settle(server.process())?;
    // Pings that wait would count as buffers of TCP.
    clients.iter_mut().try_for_each(Client::answer_pings)?;
    let after = server.reading()?;
    clients.iter_mut().try_for_each(Client::answer_pings).context("a connection has ended")?;
    let each = |value: fn(&Reading) -> u64| value(&after) as f64 - value(&before) as f64;
    Ok(Added {
        connections: connections as f64,
        resident: each(|reading| reading.resident),
        page_tables: each(|reading| reading.page_tables),
        descriptors: each(|reading| reading.descriptors),
        kernel: after.kernel.since(&before.kernel),
    })
}

/// The loopback address of a client.
fn own_address(number: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, 2 + (number / PER_ADDRESS) as u8).into()
}

/// Memory in bytes, and the number of descriptors.
struct Reading {
    resident: u64,
    page_tables: u64,
    descriptors: u64,
    kernel: Kernel,
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(runtime: &str, certificate: Option<&Path>) -> Result<Self> {
        // The system chooses a free port. Another process could still take it before the server does.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(std::env::current_exe()?.with_file_name("ours"));
        command.args([&address.to_string(), runtime]);
        if let Some(certificate) = certificate {
            command.arg(format!("tls:{}", certificate.display()));
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let server = Self { child: child.context("cannot start `ours`")?, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(start.elapsed() < START, "the server does not listen");
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    fn process(&self) -> u32 {
        self.child.id()
    }

    fn reading(&self) -> Result<Reading> {
        Ok(Reading {
            resident: host::resident(self.process())?,
            page_tables: host::page_tables(self.process())?,
            kernel: Kernel::read()?,
            // This comes last, because the kernel makes objects for the files that it lists.
            descriptors: std::fs::read_dir(format!("/proc/{}/fd", self.process()))?.count() as u64,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a new certificate for the server, which its clients trust.
struct Certificate(PathBuf);

impl Certificate {
    fn create() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("tidewire-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let words = "req -x509 -config /dev/null -subj /CN=bench -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc \
                     -keyout key.pem -out chain.pem -addext subjectAltName=IP:127.0.0.1 \
                     -addext basicConstraints=critical,CA:FALSE";
        let made = Command::new("openssl").args(words.split(' ')).current_dir(&folder).output();
        let made = made.context("openssl")?;
        ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        Ok(Self(folder))
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The table of a kind of connections: a line for each measurement, and one with what each connection adds.
fn table(kind: Kind, found: &[Added]) -> String {
    let caches = kernel::caches(found);
    let mut columns: Vec<(String, Vec<f64>)> = vec![
        ("process".to_owned(), found.iter().map(|added| added.resident).collect()),
        ("its page tables".to_owned(), found.iter().map(|added| added.page_tables).collect()),
        ("descriptors".to_owned(), found.iter().map(|added| added.descriptors).collect()),
        ("TCP buffers".to_owned(), found.iter().map(|added| added.kernel.tcp_buffers()).collect()),
    ];
    for cache in &caches {
        let bytes = found.iter().map(|added| added.kernel.bytes(cache)).collect();
        columns.push((format!("`{cache}`"), bytes));
    }
    let connections: Vec<f64> = found.iter().map(|added| added.connections).collect();
    let mut out = format!("\n### {}\n\n| connections |", kind.title());
    out.extend(columns.iter().map(|(title, _)| format!(" {title} |")));
    out += &format!("\n|---:|{}\n", "---:|".repeat(columns.len()));
    for (place, connections) in connections.iter().enumerate() {
        out += &format!("| {connections} |");
        out.extend(columns.iter().map(|(_, values)| format!(" {:.0} |", values[place])));
        out.push('\n');
    }
    let lines: Vec<Line> = columns.iter().map(|(_, values)| Line::through(&connections, values)).collect();
    out += "| **each** |";
    out.extend(lines.iter().map(|line| format!(" **{:.1}** |", line.slope)));
    out += "\n| start of the line |";
    out.extend(lines.iter().map(|line| format!(" {:.0} |", line.start)));
    out += "\n| farthest from the line |";
    out.extend(lines.iter().map(|line| format!(" {:.0} |", line.farthest)));
    out += "\n| objects each |  |  |  |  |";
    for cache in &caches {
        let objects: Vec<f64> = found.iter().map(|added| added.kernel.objects(cache)).collect();
        out += &format!(" {:.2} |", Line::through(&connections, &objects).slope);
    }
    out.push('\n');
    out
}
