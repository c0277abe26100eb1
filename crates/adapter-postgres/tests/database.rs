//! Starts PostgreSQL.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use tempfile::TempDir;

/// How long PostgreSQL may say nothing while it starts.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// PostgreSQL refuses to run as root, who becomes `nobody`.
const NOBODY: u32 = 65534;

/// A database with files of its own. It ends with this program, or when it is dropped.
pub(crate) struct Database {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    running: Option<Child>,
}

/// Returns the URL of a database that all tests share.
pub(crate) fn shared() -> &'static str {
    static SHARED: OnceLock<(Database, String)> = OnceLock::new();
    &SHARED
        .get_or_init(|| {
            let database = Database::start();
            let url = url(database.address);
            (database, url)
        })
        .1
}

/// Returns the URL of a database that listens, or is passed on, at this address.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("postgres://tidewire@{address}/postgres")
}

/// Returns the address in such a URL.
pub(crate) fn address_of(url: &str) -> SocketAddr {
    let address = url.rsplit('@').next().and_then(|end| end.split('/').next());
    address.and_then(|address| address.parse().ok()).expect("an address")
}

impl Database {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may do this");
        }
        let data = folder.path().join("data");
        let mut initdb = command(&program("initdb"));
        initdb.args(["-U", "tidewire", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "-D"]);
        let output = initdb.arg(&data).output().expect("initdb is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut database = Self { address: own_address(), folder, running: None };
        database.run();
        database
    }

    /// Starts it again, on the same address and with the same files.
    pub(crate) fn run(&mut self) {
        // The shell ends PostgreSQL when this program closes its end of the pipe, in whatever way it ends.
        let script = r#""$@" & read -r _; kill -INT $!; wait $!"#;
        let mut shell = command(Path::new("/bin/sh"));
        shell.args(["-c", script, "sh"]).arg(program("postgres"));
        shell.arg("-D").arg(self.folder.path().join("data")).args(["-p", &self.address.port().to_string()]);
        shell.arg("-c").arg(format!("listen_addresses={}", self.address.ip()));
        for setting in ["unix_socket_directories=", "fsync=off", "max_connections=300"] {
            shell.args(["-c", setting]);
        }
        let mut child = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let errors = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        // Somebody must read what it writes later. Nobody wants to know it then.
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut log = String::new();
        while !log.contains("database system is ready to accept connections") {
            let Ok(line) = lines.recv_timeout(START_TIMEOUT) else {
                panic!("PostgreSQL does not start: {log}")
            };
            log = log + &line + "\n";
        }
        self.running = Some(child);
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            drop(child.stdin.take());
            child.wait().expect("it is a child of this program");
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.stop();
    }
}

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("TIDEWIRE_POSTGRES_BIN");
    let folder = folder.map_or_else(|| PathBuf::from("/usr/lib/postgresql/15/bin"), PathBuf::from);
    let program = folder.join(name);
    assert!(program.exists(), "{} is missing; TIDEWIRE_POSTGRES_BIN names the folder", program.display());
    program
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// Returns an address for a server that the test starts. Nobody else takes it, also while the server is stopped: all of
/// 127.0.0.0/8 belongs to this machine, this address is only that of this process, and the system gives out no such port. A port
/// that was free a moment ago may be that of a connection now.
pub(crate) fn own_address() -> SocketAddr {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
    // Linux has at most 2^22 processes.
    let [_, first, second, third] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, first | 0x80, second, third);
    (address, NEXT_PORT.fetch_add(1, Ordering::Relaxed)).into()
}
