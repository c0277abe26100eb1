//! Two servers in one process, which form a cluster. Their messages, and the offsets of their events, come late.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Weak;
use std::time::{Duration, Instant};

use adapter::Host;
use adapter::cluster::LocalDelivery;
use adapter::testing::{self, Loopback};
use tidewire_server::{ConnectionStateRecovery, Data, MessagePackParser, Reply, Server};
use tokio::signal::unix::{SignalKind, signal};

use crate::{ConnectionErrors, Disconnects, RecoveryMiddleware, register, register_recovery};

/// Serves the namespace `/recovery` on both servers until a signal ends the program.
pub(crate) async fn run(arguments: &HashMap<&str, &str>) -> std::io::Result<()> {
    let start = Instant::now();
    let bus = Loopback::new(LocalDelivery::InLogOrder);
    let attached = [(); 2].map(|()| bus.attach());
    // The time of the bus begins at zero, and that of the servers does not.
    let ahead = net::now().saturating_since(adapter::Time::ZERO);
    attached.iter().for_each(|server| server.set_clock(ahead));
    let mut addresses = Vec::new();
    for server in &attached {
        let io = build(arguments, server.clone());
        let namespace = io.of("/recovery");
        register(&namespace);
        register_recovery(&namespace);
        // The link of the first server.
        let (first, bus) = (attached[0].clone(), bus.clone());
        namespace.on("link", move |Data(is_up): Data<bool>| {
            if is_up {
                // What was sent without a link is lost.
                while bus.accept_one() {}
                first.restore();
            } else {
                first.cut();
            }
            std::future::ready(Reply(()))
        });
        let listener = io.bind("127.0.0.1:0").await?;
        addresses.push(format!("http://{}", listener.local_addr()?));
        tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
    }
    tokio::spawn(move_messages(bus, attached, start));
    let mut terminated = signal(SignalKind::terminate())?;
    writeln!(std::io::stdout(), "listening on {}", addresses.join(" and "))?;
    terminated.recv().await;
    Ok(())
}

fn build(arguments: &HashMap<&str, &str>, server: testing::Server) -> Server {
    let mut builder = Server::builder();
    if arguments.get("parser") == Some(&"messagepack") {
        builder = builder.parser(MessagePackParser);
    }
    builder
        .adapter(move |name: &str, host: Weak<dyn Host>| server.adapter(name, host))
        .connection_state_recovery(ConnectionStateRecovery::default())
        .state(Disconnects::default())
        .state(ConnectionErrors::default())
        .state(RecoveryMiddleware::default())
        .build()
}

/// Moves some messages every millisecond.
async fn move_messages(bus: Loopback, servers: [testing::Server; 2], start: Instant) {
    let mut state = 1_u64;
    // SplitMix64.
    let mut below = move |end: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    };
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        for _ in 0..below(6) {
            let _ = bus.accept_one();
        }
        for server in &servers {
            for _ in 0..below(6) {
                let _ = server.deliver_one();
            }
        }
        // This moves all messages if a deadline has passed.
        if below(16) == 0 {
            let passed = bus.now().saturating_since(adapter::Time::ZERO);
            bus.advance(start.elapsed().saturating_sub(passed));
        }
    }
}
