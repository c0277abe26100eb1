//! A client that is measured itself: it keeps some messages in flight on each of its connections to a raw echo server,
//! and reads its own processor time.
//!
//! Each client in the comparison is a program that calls [`run_client`]. The messages, checks and measurements are here
//! and the same for all. [`run_bare`] does the same without a library.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::echo::{TICK, WARM_UP};
use super::fleet::{Conversation, Fleet, RESPONSE_TIMEOUT};
use super::measure::{Reading, Row};
use super::options::{Extent, Options, Workload};
use super::script::{Kind, ORDER_PLACE, Script, order_digits};
use super::tally::Tally;
use crate::host;
use crate::wire::websocket::{TEXT, put_client_frame};

/// The number of responses of each connection that are compared completely. That detects a library that damages
/// payloads. Later responses are compared by length and numbers only: comparing a megabyte would cost as much as the
/// work that is measured.
const COMPARED_WHOLE: u32 = 16;

/// The counts of all connections. There is only one thread, so additions need no atomic read-modify-write instruction.
#[derive(Debug)]
struct Counts {
    sent: AtomicU64,
    right: AtomicU64,
    wrong: AtomicU64,
    /// The maximum number of messages. 0 ends the run.
    limit: AtomicU64,
}

impl Counts {
    fn new(extent: Extent) -> Arc<Self> {
        let limit = match extent {
            Extent::Time(_) => u64::MAX,
            Extent::Messages(messages) => messages,
        };
        let zero = || AtomicU64::new(0);
        Arc::new(Self { sent: zero(), right: zero(), wrong: zero(), limit: limit.into() })
    }

    fn end(&self) {
        self.limit.store(0, Relaxed);
    }

    fn answered(&self) -> u64 {
        self.right.load(Relaxed) + self.wrong.load(Relaxed)
    }

    fn tally(&self) -> Tally {
        Tally {
            right: self.right.load(Relaxed),
            wrong: self.wrong.load(Relaxed),
            lost: self.sent.load(Relaxed).saturating_sub(self.answered()),
            ..Tally::default()
        }
    }
}

fn add_one(count: &AtomicU64) {
    count.store(count.load(Relaxed) + 1, Relaxed);
}

/// The messages of one connection, and the expected responses: the same messages in the same order.
#[derive(Debug)]
pub struct Dialogue {
    counts: Arc<Counts>,
    text: String,
    in_flight: u32,
    /// The number of messages sent and of responses received.
    sent: u32,
    answered: u32,
}

impl Dialogue {
    fn new(first: &[u8], in_flight: usize, counts: &Arc<Counts>) -> Self {
        let text = String::from_utf8(first.to_vec()).expect("a script is text");
        Self { counts: Arc::clone(counts), text, in_flight: in_flight as u32, sent: 0, answered: 0 }
    }

    /// Returns the next message to send, or `None` if enough are in flight or the run has ended.
    #[inline]
    pub fn next_message(&mut self) -> Option<&str> {
        if self.sent - self.answered == self.in_flight
            || self.counts.sent.load(Relaxed) >= self.counts.limit.load(Relaxed)
        {
            return None;
        }
        let digits = order_digits(self.sent);
        self.text.replace_range(ORDER_PLACE, str::from_utf8(&digits).expect("digits are text"));
        self.sent += 1;
        add_one(&self.counts.sent);
        Some(&self.text)
    }

    /// Returns whether responses are still missing.
    #[inline]
    pub fn awaits_answer(&self) -> bool {
        self.sent > self.answered
    }

    /// Compares a response with the expected one and counts it.
    #[inline]
    pub fn take_answer(&mut self, answer: &[u8]) {
        let is_right = self.awaits_answer() && self.is_right(answer, self.answered);
        self.answered = self.sent.min(self.answered + 1);
        add_one(if is_right { &self.counts.right } else { &self.counts.wrong });
    }

