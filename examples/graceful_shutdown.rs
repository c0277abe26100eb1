//! A server that ends without losing work: `cargo run -p tidewire --example graceful_shutdown`, then Ctrl+C, or `kill`.
//!
//! After SIGTERM or Ctrl+C, the server
//!
//! 1. fails the health checks, so that the load balancer sends new clients elsewhere, and still serves those it has;
//! 2. tells the clients, and refuses new jobs;
//! 3. lets the running jobs finish, until a deadline: their clients get the acknowledgements;
//! 4. closes all connections, batch by batch. The clients reconnect by themselves, to another server.
//!
//! `io.serve(listener, signal)` alone does step 4. It also waits for acknowledgements, but only for some seconds, and clients start
//! new jobs meanwhile. Without jobs that take longer, that is enough.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tidewire::server::{Data, HandlerError, HttpLimits, Server, State};
use tokio::sync::watch;

/// How long the load balancer takes to notice the failed health checks: their interval times the number of failures.
const NOTICE: Duration = Duration::from_secs(5);
/// How long jobs may take to finish. All three times together must be less than the time after which the system kills the
/// process: 30 s in Kubernetes (`terminationGracePeriodSeconds`), 90 s in systemd (`TimeoutStopSec`).
const DEADLINE: Duration = Duration::from_secs(15);
/// How long the connections may take to close.
const CLOSE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let jobs = Jobs::default();
    let io = server(&jobs);
    let app = router(&io, &jobs);
    let listener = io.bind("127.0.0.1:3000").await?;
    let stop = {
        let io = io.clone();
        async move {
            stop_signal().await;
            tokio::select! {
                () = drain(&io, &jobs) => {}
                // A second Ctrl+C ends the wait.
                () = stop_signal() => {}
            }
        }
    };
    // Accepts connections until `stop` is ready. Then it closes those that are open.
    io.serve_with(listener, app, stop).await;
    Ok(())
}

/// Waits for SIGTERM, which service managers and containers send, or for Ctrl+C.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}

/// The states of the server, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Phase {
    #[default]
    Running,
    /// The health checks fail. All else is as before.
    Leaving,
    /// No new jobs start.
    Draining,
}

/// Counts the running jobs.
#[derive(Clone, Default)]
struct Jobs(Arc<watch::Sender<(Phase, usize)>>);

/// A job that is running. It ends when this is dropped, also if its handler fails or panics.
struct Job(Jobs);

impl Jobs {
    /// Starts a job, unless the server is draining. Looks at the phase and counts in one step, so no job slips through.
    fn start(&self) -> Option<Job> {
        let started = self.0.send_if_modified(|(phase, running)| {
            let starts = *phase != Phase::Draining;
            *running += usize::from(starts);
            starts
        });
        started.then(|| Job(self.clone()))
    }

    fn enter(&self, phase: Phase) {
        self.0.send_modify(|(current, _)| *current = phase);
    }

    async fn finished(&self) {
        // The sender exists, so this waits for nothing else.
        let _ = self.0.subscribe().wait_for(|(_, running)| *running == 0).await;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.0.0.send_modify(|(_, running)| *running -= 1);
    }
}

async fn drain(io: &Server, jobs: &Jobs) {
    jobs.enter(Phase::Leaving);
    tokio::time::sleep(NOTICE).await;
    jobs.enter(Phase::Draining);
    // A page can show it, and keep what its user types until it is connected again.
    io.emit("restarting", ());
    let _ = tokio::time::timeout(DEADLINE, jobs.finished()).await;
}

fn server(jobs: &Jobs) -> Server {
    let limits = HttpLimits { shutdown_timeout: CLOSE, ..HttpLimits::default() };
    let io = Server::builder().http_limits(limits).state(jobs.clone()).build();
    io.on("order", async |jobs: State<Jobs>, Data(item): Data<String>| {
        // The client sends it again when it is connected to another server.
        let Some(_job) = jobs.start() else { return Err(HandlerError::new("the server restarts")) };
        // Stands for a payment, which must not break off in the middle.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(format!("{item} is ordered"))
    });
    io
}

/// `/health` is for the load balancer.
fn router(io: &Server, jobs: &Jobs) -> Router {
    let phases = jobs.0.subscribe();
    let health = get(async move || match phases.borrow().0 {
        Phase::Running => StatusCode::OK,
        Phase::Leaving | Phase::Draining => StatusCode::SERVICE_UNAVAILABLE,
    });
    Router::new().route("/health", health).layer(io.layer())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use tidewire::client::DisconnectReason;
    use tidewire::testing::{self, Client};
    use tokio::time::{Instant, sleep};
    use tower::ServiceExt;

    use super::*;

    type Tested<T = ()> = Result<T, Box<dyn std::error::Error>>;

    async fn health(app: &Router) -> Tested<StatusCode> {
        Ok(app.clone().oneshot(Request::get("/health").body(Body::empty())?).await?.status())
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_job_finishes_and_its_client_learns_the_result() -> Tested {
        let jobs = Jobs::default();
        let io = server(&jobs);
        let app = router(&io, &jobs);
        let mut ann = testing::connect(&io).await?;
        let mut bob = Client::builder(&io).timeout(Duration::from_secs(60)).connect().await?;
        assert_eq!(health(&app).await?, StatusCode::OK);

        let begin = Instant::now();
        let stopping = tokio::spawn({
            let (io, jobs) = (io.clone(), jobs.clone());
            async move {
                drain(&io, &jobs).await;
                io.close().await;
            }
        });
        sleep(NOTICE - Duration::from_secs(1)).await;
        assert_eq!(health(&app).await?, StatusCode::SERVICE_UNAVAILABLE);
        let order = tokio::spawn(async move {
            let answer = bob.emit_with_ack::<String>("order", "tea").await;
            (answer, bob.disconnected().await)
        });
        ann.recv::<()>("restarting").await?;
        let refused: serde_json::Value = ann.emit_with_ack("order", "milk").await?;
        assert_eq!(refused["error"], "the server restarts");

        let (answer, reason) = order.await?;
        assert_eq!(answer?, "tea is ordered");
        // After this reason, clients reconnect by themselves.
        assert_eq!(reason?, DisconnectReason::TransportClose);
        assert_eq!(ann.disconnected().await?, DisconnectReason::TransportClose);
        stopping.await?;
        assert!(begin.elapsed() < NOTICE + DEADLINE, "nobody waits for a deadline without a reason");
        assert!(testing::connect(&io).await.is_err());
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_does_not_finish_holds_the_server_up_only_until_the_deadline() {
        let jobs = Jobs::default();
        let _endless = jobs.start();
        let io = server(&jobs);
        let begin = Instant::now();
        drain(&io, &jobs).await;
        assert!(begin.elapsed() < NOTICE + DEADLINE + Duration::from_secs(1));
    }
}
