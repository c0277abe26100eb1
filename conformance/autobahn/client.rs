//! The client that Autobahn's fuzzing server tests. It requests the number of cases, echoes each message in every case,
//! and lets the server write its reports. Arguments: `… ws://127.0.0.1:9001 AGENT CASES_AT_ONCE`

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidewire_ws::{CloseCode, CloseFrame, ConnectError, Connector, DeflateOptions, WebSocket};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, agent, at_once] = arguments.as_slice() else {
        eprintln!("usage: client SERVER AGENT CASES_AT_ONCE, for instance ws://127.0.0.1:9001 tidewire 8");
        return ExitCode::FAILURE;
    };
    let done = match at_once.parse() {
        Ok(at_once) => run(server, agent, at_once).await,
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(server: &str, agent: &str, at_once: usize) -> Result<()> {
    let count = case_count(server).await?;
    let cases: Arc<[String]> =
        (1..=count).map(|case| format!("{server}/runCase?case={case}&agent={agent}")).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> =
        (0..at_once.max(1)).map(|_| tokio::spawn(run_cases(cases.clone(), next.clone()))).collect();
    for worker in workers {
        worker.await??;
    }
    let mut reports = tidewire_ws::connect(format!("{server}/updateReports?agent={agent}")).await?;
    while reports.recv().await.is_some() {}
    Ok(())
}

async fn case_count(server: &str) -> Result<usize> {
    let mut socket = tidewire_ws::connect(format!("{server}/getCaseCount")).await?;
    let count = socket.recv().await.ok_or("the server did not send the number of cases")?;
    socket.close(CloseFrame::from(CloseCode::NORMAL)).await;
    Ok(count.as_text().ok_or("the number of cases is not text")?.parse()?)
}

/// Runs one case after the other, until none is left.
async fn run_cases(cases: Arc<[String]>, next: Arc<AtomicUsize>) -> std::result::Result<(), ConnectError> {
    while let Some(url) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
        echo(Connector::new(url).compress(DEFLATE).connect().await?).await;
    }
    Ok(())
}

/// Enables every option of permessage-deflate, for messages of any length. The binary, which Autobahn tests as a
/// server, uses the defaults.
const DEFLATE: DeflateOptions = DeflateOptions {
    level: 1,
    threshold: 0,
    own_context_takeover: true,
    peer_context_takeover: true,
    own_max_window_bits: 15,
    peer_max_window_bits: 15,
};

/// Ignores errors: in many cases the server violates the protocol itself. The server decides whether a case passed.
async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}
