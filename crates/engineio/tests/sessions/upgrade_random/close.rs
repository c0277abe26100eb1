//! The program closes the session at a random moment of an upgrade. The client must receive what was sent before, over
//! whichever transport it uses then.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidewire_engineio::{CloseReason, Options};
use tokio::time::{sleep, timeout};

use super::client::Client;
use super::{SEEDS, dawdle};
use crate::choppy_stream::Dice;
use crate::support::{Opened, Seen, Server, WebSocket, frames};

const MESSAGES: u32 = 20;

#[test]
fn a_close_that_falls_on_an_upgrade_loses_nothing() {
    let mut on_the_websocket = 0;
    for seed in 0..SEEDS {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let session = async { timeout(Duration::from_secs(60), close_in_an_upgrade(Dice::new(seed))).await };
        let run = catch_unwind(AssertUnwindSafe(|| runtime.block_on(session)));
        let Ok(Ok(on_websocket)) = run else { panic!("seed {seed}") };
        on_the_websocket += u32::from(on_websocket);
    }
    assert!((10..90).contains(&on_the_websocket), "{on_the_websocket} sessions have ended on the WebSocket");
}

/// Returns whether the session has ended on the WebSocket.
async fn close_in_an_upgrade(mut dice: Dice) -> bool {
    let mut server = Server::start_in_memory(Options::default()).await;
    let (polling, mut opened) = server.open_polling().await;
    let client = Client::new(&server, polling.query(), dice.fork());
    let received = RefCell::new(Vec::new());
    let paused = Cell::new(false);

    // The candidate is there before the end. It could not connect afterwards.
    let candidate = client.candidate(&[]).await;
    let (program, probing) = (dice.fork(), dice.fork());
    let ((), is_closed, mut websocket) = tokio::join!(
        send_and_close(&opened, program),
        poll(&client, &received, &paused, dice.fork()),
        probe(candidate, &paused, probing),
    );
    if !is_closed && let Some(websocket) = &mut websocket {
        dawdle(&mut dice).await;
        websocket.write(&frames(["5"])).await;
        while let Some(packet) = websocket.recv_text().await {
            received.borrow_mut().push(packet);
        }
    }
    drop(websocket);

    let expected: Vec<_> = (0..MESSAGES).map(|number| format!("4{number}")).collect();
    assert!(*received.borrow() == expected, "lost, doubled or reordered: {received:?}");
    opened.expect([Seen::Closed(CloseReason::ForcedClose)]).await;
    server.expect_no_sessions().await;
    !is_closed
}

async fn send_and_close(opened: &Opened, mut dice: Dice) {
    let waits = dice.once_in(2);
    for number in 0..MESSAGES {
        opened.session.send_text(&number.to_string());
        if waits {
            dawdle(&mut dice).await;
        }
    }
    dawdle(&mut dice).await;
    opened.session.close();
}

/// Polls until the client pauses. Returns whether the server has closed the session.
async fn poll(
    client: &Client<'_>,
    received: &RefCell<Vec<String>>,
    paused: &Cell<bool>,
    mut dice: Dice,
) -> bool {
    while !paused.get() {
        let response = client.request("GET", "").await;
        assert_eq!(response.status, 200, "{response:?}");
        for packet in response.body.split('\x1e') {
            match packet {
                "1" => return true,
                "6" => {}
                message => received.borrow_mut().push(message.to_owned()),
            }
        }
        dawdle(&mut dice).await;
    }
    false
}

/// Probes, and pauses the polling. Returns `None` if the server has closed the candidate.
async fn probe(mut candidate: WebSocket, paused: &Cell<bool>, mut dice: Dice) -> Option<WebSocket> {
    sleep(Duration::from_millis(dice.below(100))).await;
    candidate.write(&frames(["2probe"])).await;
    candidate.recv_text().await?;
    paused.set(true);
    Some(candidate)
}
