//! The client on a simulated network, with Tokio's clock paused.

mod acks;
mod buffers;
mod connecting;
mod handlers;
mod hostile;
mod lifetime;
mod outages;
mod reconnecting;
mod recovery;
mod retries;
mod rust_socketio;
mod start;

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socketio_proto::client as machine;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::engine::simulation::Network;
use crate::{Builder, Client, Socket};

/// The lines that a test has logged, in order.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Vec<String>>, Notify)>);

impl Log {
    fn say(&self, line: impl Display) {
        self.0.0.lock().unwrap().push(line.to_string());
        self.0.1.notify_waiters();
    }

    fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until there are this many lines, and takes them.
    async fn wait(&self, count: usize) -> Vec<String> {
        within(async {
            loop {
                let changed = self.0.1.notified();
                {
                    let mut lines = self.0.0.lock().unwrap();
                    if lines.len() >= count {
                        return std::mem::take(&mut *lines);
                    }
                }
                changed.await;
            }
        })
        .await
    }
}

/// A network, and a client of it that does not wait before its handlers start.
fn client() -> (Network, Builder) {
    let network = Network::new();
    (network.clone(), Client::builder("http://simulated").simulated(network).randomization_factor(0.0))
}

/// A connected socket.
async fn connected() -> (Network, Socket) {
    let (network, builder) = client();
    let socket = builder.connect();
    within(socket.connected()).await.unwrap();
    network.take_received();
    (network, socket)
}

/// Limits the time of a test. The clock is paused, so that a test that waits in vain fails at once.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(24 * 60 * 60), future).await.expect("it happens")
}

/// Lets all other tasks run until nothing is left to do for them now.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Returns the number of acknowledgements that the program awaits.
fn pending_acks(socket: &Socket) -> usize {
    let client = socket.client();
    let state = client.shared().state();
    state.machine.sockets().map(machine::Socket::pending_acks).sum()
}
