//! Tidewire's client as programs use it: `client-ours ADDRESS PROCESS raw WORKLOAD SECONDS|MESSAGESm` prints one row as JSON.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tidewire_bench::load::{Dialogue, run_client};

fn main() -> Result<()> {
    run_client(talk)
}

async fn talk(address: SocketAddr, mut dialogue: Dialogue) -> Result<()> {
    let mut socket = tidewire::ws::connect(format!("ws://{address}/ws")).await?;
    loop {
        while let Some(text) = dialogue.next_message() {
            socket.send(text).await?;
        }
        if !dialogue.awaits_answer() {
            return Ok(());
        }
        let message = socket.recv().await.context("the server has closed")?;
        dialogue.take_answer(message.as_bytes());
    }
}
