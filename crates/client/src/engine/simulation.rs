//! A simulated engine for the tests: a network on Tokio's clock, and a small Socket.IO server behind it.
//!
//! The test decides what happens to connections, and when. Nothing here sleeps: with Tokio's clock paused, hours take
//! milliseconds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use engineio_client::Message;
use engineio_proto::{CloseReason, EncodedMessage};
use ws_proto::Time;

use super::{LinkClosed, LinkHandler, MAX_BYTES_AHEAD};
use crate::error::TransportError;
use crate::platform::{self, Timer};

/// What happens to a new attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Accept,
    /// The connection opens after this time, which may be longer than the client waits.
    Slow(Duration),
    Refuse,
    /// Nothing is ever received.
    Hang,
    /// The connection opens and is closed at once.
    HangUp,
}

/// The network, and the server behind it. All clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Network(Arc<Mutex<NetworkState>>);

#[derive(Debug)]
pub(crate) struct NetworkState {
    /// What happens to the next attempts. `Accept` follows when it is empty.
    pub(crate) attempts: VecDeque<Attempt>,
    /// When the client made an attempt.
    pub(crate) attempt_times: Vec<Time>,
    pub(crate) latency: Duration,
    /// Every message that the server has received, of all connections.
    pub(crate) received: Vec<String>,
    /// How many messages must not be compressed.
    pub(crate) uncompressed: usize,
    /// The server acknowledges each event with its own arguments.
    pub(crate) acknowledges: bool,
    /// The server accepts requests to connect to a namespace.
    pub(crate) accepts: bool,
    /// The server sends this after it has accepted a request to connect.
    pub(crate) greeting: Option<String>,
    /// The messages that the server receives from now on, and that it sends, are lost.
    pub(crate) loses_messages: bool,
    /// Bytes that a connection has not sent yet, as the client sees it.
    pub(crate) buffered: usize,
    links: Vec<LinkState>,
}

#[derive(Debug, Default)]
struct LinkState {
    steps: VecDeque<(Time, Step)>,
    waker: Option<Waker>,
    is_closed: bool,
}

#[derive(Debug)]
enum Step {
    Open,
    Text(String),
    Binary(Vec<u8>),
    Close(CloseReason),
}

/// One connection, or the attempt to open it.
#[derive(Debug)]
pub(crate) struct Link {
    sender: LinkSender,
    timer: Timer,
}