    #[inline]
    fn is_right(&self, answer: &[u8], order: u32) -> bool {
        let expected = self.text.as_bytes();
        if answer.len() != expected.len() {
            return false;
        }
        let Range { start, end } = ORDER_PLACE;
        answer[..start] == expected[..start]
            && answer[start..end] == order_digits(order)
            && (order >= COMPARED_WHOLE || answer[end..] == expected[end..])
    }
}

/// Runs the program of a client. Reads the command line as `load` does, calls `talk` for each connection in Tokio's
/// single-threaded runtime, and prints the row. `talk` opens the connection and runs the dialogue until there is
/// nothing to send or to wait for.
///
/// # Errors
/// The command line is not valid, or a connection failed or did not end properly.
pub fn run_client<Talk, Fut>(talk: Talk) -> Result<()>
where
    Talk: Fn(SocketAddr, Dialogue) -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    host::raise_descriptor_limit()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = Options::from_arguments(&arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let row = runtime.block_on(run(&options, talk))?;
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}

async fn run<Talk, Fut>(options: &Options, talk: Talk) -> Result<Row>
where
    Talk: Fn(SocketAddr, Dialogue) -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let counts = Counts::new(options.extent);
    let mut watch = Watch::start(options, &counts)?;
    let mut talks = JoinSet::new();
    for dialogue in dialogues(options, &counts)? {
        talks.spawn(talk(options.address, dialogue));
    }
    match options.extent {
        Extent::Messages(_) => finish(&mut talks).await?,
        Extent::Time(duration) => {
            sleep(WARM_UP).await;
            watch = Watch::start(options, &counts)?;
            sleep(duration).await;
        }
    }
    let mut row = watch.stop()?;
    counts.end();
    finish(&mut talks).await?;
    row.set_tally(counts.tally());
    Ok(row)
}

/// Waits for the missing responses. Those that do not arrive are lost.
async fn finish(talks: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Ok(Some(talk)) = timeout(RESPONSE_TIMEOUT, talks.join_next()).await {
        talk??;
    }
    Ok(())
}

/// Runs a workload of clients on the generator's own connections, without a library: the minimum work of any client.
pub(super) fn run_bare(options: &Options) -> Result<Row> {
    let counts = Counts::new(options.extent);
    let mut watch = Watch::start(options, &counts)?;
    let mut bare = Bare(dialogues(options, &counts)?);
    let mut fleet = Fleet::open(options.address, options.protocol, bare.0.len())?;
    bare.begin(&mut fleet)?;
    match options.extent {
        Extent::Messages(_) => bare.finish(&mut fleet)?,
        Extent::Time(duration) => {
            bare.go_on_for(&mut fleet, WARM_UP)?;
            watch = Watch::start(options, &counts)?;
            bare.go_on_for(&mut fleet, duration)?;
        }
    }
    let mut row = watch.stop()?;
    counts.end();
    bare.finish(&mut fleet)?;
    row.set_tally(counts.tally());
    Ok(row)
}

fn dialogues(options: &Options, counts: &Arc<Counts>) -> Result<Vec<Dialogue>> {
    let Workload::ClientEcho { connections, in_flight, size } = options.workload else {
        bail!("{} is no workload of clients", options.workload.name());
    };
    let mut script = Script::new(Kind::Raw, size);
    Ok((0..connections).map(|number| Dialogue::new(script.request(number, 0), in_flight, counts)).collect())
}

/// Measures the cost of the responses from here on.
struct Watch<'a> {
    options: &'a Options,
    counts: &'a Counts,
    from: Reading,
    answered_before: u64,
}

impl<'a> Watch<'a> {
    fn start(options: &'a Options, counts: &'a Counts) -> Result<Self> {
        let from = Reading::take(options.process)?;
        Ok(Self { options, counts, from, answered_before: counts.answered() })
    }

