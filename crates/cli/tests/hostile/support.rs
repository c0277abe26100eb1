//! The binary under attack, and a client that must not notice the attack.

use std::io::{BufRead, BufReader, PipeWriter};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::raw_client::WebSocket;

/// The maximum time for an echo to the client that must not notice the attack. It is generous, for busy machines; the
/// bugs that it caught took four seconds in a release build.
const NOTICEABLE: Duration = Duration::from_secs(1);

/// The running binary. Dropping this value kills it.
pub(crate) struct Server {
    process: Child,
    /// Kept open, because the binary writes there.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "only kept open"))]
    stdout: Option<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::run(&mut Command::new(env!("CARGO_BIN_EXE_tidewire")))
    }

    /// Starts a server with this option.
    pub(crate) fn with_option(option: &str) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_tidewire")).arg(option))
    }

    /// Starts a server with these options.
    pub(crate) fn with_options(options: &[&str]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_tidewire")).args(options))
    }

    /// Starts a server with these options whose warnings go to this pipe.
    pub(crate) fn with_options_and_log(options: &[&str], log: PipeWriter) -> Self {
        Self::run_with_log(Command::new(env!("CARGO_BIN_EXE_tidewire")).args(options), "warn", log.into())
    }

    /// Starts a server that may open `descriptors` files and sockets.
    pub(crate) fn with_descriptors(descriptors: usize) -> Self {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        Self::run(shell.args(["-c", &script, env!("CARGO_BIN_EXE_tidewire")]))
    }

    /// Starts a server whose standard output and error are a pipe with a closed read end.
    pub(crate) fn start_with_closed_output() -> Self {
        let (_, output) = std::io::pipe().expect("a pipe");
        Self::with_output("warn", output)
    }

    /// Starts a server whose log has this filter, and whose standard output and error are this pipe.
    pub(crate) fn with_output(filter: &str, output: PipeWriter) -> Self {
        // The test chooses the port, because the server cannot print it.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let mut server = Self::spawn_with_output(filter, address, output);
        while TcpStream::connect(address).is_err() {
            let ended = server.process.try_wait().expect("a process of ours");
            assert!(ended.is_none(), "it ended: {ended:?}");
            std::thread::yield_now();
        }
        server
    }

    /// The same, without waiting until it listens on this address.
    pub(crate) fn spawn_with_output(filter: &str, address: SocketAddr, output: PipeWriter) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
        let process = command
            .args(["--listen", &address.to_string()])
            .env("TIDEWIRE_LOG", filter)
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output)
            .spawn()
            .expect("the binary runs");
        Self { process, stdout: None, address }
    }

    /// Starts a server whose log has this filter and goes to this pipe.
    pub(crate) fn with_log(filter: &str, log: PipeWriter) -> Self {
        Self::run_with_log(&mut Command::new(env!("CARGO_BIN_EXE_tidewire")), filter, log.into())
    }

    fn run(command: &mut Command) -> Self {
        Self::run_with_log(command, "error", Stdio::inherit())
    }

    fn run_with_log(command: &mut Command, filter: &str, log: Stdio) -> Self {
        let mut process = command
            .args(["--listen", "127.0.0.1:0"])
            .env("TIDEWIRE_LOG", filter)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("the binary tells where it listens");
        let address = line.trim().rsplit('/').next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("an address in {line:?}"));
        Self { process, stdout: Some(stdout), address }
    }

    /// Returns the address of the metrics, which the server was started with.
    #[cfg(feature = "metrics")]
    pub(crate) fn metrics_address(&mut self) -> SocketAddr {
        let stdout = self.stdout.as_mut().expect("the server was started with a pipe");
        let lines = std::iter::from_fn(|| {
            let mut line = String::new();
            (stdout.read_line(&mut line).expect("the binary tells where it listens") > 0).then_some(line)
        });
        let url =
            lines.into_iter().find(|line| line.contains("/metrics")).expect("the address of the metrics");
        let address = url.trim().trim_start_matches("Metrics").trim().trim_start_matches("http://");
        address.trim_end_matches("/metrics").parse().unwrap_or_else(|_| panic!("an address in {url:?}"))
    }

    /// Returns the memory of the process in megabytes.
    pub(crate) fn memory(&self) -> usize {
        self.megabytes("VmRSS:")
    }

    /// Returns the peak memory of the process in megabytes.
    pub(crate) fn peak_memory(&self) -> usize {
        self.megabytes("VmHWM:")
    }

    fn megabytes(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))
            .expect("the process is still there");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
    }

    /// Sends the stop signal to the process.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").arg(self.process.id().to_string()).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for the end of the process, until the deadline, and returns its status.
    pub(crate) fn exit_within(&mut self, limit: Duration) -> ExitStatus {
        let (sender, ended) = std::sync::mpsc::channel::<()>();
        let pid = self.process.id().to_string();
        let killer = std::thread::spawn(move || {
            let late = ended.recv_timeout(limit).is_err();
            if late {
                let _ = Command::new("kill").args(["-9", &pid]).status();
            }
            late
        });
        let status = self.process.wait().expect("the process ends");
        let _ = sender.send(());
        assert!(!killer.join().expect("no panic"), "the process did not stop within {limit:?}");
        status
    }

    /// Starts the client.
    pub(crate) fn canary(&self) -> Canary {
        Canary::watch(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The connection of the client: sends a message every few milliseconds and waits for its echo.
pub(crate) struct Canary {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<(usize, Duration)>,
}

impl Canary {
    pub(crate) fn watch(address: SocketAddr) -> Self {
        let mut socket = WebSocket::joined(address);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watching = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            let mut echoes = 0;
            while !stopped.load(Ordering::Relaxed) || echoes < 3 {
                let began = Instant::now();
                socket.text(&format!(r#"42["message","{echoes}"]"#));
                socket.expect(&format!(r#"42["message","Echo: {echoes}"]"#));
                longest = longest.max(began.elapsed());
                echoes += 1;
                // This sleep sets the pace of the client. It does not wait for anything.
                std::thread::sleep(Duration::from_millis(5));
            }
            (echoes, longest)
        });
        Self { stop, watching }
    }

    /// Stops the client, and asserts that every echo arrived in time.
    pub(crate) fn noticed_nothing(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (echoes, longest) = self.watching.join().expect("every echo came");
        assert!(longest < NOTICEABLE, "one of {echoes} echoes took {longest:?}");
    }
}

/// Starts a server in this process, for tests whose handlers the binary does not have. It runs until the process ends.
pub(crate) fn serve(io: tidewire::Server) -> SocketAddr {
    let (sender, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = io.bind("127.0.0.1:0").await.expect("a free port");
            sender.send(listener.local_addr().expect("an address")).expect("the test waits");
            io.serve(listener, std::future::pending()).await;
        });
    });
    address.recv().expect("the server listens")
}