/// The sending half of a connection.
#[derive(Debug, Clone)]
pub(crate) struct LinkSender {
    network: Network,
    index: usize,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(NetworkState {
            attempts: VecDeque::new(),
            attempt_times: Vec::new(),
            latency: Duration::from_millis(5),
            received: Vec::new(),
            uncompressed: 0,
            acknowledges: true,
            accepts: true,
            greeting: None,
            loses_messages: false,
            buffered: 0,
            links: Vec::new(),
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, NetworkState> {
        self.0.lock().unwrap()
    }

    pub(crate) fn connect(&self) -> (LinkSender, Link) {
        let mut state = self.state();
        let now = platform::now();
        state.attempt_times.push(now);
        let mut link = LinkState::default();
        let at = now + state.latency;
        match state.attempts.pop_front().unwrap_or(Attempt::Accept) {
            Attempt::Accept => link.steps.push_back((at, Step::Open)),
            Attempt::Slow(time) => link.steps.push_back((at + time, Step::Open)),
            Attempt::Refuse => link.steps.push_back((at, Step::Close(CloseReason::TransportError))),
            Attempt::Hang => {}
            Attempt::HangUp => {
                link.steps.push_back((at, Step::Open));
                link.steps.push_back((at, Step::Close(CloseReason::TransportClose)));
            }
        }
        state.links.push(link);
        let sender = LinkSender { network: self.clone(), index: state.links.len() - 1 };
        (sender.clone(), Link { sender, timer: Timer::new() })
    }

    /// The server sends a text message on the newest connection.
    pub(crate) fn send(&self, text: &str) {
        self.push(Step::Text(text.to_owned()));
    }

    /// The server sends a binary message on the newest connection.
    pub(crate) fn send_binary(&self, data: &[u8]) {
        self.push(Step::Binary(data.to_owned()));
    }

    /// The newest connection ends. What is on its way is lost.
    pub(crate) fn cut(&self, reason: CloseReason) {
        let mut state = self.state();
        state.loses_messages = false;
        if let Some(link) = state.links.last_mut() {
            link.steps.clear();
        }
        drop(state);
        self.push(Step::Close(reason));
    }

    /// Returns the messages that the server has received since the last call.
    pub(crate) fn take_received(&self) -> Vec<String> {
        std::mem::take(&mut self.state().received)
    }

    /// Returns how many connections the client has neither closed nor lost.
    pub(crate) fn open_links(&self) -> usize {
        self.state().links.iter().filter(|link| !link.is_closed).count()
    }

    /// Returns how many messages of the server the client has not read.
    pub(crate) fn unread(&self) -> usize {
        self.state().links.last().map_or(0, |link| link.steps.len())
    }

    fn push(&self, step: Step) {
        let mut state = self.state();
        let index = state.links.len().checked_sub(1).expect("there is a connection");
        let waker = state.schedule(index, step);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl NetworkState {
    /// Lets a step happen after the latency, and after the steps before it.
    fn schedule(&mut self, index: usize, step: Step) -> Option<Waker> {
        let at = platform::now() + self.latency;
        let link = &mut self.links[index];
        let at = link.steps.back().map_or(at, |(last, _)| at.max(*last));
        link.steps.push_back((at, step));
        link.waker.take()
    }

    /// The server receives a message.
    fn receive(&mut self, index: usize, text: &str) -> Option<Waker> {
        if self.loses_messages || self.links[index].is_closed {
            return None;
        }
        self.received.push(text.to_owned());
        let (kind, rest) = text.split_at(1);
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("", rest),
        };
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace},") };
        match kind {
            "0" if self.accepts => {
                let id = format!("{index}{namespace}");
                let waker = self.schedule(index, Step::Text(format!(r#"0{prefix}{{"sid":"{id}"}}"#)));
                if let Some(greeting) = self.greeting.clone() {
                    let _ = self.schedule(index, Step::Text(greeting));
                }
                waker
            }
            "2" if self.acknowledges => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let (id, arguments) = rest.split_at(digits);
                if id.is_empty() {
                    return None;
                }
                let arguments =
                    arguments.split_once(',').map_or("[]".to_owned(), |(_, rest)| format!("[{rest}"));
                self.schedule(index, Step::Text(format!("3{prefix}{id}{arguments}")))
            }
            _ => None,
        }
    }
}

impl Link {
    pub(crate) fn poll(&mut self, handler: &mut impl LinkHandler, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = platform::now();
            let step = {
                let mut state = self.sender.network.state();
                let loses = state.loses_messages;
                let link = &mut state.links[self.sender.index];
                if link.is_closed {
                    return Poll::Ready(());
                }
                link.waker = Some(cx.waker().clone());
                let wants_input = handler.wants_input();
                match link.steps.front() {
                    Some((_, Step::Text(_) | Step::Binary(_))) if !wants_input => return Poll::Pending,
                    Some((at, _)) if *at <= now => {
                        let (_, step) = link.steps.pop_front().expect("there is one");
                        if matches!(step, Step::Close(_)) {
                            link.is_closed = true;
                        } else if loses && !matches!(step, Step::Open) {
                            continue;
                        }
                        step
                    }
                    first => {
                        let at = first.map(|(at, _)| *at);
                        drop(state);
                        if self.timer.poll(at, now, cx).is_pending() {
                            return Poll::Pending;
                        }
                        continue;
                    }
                }
            };
            match step {
                Step::Open => handler.on_open(now, cx),
                Step::Text(text) => handler.on_message(Message::Text(&text), now, cx),
                Step::Binary(data) => handler.on_message(Message::Binary(data.into()), now, cx),
                Step::Close(reason) => {
                    handler.on_close(LinkClosed {
                        reason,
                        error: TransportError::new("the simulation ended it"),
                    });
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.sender.network.state().links[self.sender.index].is_closed = true;
    }
}

impl LinkSender {
    pub(crate) fn send(&self, message: &EncodedMessage<'_>) {
        let waker = {
            let mut network = self.network.state();
            network.uncompressed += usize::from(!message.allows_compression());
            network.receive(self.index, message.text())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.network.state().buffered == 0
    }

    pub(crate) fn accepts(&self, len: usize) -> bool {
        let state = self.network.state();
        !state.links[self.index].is_closed
            && (state.buffered == 0 || state.buffered.saturating_add(len) <= MAX_BYTES_AHEAD)
    }

    pub(crate) fn close(&self) {
        let waker = {
            let mut state = self.network.state();
            let link = &mut state.links[self.index];
            link.is_closed = true;
            link.steps.clear();
            link.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