    fn stop(self) -> Result<Row> {
        let to = Reading::take(self.options.process)?;
        let mut row = Row::new(self.options);
        row.set_client_cost(self.from, to, self.counts.answered() - self.answered_before);
        Ok(row)
    }
}

struct Bare(Vec<Dialogue>);

impl Bare {
    fn begin(&mut self, fleet: &mut Fleet) -> Result<()> {
        let mut out = Vec::new();
        for (place, dialogue) in self.0.iter_mut().enumerate() {
            put_messages(dialogue, &mut out);
            fleet.send(place, &out)?;
            out.clear();
        }
        Ok(())
    }

    fn go_on_for(&mut self, fleet: &mut Fleet, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            fleet.turn(Some(TICK), self)?;
        }
        Ok(())
    }

    fn finish(&mut self, fleet: &mut Fleet) -> Result<()> {
        let end = Instant::now() + RESPONSE_TIMEOUT;
        while self.0.iter().any(Dialogue::awaits_answer) && Instant::now() < end {
            fleet.turn(Some(TICK), self)?;
        }
        Ok(())
    }
}

impl Conversation for Bare {
    #[inline]
    fn on_message(&mut self, connection: usize, payload: &[u8], out: &mut Vec<u8>) {
        let dialogue = &mut self.0[connection];
        dialogue.take_answer(payload);
        put_messages(dialogue, out);
    }
}

#[inline]
fn put_messages(dialogue: &mut Dialogue, out: &mut Vec<u8>) {
    while let Some(text) = dialogue.next_message() {
        put_client_frame(out, TEXT, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue(size: usize, in_flight: usize, messages: u64) -> (Dialogue, Arc<Counts>) {
        let counts = Counts::new(Extent::Messages(messages));
        let mut script = Script::new(Kind::Raw, size);
        (Dialogue::new(script.request(17, 0), in_flight, &counts), counts)
    }

    #[test]
    fn messages_are_numbered_and_no_more_are_on_their_way_than_is_said() {
        let (mut dialogue, _) = dialogue(32, 2, u64::MAX);
        assert_eq!(dialogue.next_message(), Some("00017:100000000the quick brown f"));
        assert_eq!(dialogue.next_message(), Some("00017:100000001the quick brown f"));
        assert_eq!(dialogue.next_message(), None);
        dialogue.take_answer(b"00017:100000000the quick brown f");
        assert_eq!(dialogue.next_message(), Some("00017:100000002the quick brown f"));
    }

    #[test]
    fn an_answer_of_another_length_place_or_connection_is_wrong() {
        let right = b"00017:100000000the quick brown f";
        let wrong: [&[u8]; 5] = [
            b"00017:100000000the quick brown ",
            b"00017:100000001the quick brown f",
            b"00018:100000000the quick brown f",
            b"00017:100000000the quick brown g",
            b"",
        ];
        for (answer, tally) in wrong.into_iter().map(|wrong| (wrong, (0, 1))).chain([(&right[..], (1, 0))]) {
            let (mut dialogue, counts) = dialogue(32, 1, u64::MAX);
            dialogue.next_message();
            dialogue.take_answer(answer);
            assert_eq!((counts.tally().right, counts.tally().wrong), tally, "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn an_answer_to_nothing_is_wrong() {
        let (mut dialogue, counts) = dialogue(32, 1, u64::MAX);
        dialogue.take_answer(b"00017:100000000the quick brown f");
        assert_eq!((counts.tally().wrong, dialogue.awaits_answer()), (1, false));
        assert!(dialogue.next_message().is_some());
    }

    #[test]
    fn what_was_not_answered_when_the_run_ends_is_lost() {
        let (mut dialogue, counts) = dialogue(32, 8, 3);
        while dialogue.next_message().is_some() {}
        dialogue.take_answer(b"00017:100000000the quick brown f");
        assert_eq!((counts.tally().right, counts.tally().lost), (1, 2));
        assert!(dialogue.awaits_answer() && dialogue.next_message().is_none());
    }
}
