//! Many of Tidewire's Socket.IO clients in one process: `clients-ours ADDRESS [CLIENTS] [SECONDS]` connects them to the
//! server of `ours` over WebSocket, and prints what one of them costs, as JSON. `node/clients.js` does the same with the
//! official client.
//!
//! It measures connecting, SECONDS without events (at least one heartbeat), and one event each with its acknowledgement.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tidewire::client::{Client, Socket, Transport};
use tidewire_bench::host::{Cpu, raise_descriptor_limit, resident};
use tokio::runtime::Builder;

/// How many clients connect at the same time. The others wait, so that the backlog of the server suffices.
const CONNECTING: usize = 500;

fn main() -> Result<()> {
    raise_descriptor_limit()?;
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let clients = arguments.next().map_or(Ok(10_000), |number| number.parse())?;
    let seconds = arguments.next().map_or(Ok(30), |number| number.parse())?;
    // One thread, as Node has.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(&address, clients, Duration::from_secs(seconds)))
}

async fn measure(address: &str, count: usize, idle: Duration) -> Result<()> {
    let process = std::process::id();
    let per_client = |value: f64| value / count as f64;
    let (memory, cpu) = (resident(process)?, Cpu::of(process)?);
    let mut sockets: Vec<Socket> = Vec::with_capacity(count);
    while sockets.len() < count {
        let start = sockets.len();
        for _ in start..count.min(start + CONNECTING) {
            let builder = Client::builder(format!("http://{address}")).transports([Transport::WebSocket]);
            sockets.push(builder.connect());
        }
        for socket in &sockets[start..] {
            socket.connected().await?;
        }
    }
    let connecting = Cpu::of(process)?.since(cpu).ran;
    let fresh = resident(process)? - memory;

    let cpu = Cpu::of(process)?;
    tokio::time::sleep(idle).await;
    let waiting = Cpu::of(process)?.since(cpu).ran;
    ensure!(sockets.iter().all(Socket::is_connected), "a client was disconnected");

    let (cpu, started) = (Cpu::of(process)?, Instant::now());
    let asked: Vec<_> = sockets.iter().map(|socket| socket.emit_with_ack::<String>("ack", "hello")).collect();
    for answer in asked {
        ensure!(answer.await.context("the server did not answer")? == "hello", "another answer");
    }
    let (events, took) = (Cpu::of(process)?.since(cpu).ran, started.elapsed());
    let used = resident(process)? - memory;
    let row = json!({
        "clients": count,
        "bytes_fresh": per_client(fresh as f64).round(),
        "bytes_after_event": per_client(used as f64).round(),
        "cpu_us_connect": per_client(connecting.as_secs_f64() * 1e6),
        "cpu_us_idle_second": per_client(waiting.as_secs_f64() * 1e6) / idle.as_secs_f64(),
        "cpu_us_event": per_client(events.as_secs_f64() * 1e6),
        "ms_all_events": took.as_secs_f64() * 1e3,
    });
    println!("{row}");
    Ok(())
}
