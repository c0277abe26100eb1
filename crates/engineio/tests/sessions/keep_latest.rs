//! Messages of which a session that is behind keeps only the latest.

use engineio_proto::MessageEncoder;
use net::{LatestKey, PushOutcome, SlowReaderPolicy};
use tidewire_engineio::{CloseReason, Options};
use ws_proto::Event;

use crate::support::{Opened, Server, WebSocket, frames, until};

const LATEST: SlowReaderPolicy<'_> = SlowReaderPolicy::KeepLatest(LatestKey { scope: "", name: "score" });

/// Sends a message for the one key of these tests.
fn keep(opened: &Opened, text: &str, attachment: Option<&[u8]>) -> PushOutcome {
    let mut encoder = MessageEncoder::new();
    encoder.begin();
    let (out, attachments) = encoder.text_and_attachments();
    out.extend_from_slice(text.as_bytes());
    attachment.into_iter().for_each(|data| attachments.push(data));
    opened.session.send_with(encoder.finish(), LATEST).expect("the session is open")
}

/// The same for a message that many sessions share.
fn keep_shared(opened: &Opened, text: &str) -> PushOutcome {
    let mut encoder = MessageEncoder::new();
    encoder.begin();
    encoder.text().extend_from_slice(text.as_bytes());
    let pushed = opened.session.send_shared(&encoder.finish().to_shared(), LATEST).expect("it is open");
    pushed.waker.into_iter().for_each(std::task::Waker::wake);
    pushed.outcome
}

/// Opens a session whose client does not read a first message of 10,000 bytes.
async fn open_slow(server: &mut Server) -> (WebSocket, Opened) {
    let (client, opened) = server.open_in_memory(1_024).await;
    opened.session.send_text(&"x".repeat(9_999));
    until(|| !opened.session.is_writable()).await;
    (client, opened)
}

#[tokio::test]
async fn a_slow_websocket_gets_the_latest_message_after_all_others() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, opened) = open_slow(&mut server).await;
    assert_eq!(keep(&opened, "score 1", None), PushOutcome::Kept);
    assert_eq!(keep_shared(&opened, "score 2"), PushOutcome::Replaced);
    opened.session.send_text("chat");
    for score in 3..1_000 {
        assert_eq!(keep(&opened, &format!("score {score}"), Some(&[1, 2, 3])), PushOutcome::Replaced);
    }
    client.expect(&format!("4{}", "x".repeat(9_999))).await;
    client.expect("4chat").await;
    client.expect("4score 999").await;
    assert_eq!(client.recv().await, Some(Event::Binary(vec![1, 2, 3].into())));
    until(|| opened.session.is_writable()).await;
    assert_eq!(keep(&opened, "score 1000", None), PushOutcome::Queued);
    client.expect("4score 1000").await;
}

#[tokio::test]
async fn between_two_polls_the_latest_message_waits_for_the_end_of_the_next_response() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    until(|| !opened.session.is_writable()).await;
    assert_eq!(keep(&opened, "score 1", None), PushOutcome::Kept);
    opened.session.send_text("chat");
    assert_eq!(keep(&opened, "score 2", Some(&[1, 2, 3])), PushOutcome::Replaced);
    assert_eq!(client.poll().await, "4chat\x1e4score 2\x1ebAQID");
    until(|| !opened.session.is_writable()).await;
    keep(&opened, "score 3", None);
    assert_eq!(client.poll().await, "4score 3", "it is alone");
    let poll = client.get().await;
    opened.poll_waits().await;
    assert_eq!(keep(&opened, "score 4", None), PushOutcome::Queued);
    poll.response().await.expect(200, "4score 4");
}

#[tokio::test]
async fn the_latest_message_moves_with_the_session_when_it_upgrades() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    until(|| !opened.session.is_writable()).await;
    keep(&opened, "score 1", Some(&[1]));
    keep(&opened, "score 2", Some(&[1, 2, 3]));
    let mut websocket = client.candidate(&frames(["2probe", "5"])).await;
    websocket.expect("3probe").await;
    websocket.expect("4score 2").await;
    assert_eq!(websocket.recv().await, Some(Event::Binary(vec![1, 2, 3].into())));
}

#[tokio::test]
async fn a_session_that_closes_sends_the_latest_message_first() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = open_slow(&mut server).await;
    keep(&opened, "score 1", None);
    keep(&opened, "score 2", None);
    opened.session.close();
    client.expect(&format!("4{}", "x".repeat(9_999))).await;
    client.expect("4score 2").await;
    drop(client);
    opened.expect_end(CloseReason::ForcedClose).await;
}

#[tokio::test]
async fn what_is_kept_counts_in_the_memory_budget() {
    let memory_budget = net::MemoryBudget::new(1024 * 1024);
    let options = Options { memory_budget: memory_budget.clone(), ..Options::default() };
    let mut server = Server::start(options).await;
    let (mut client, opened) = open_slow(&mut server).await;
    keep_shared(&opened, &"s".repeat(100_000));
    until(|| memory_budget.used() > 100_000).await;
    keep(&opened, &"o".repeat(50_000), None);
    // The session reports to the budget when its task runs.
    opened.session.wake();
    until(|| (55_000..65_000).contains(&memory_budget.used())).await;
    client.expect(&format!("4{}", "x".repeat(9_999))).await;
    client.expect(&format!("4{}", "o".repeat(50_000))).await;
    until(|| memory_budget.used() < 1_000).await;
}
