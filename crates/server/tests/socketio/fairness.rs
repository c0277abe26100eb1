//! A connection does not keep its thread for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adapter::{BroadcastOptions, EncodedEvent};
use tidewire_server::{Adapter, InMemoryAdapter, Server, Socket, State};

use crate::support::{Client, Gate, Log, Program, program, serve};

const EVENTS: usize = 20;

/// An adapter that pretends that each broadcast has 5,000 receivers.
struct Crowd(InMemoryAdapter);

impl Adapter for Crowd {
    fn local(&self) -> &InMemoryAdapter {
        &self.0
    }

    fn broadcast(&self, _: &EncodedEvent, _: &BroadcastOptions) -> Option<usize> {
        Some(5_000)
    }
}

/// How often a task of the program has run that always has work.
#[derive(Debug, Clone, Default)]
struct OtherTask(Arc<AtomicUsize>);

impl OtherTask {
    fn start() -> Self {
        let task = Self::default();
        let runs = Arc::clone(&task.0);
        tokio::spawn(async move {
            loop {
                runs.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        task
    }

    fn runs(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn crowded_server(other: &OtherTask) -> (Server, Program) {
    let (builder, program) = program();
    let io = builder
        .state(other.clone())
        .adapter(|_: &str, _| Arc::new(Crowd(InMemoryAdapter::new())) as Arc<dyn Adapter>)
        .build();
    (io, program)
}

#[tokio::test]
async fn other_tasks_run_between_two_broadcasts_to_thousands() {
    let other = OtherTask::start();
    let (io, mut program) = crowded_server(&other);
    io.on("position", async |io: Server, State(log): State<Log>, State(other): State<OtherTask>| {
        io.emit("position", 1);
        log.say(other.runs());
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send_all((0..EVENTS).map(|_| "42[\"position\"]")).await;
    expect_runs_between_events(&mut program).await;
}

#[tokio::test]
async fn other_tasks_run_between_two_broadcasts_of_events_that_waited_for_a_handler() {
    let other = OtherTask::start();
    let (io, mut program) = crowded_server(&other);
    io.on("wait", async |_: Socket, State(gate): State<Gate>| gate.pass().await);
    io.on("position", async |io: Server, State(log): State<Log>, State(other): State<OtherTask>| {
        io.emit("position", 1);
        log.say(other.runs());
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send("42[\"wait\"]").await;
    client.send_all((0..EVENTS).map(|_| "42[\"position\"]")).await;
    // The server has read the events when it responds to what follows them.
    client.send("40/other,").await;
    client.recv().await;
    program.lines.expect_silence();
    program.gate.open();
    expect_runs_between_events(&mut program).await;
}

/// Expects that the other task has run after at most two events. Two tasks that both have work may run in any order, so one
/// of them may run twice in succession.
async fn expect_runs_between_events(program: &mut Program) {
    let mut runs = Vec::new();
    for _ in 0..EVENTS {
        runs.push(program.lines.next().await.parse::<usize>().expect("a number"));
    }
    assert!(runs.windows(3).all(|three| three[0] < three[2]), "the other task did not run: {runs:?}");
}
