//! The upgrade from polling to WebSocket while both ends send. It happens at random moments, after candidates that
//! failed. Each end must receive what the other end has sent, once and in order.
//!
//! Everything random comes from a seed: streams that read and write random amounts, a client and an application with
//! random delays, a handler that pauses, the behaviour of candidates. Tokio's clock is paused, so a seed needs no real
//! waiting time, and repeats exactly.

mod client;
mod close;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use client::Client;
use engineio_proto::{EncodedMessage, MessageEncoder};
use tidewire_engineio::{CloseReason, Transport};
use tokio::time::{Instant, sleep, timeout};

use crate::choppy_stream::Dice;
use crate::support::{Opened, Seen, Server, frames, send_shared, settings};

const SEEDS: u64 = 100;

/// The number of messages of each end. The last ones are kept for the WebSocket.
const MESSAGES: u32 = 100;
const AFTERWARDS: u32 = 20;

const PING_TIMEOUT: Duration = Duration::from_millis(1_000);
const UPGRADE_TIMEOUT: Duration = Duration::from_millis(5_000);

#[test]
fn whatever_an_upgrade_falls_on_nothing_is_lost_doubled_or_reordered() {
    for seed in 0..SEEDS {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let traffic =
            async { timeout(Duration::from_secs(60), upgrade_under_traffic(Dice::new(seed))).await };
        let run = catch_unwind(AssertUnwindSafe(|| runtime.block_on(traffic)));
        assert!(matches!(run, Ok(Ok(()))), "seed {seed}");
    }
}

async fn upgrade_under_traffic(mut dice: Dice) {
    let ping_interval = Duration::from_millis(60 + dice.below(500));
    let options = settings(|settings| {
        settings.ping_interval = ping_interval;
        settings.ping_timeout = PING_TIMEOUT;
        settings.upgrade_timeout = UPGRADE_TIMEOUT;
    });
    let mut server = Server::start_in_memory(options).await;
    let (polling, mut opened) = server.open_polling().await;
    opened.echo();
    let client = Client::new(&server, polling.query(), dice.fork());

    let (sending, pausing) = (dice.fork(), dice.fork());
    let (mut websocket, (), ()) = tokio::join!(
        client.talk_and_move(dice),
        send_everything(&opened, sending),
        pause_now_and_then(&opened, pausing),
    );

    // Each end has received everything that the other end sent, and the client also its echoes.
    opened.expect((0..MESSAGES).map(|number| message('c', number))).await;
    opened.expect_silence();
    assert_eq!(opened.session.transport(), Transport::WebSocket);
    for from in ['s', 'c'] {
        let received = client.received.borrow();
        let received: Vec<_> = received.iter().filter(|message| comes_from(message, from)).collect();
        for (number, received) in received.iter().enumerate() {
            assert!(**received == message(from, number as u32), "{from}{number} is {}", start_of(received));
        }
        assert_eq!(received.len(), MESSAGES as usize, "messages {from}");
    }

    // The session does not poll any more, and rejects any other connection.
    let refused = r#"{"code":3,"message":"Bad request"}"#;
    client.request("GET", "").await.expect(400, refused);
    client.request("POST", "4late").await.expect(400, refused);
    client.candidate(&frames(["2probe", "5"])).await.expect_close(None).await;

    // The heartbeat goes on over the WebSocket, and ends the session when the client stops sending pongs.
    websocket.expect("2").await;
    websocket.send("3").await;
    let ponged = Instant::now();
    websocket.expect("2").await;
    assert_about(ponged.elapsed(), ping_interval);
    let pinged = Instant::now();
    websocket.expect_close(None).await;
    assert_about(pinged.elapsed(), PING_TIMEOUT);
    opened.expect_end(CloseReason::PingTimeout).await;
    server.expect_no_sessions().await;
}

/// The clock advances in steps of one millisecond, and delays of the streams may add one step.
#[track_caller]
fn assert_about(elapsed: Duration, expected: Duration) {
    assert!(elapsed.abs_diff(expected) <= Duration::from_millis(2), "{elapsed:?} instead of {expected:?}");
}

/// Returns message `number` of an end: text or binary, short or long.
fn message(from: char, number: u32) -> Seen {
    let filler = [0, 3, 130, 1_000][number as usize % 4];
    if number % 3 == 1 {
        let mut data = format!("{from}{number}.").into_bytes();
        data.resize(data.len() + filler, 0xff);
        Seen::Binary(data)
    } else {
        Seen::Text(format!("{from}{number}.{:€>filler$}", ""))
    }
}

fn comes_from(message: &Seen, from: char) -> bool {
    start_of(message).starts_with(from)
}

fn start_of(message: &Seen) -> String {
    let bytes = match message {
        Seen::Text(text) => text.as_bytes(),
        Seen::Binary(data) => data,
        Seen::Closed(reason) => return format!("the end: {reason}"),
    };
    String::from_utf8_lossy(&bytes[..bytes.len().min(5)]).into_owned()
}

/// Encodes the message as the group that leaves the server. If possible, the next message becomes its attachment.
/// Returns also the number of messages in the group.
fn encode(encoder: &mut MessageEncoder, number: u32, together: bool) -> Option<(EncodedMessage<'_>, u32)> {
    let Seen::Text(text) = message('s', number) else { return None };
    encoder.begin();
    encoder.text().extend_from_slice(text.as_bytes());
    let mut count = 1;
    if together && let Seen::Binary(data) = message('s', number + 1) {
        encoder.text_and_attachments().1.push(&data);
        count = 2;
    }
    Some((encoder.finish(), count))
}

/// The application sends from a task of its own, sometimes several messages at once.
async fn send_everything(opened: &Opened, mut dice: Dice) {
    let mut encoder = MessageEncoder::new();
    // Some applications send everything at once and then nothing.
    let quiet = dice.once_in(3);
    let mut sent = 0;
    while sent < MESSAGES {
        if sent >= MESSAGES - AFTERWARDS && opened.session.transport() == Transport::Polling {
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        let together = dice.once_in(2) && sent + 1 < MESSAGES;
        sent += match encode(&mut encoder, sent, together) {
            Some((message, count)) => {
                if dice.once_in(2) {
                    send_shared(&opened.session, &message.to_shared());
                } else {
                    opened.session.send(message);
                }
                count
            }
            None => {
                let Seen::Binary(data) = message('s', sent) else { unreachable!("it is binary") };
                opened.session.send_binary(&data);
                1
            }
        };
        if !quiet {
            dawdle(&mut dice).await;
        }
    }
}

/// The handler repeatedly accepts no input for a while.
async fn pause_now_and_then(opened: &Opened, mut dice: Dice) {
    for _ in 0..dice.below(6) {
        sleep(Duration::from_millis(dice.below(60))).await;
        opened.want_input(false);
        // Sometimes longer than the timeout of a pong.
        let at_most = if dice.once_in(5) { 2_000 } else { 15 };
        sleep(Duration::from_millis(dice.below(at_most))).await;
        opened.want_input(true);
    }
}

/// Waits not at all, for a few polls of other tasks, or for some milliseconds.
async fn dawdle(dice: &mut Dice) {
    match dice.below(4) {
        0 => sleep(Duration::from_millis(dice.below(12))).await,
        1 => {
            for _ in 0..dice.below(10) {
                tokio::task::yield_now().await;
            }
        }
        _ => {}
    }
}
