//! The client's state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use engineio_proto::{CloseReason, MessageEncoder};
use socketio_proto::client::{AckError, Auth, Client, EmitAction, Limits, Output, Overflow, SocketKey};
use socketio_proto::encode;
use ws_proto::Time;

use super::{Message, NAMESPACES, duration, message};

/// The time by which an acknowledgement must arrive.
struct Deadline {
    at: Time,
    timeout: Duration,
    restarted: bool,
}

struct Run {
    client: Client<u64>,
    keys: Vec<SocketKey>,
    limits: Limits,
    now: Time,
    is_open: bool,
    /// The waiters for an acknowledgement, and their deadlines.
    waiting: BTreeMap<u64, Option<Deadline>>,
    next_waiter: u64,
    connected: [bool; NAMESPACES.len()],
}

pub(super) fn run(choices: &mut Unstructured<'_>) -> Result<()> {
    let mut limits = Limits::default();
    limits.max_send_buffer_messages = choices.int_in_range(0..=5)?;
    limits.max_receive_buffer_events = choices.int_in_range(0..=5)?;
    if choices.arbitrary()? {
        limits.overflow = Overflow::DropOldest;
    }
    let mut client = Client::new(&limits, &Default::default());
    let auth = if choices.arbitrary()? { Auth::PerConnect } else { Auth::Static(None) };
    let keys = NAMESPACES.map(|namespace| client.socket(namespace, auth.clone())).to_vec();
    let mut run = Run {
        client,
        keys,
        limits,
        now: Time::ZERO,
        is_open: false,
        waiting: BTreeMap::new(),
        next_waiter: 0,
        connected: [false; NAMESPACES.len()],
    };
    let mut result = Ok(());
    while !choices.is_empty() && result.is_ok() {
        result = run.step(choices);
        run.check();
    }
    run.end();
    result
}

impl Run {
    fn step(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let socket = choices.choose_index(self.keys.len())?;
        let key = self.keys[socket];
        match choices.int_in_range(0..=15_u8)? {
            0 | 1 => {
                self.is_open = true;
                self.client.handle_open();
            }
            2 => self.close(CloseReason::TransportClose),
            3..=6 => self.receive(&message(choices)?),
            7 | 8 => self.client[key].connect(),
            9 => {
                self.client[key].disconnect();
                assert!(!self.client[key].is_active());
                assert_eq!(self.client[key].pending_acks(), 0);
            }
            10 => self.client[key].authenticate(None),
            11 => {
                let mut encoder = MessageEncoder::new();
                let event = encode::event(&mut encoder, NAMESPACES[socket], None, "e", &());
                let _refused = self.client[key].emit(&event.expect("it can be written"));
                let _volatile = self.client[key].emit_volatile(choices.arbitrary()?);
            }
            12 => self.ask(socket, choices)?,
            13 => self.client.handle_reconnect_failed(),
            14 => {
                self.now = self.now + duration(choices)?;
                self.wake();
            }
            _ => {
                if let Some(message) = self.client.poll_transmit() {
                    assert!(self.is_open && !message.text().is_empty());
                }
                return Ok(());
            }
        }
        // A driver may be late.
        if choices.ratio(7_u8, 8)? {
            self.poll();
        }
        Ok(())
    }

    /// Exactly those fail whose time is over, if that is noticed in time or for the second time.
    fn wake(&mut self) {
        // Those that have failed for another reason have no deadline any more.
        self.poll();
        let mut expected = Vec::new();
        for (waiter, deadline) in &mut self.waiting {
            let Some(deadline) = deadline.as_mut().filter(|deadline| deadline.at <= self.now) else {
                continue;
            };
            match deadline.at.extension(deadline.timeout, self.now).filter(|_| !deadline.restarted) {
                // A timeout of zero starts again and ends at once.
                Some(extension) if !extension.is_zero() => {
                    (deadline.at, deadline.restarted) = (self.now + extension, true);
                }
                _ => expected.push(*waiter),
            }
        }
        let mut failed = Vec::new();
        while let Some((_, output)) = self.client.handle_timeout(self.now) {
            let Output::AckFailed { waiter, error: AckError::Timeout } = output else {
                panic!("an acknowledgement times out: {output:?}");
            };
            failed.push(waiter);
            self.take(&output);
        }
        failed.sort_unstable();
        assert_eq!(failed, expected);
        assert!(self.client.poll_timeout().is_none_or(|deadline| deadline > self.now));
    }

    fn receive(&mut self, message: &Message) {
        let output = match message {
            Message::Text(text) => self.client.handle_text(text).map(own),
            Message::Binary(data) => self.client.handle_binary(&data[..]),
        };
        match output {
            Ok(None) => {}
            Ok(Some((_, output))) => self.take(&output),
            Err(violation) => {
                assert!(self.is_open && !violation.to_string().is_empty(), "a connection ends once");
                self.close(CloseReason::ForcedClose);
            }
        }
    }

    fn ask(&mut self, socket: usize, choices: &mut Unstructured<'_>) -> Result<()> {
        let key = self.keys[socket];
        let id = if choices.ratio(1_u8, 8)? { 0 } else { self.client[key].next_ack_id() };
        let timeout = if choices.arbitrary()? { Some(duration(choices)?) } else { None };
        let mut encoder = MessageEncoder::new();
        let event = encode::event(&mut encoder, NAMESPACES[socket], Some(id), "e", &());
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        let deadline = timeout.map(|timeout| Deadline { at: self.now + timeout, timeout, restarted: false });
        self.waiting.insert(waiter, deadline);
        match self.client[key].emit_with_ack(
            id,
            &event.expect("it can be written"),
            timeout,
            waiter,
            self.now,
        ) {
            Ok(emit) => assert_ne!(emit, EmitAction::Dropped),
            Err((_, waiter)) => assert!(self.waiting.remove(&waiter).is_some()),
        }
        Ok(())
    }

    fn close(&mut self, reason: CloseReason) {
        self.is_open = false;
        self.client.handle_close(reason);
        assert!(self.client.poll_transmit().is_none(), "nothing is sent without a connection");
    }

    fn poll(&mut self) {
        while let Some((key, output)) = self.client.poll_output() {
            let socket = self.keys.iter().position(|other| *other == key).expect("it is one of ours");
            match output {
                Output::Connected { .. } => {
                    assert!(!std::mem::replace(&mut self.connected[socket], true), "it was connected");
                }
                Output::Disconnected { .. } => self.connected[socket] = false,
                _ => {}
            }
            self.take(&output);
        }
        for (key, connected) in self.keys.iter().zip(self.connected) {
            assert_eq!(self.client[*key].is_connected(), connected);
        }
    }

    fn take(&mut self, output: &Output<'_, u64>) {
        if let Output::Ack { waiter, .. } | Output::AckFailed { waiter, .. } = output {
            assert!(self.waiting.remove(waiter).is_some(), "a wait ends once");
        }
    }

    fn check(&self) {
        for key in &self.keys {
            let (messages, bytes) = self.client[*key].buffered();
            assert!(messages <= self.limits.max_send_buffer_messages);
            assert_eq!(messages == 0, bytes == 0);
        }
    }

    fn end(&mut self) {
        self.close(CloseReason::ForcedClose);
        self.client.handle_reconnect_failed();
        self.poll();
        assert!(self.waiting.is_empty(), "every wait ends");
        assert_eq!(self.client.poll_timeout(), None);
    }
}

fn own(output: Option<(SocketKey, Output<'_, u64>)>) -> Option<(SocketKey, Output<'static, u64>)> {
    output.map(|(key, output)| (key, output.into_owned()))
}
