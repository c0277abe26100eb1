//! A device that reports a reading every second and obeys commands, also after hours without a network:
//! `cargo run -p tidewire --features client --example device -- [URL]`.
//!
//! `retries` sends each reading until the server has acknowledged it, in order. The server must acknowledge `reading`,
//! and sort out duplicates by their number.
#![allow(clippy::print_stdout, reason = "the example prints the commands")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tidewire::client::{Client, ConnectError, Data, HandlerError, Reply, Socket, State};

#[derive(Serialize)]
struct Reading {
    number: u64,
    celsius: f64,
}

#[derive(Default)]
struct Device {
    is_heating: AtomicBool,
}

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://localhost:3000".to_owned());
    let socket = connect(&url);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    for number in 0.. {
        second.tick().await;
        report(&socket, number).await;
    }
}

pub(crate) fn connect(url: &str) -> Socket {
    Client::builder(url)
        .state(Device::default())
        // A device never gives up, and many devices must not overload a server that has restarted.
        .reconnection_delay_max(Duration::from_secs(60))
        .retries(u32::MAX)
        .ack_timeout(Duration::from_secs(10))
        .on("heat", async |device: State<Device>, Data(on): Data<bool>| {
            device.is_heating.store(on, Ordering::Relaxed);
            println!("heating: {on}");
            Reply("done")
        })
        .on_connect_error(async |error: ConnectError| println!("not connected: {error}"))
        .on_error(|error: &HandlerError, _, event| println!("{event:?}: {error}"))
        .connect()
}

/// Queues a reading. Waits if 16,384 readings are queued already, so that none is lost.
pub(crate) async fn report(socket: &Socket, number: u64) {
    let reading = Reading { number, celsius: 20.0 + (number % 10) as f64 / 10.0 };
    if let Err(error) = socket.emit_wait("reading", reading).await {
        println!("reading {number} is lost: {error}");
    }
}
