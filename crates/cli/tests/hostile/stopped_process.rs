//! A server process that is stopped and goes on soon after its deadlines. What the clients sent in time lies in its
//! sockets, and no session is lost.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidewire::server::Socket;

use crate::raw_client::{TEXT, WebSocket};

const PING_INTERVAL: Duration = Duration::from_millis(400);
const TIMEOUT: Duration = Duration::from_secs(2);

/// The rounds that run at the same time, each with a server of its own.
const ROUNDS: u64 = 20;

const NAME: &str = "stopped_process::no_session_is_lost_whose_answer_lies_in_the_socket_of_a_stopped_process";

/// Set in the environment of a process that serves a round.
const SERVES: &str = "TIDEWIRE_TEST_SERVES";

/// The server of a round: this test binary, which runs only this test and finds [`SERVES`] in its environment.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().expect("the test binary"))
            .args(["--exact", NAME, "--nocapture"])
            .env(SERVES, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary runs");
        let stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let address = stdout.lines().find_map(|line| {
            line.expect("text").split_once("listens on ").and_then(|(_, address)| address.parse().ok())
        });
        Self { process, address: address.expect("the server tells where it listens") }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Stops the process and waits until none of its threads runs.
    fn stop(&self) {
        self.signal("-STOP");
        let tasks = format!("/proc/{}/task", self.process.id());
        let is_stopped = || {
            std::fs::read_dir(&tasks).expect("it has threads").all(|task| {
                let stat = std::fs::read_to_string(task.expect("a thread").path().join("stat"));
                stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
            })
        };
        while !is_stopped() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves a round until its test ends.
fn serve() {
    let io = tidewire::Server::builder()
        .ping_interval(PING_INTERVAL)
        .ping_timeout(TIMEOUT)
        .connect_timeout(PING_INTERVAL + TIMEOUT)
        .build();
    io.on("ask", async |socket: Socket| {
        let answer = socket.timeout(TIMEOUT).emit_with_ack::<u64>("question", ()).await;
        socket.emit("answered", answer.unwrap_or(0));
    });
    io.on("echo", async |socket: Socket| socket.emit("echo", ()));
    writeln!(std::io::stdout(), "listens on {}", crate::support::serve(io)).expect("it is read");
    // The test has ended when it no longer holds the other end.
    let _ = std::io::stdin().read(&mut [0]);
}

/// Receives the ping without responding to it.
fn expect_ping(socket: &mut WebSocket) {
    assert_eq!(socket.receive(), Some((TEXT, b"2".to_vec())));
}

/// Returns `false` if this machine was too slow to stop the process before a deadline.
fn round(late: Duration) -> bool {
    let server = Server::start();
    let began = Instant::now();
    let mut asked = WebSocket::joined(server.address);
    // The deadlines of all three follow each other within milliseconds: they open, and 400 ms later the pings arrive.
    let mut pinged = WebSocket::joined(server.address);
    let mut unconnected = WebSocket::session(server.address);
    let opened = Instant::now();
    expect_ping(&mut asked);
    asked.text(r#"42["ask"]"#);
    if asked.receive() != Some((TEXT, br#"420["question"]"#.to_vec())) {
        return false;
    }
    expect_ping(&mut pinged);
    expect_ping(&mut unconnected);
    server.stop();
    let deadline = opened + PING_INTERVAL + TIMEOUT;
    if began.elapsed() > TIMEOUT {
        return false;
    }
    pinged.text("3");
    unconnected.text("3");
    unconnected.text("40");
    asked.text("3");
    asked.text("430[7]");
    std::thread::sleep((deadline + late).saturating_duration_since(Instant::now()));
    server.signal("-CONT");
    asked.expect(r#"42["answered",7]"#);
    pinged.text(r#"42["echo"]"#);
    pinged.expect(r#"42["echo"]"#);
    assert!(unconnected.receive_text().starts_with(r#"40{"sid":""#), "{late:?}");
    true
}

#[test]
fn no_session_is_lost_whose_answer_lies_in_the_socket_of_a_stopped_process() {
    if std::env::var_os(SERVES).is_some() {
        return serve();
    }
    std::thread::scope(|scope| {
        for number in 0..ROUNDS {
            // From 50 ms to 2 s, in an order that looks random, and the same in every run.
            let late = Duration::from_millis(50 + number * 7_919 % ROUNDS * 1_950 / (ROUNDS - 1));
            scope.spawn(move || while !round(late) {});
        }
    });
}
