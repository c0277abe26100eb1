//! The calls that wait, except the one in `recv`: senders for room, Pings for their Pong, and calls that wait for the end.
//!
//! It exists only while a call waits, and takes memory only then.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ws_proto::Time;

use crate::connection::flush_position::PendingPosition;
use crate::connection::{Connection, State};
use crate::message::Message;

/// How many of the last Pings that nobody waits for any more are known by their answer. More would wait for a peer that answers
/// no Ping at all.
const MAX_CANCELLED_PINGS: usize = 64;

/// All calls that wait for something of one connection.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// The last ticket. It is counted from the beginning again when nobody has one any more: who was given one has a place
    /// here until it leaves.
    last_ticket: Ticket,
    /// Senders, in the order in which they came. One is woken when there is room, and wakes the next when it has sent:
    /// a thousand senders and a slow reader are a wake for each message, and nobody is overtaken.
    senders: BTreeMap<Ticket, WakerSlot>,
    /// A message is being sent in fragments: no other may begin (RFC 6455 §5.4).
    is_fragmenting: bool,
    /// Its writer, if it waits for room.
    fragment_waker: Option<Waker>,
    /// Messages of a `Sink` that was ready before the other message began.
    held_back: Vec<(Message, PendingPosition)>,
    /// So much was compressed that other tasks should have their turn before the next message.
    must_yield: bool,
    /// Those who wait for the end of the connection.
    close_waiters: BTreeMap<Ticket, WakerSlot>,
    /// Tasks that close a `Sink`, and wait for the end as well.
    sink_close: WakerSet,
    /// Tasks that poll a `Sink` for room, which has no call that could give up a place. They are woken whenever something
    /// was written, and ask again if that was not enough.
    sink_ready: WakerSet,
    /// Tasks that flush a `Sink`. That nothing can be sent any more is nothing to them: what was sent before still leaves.
    sink_flush: WakerSet,
    /// Those who wait for the answer to a Ping, in the order in which they asked.
    pings: BTreeMap<Ticket, Ping>,
    /// Pings whose calls have given up, behind the first one that is waited for: the peer may answer one of them only.
    cancelled_pings: BTreeMap<Ticket, PingPayload>,
    /// How long it took, for those whose answer has come.
    round_trips: BTreeMap<Ticket, Duration>,
    /// To be woken, once no lock is held.
    wake_list: Vec<Waker>,
}

/// A call, of which there may be thousands, so each is found by its ticket. Its waker is taken to wake it.
#[derive(Debug, Default)]
struct WakerSlot(Option<Waker>);

/// A Ping that was sent for a call.
#[derive(Debug)]
struct Ping {
    waker: WakerSlot,
    payload: PingPayload,
    sent: Time,
}

/// What is in the Ping of a call, as random bytes: neither an automatic Ping nor an earlier one, nor a Pong that nobody
/// has asked for, is taken for it.
pub(crate) type PingPayload = [u8; 8];

/// What a waiting call is known by; higher for those who came later.
pub(crate) type Ticket = u64;

impl Waiters {
    /// Whether it is the turn of the sender with this ticket, or of one without.
    pub(crate) fn is_next(&self, ticket: Option<Ticket>) -> bool {
        !self.is_fragmenting
            && !self.must_yield
            && self.senders.first_key_value().is_none_or(|(first, _)| Some(*first) == ticket)
    }

    /// Whether the next call that sends has to let other tasks have their turn first.
    pub(crate) fn must_yield(&self) -> bool {
        self.must_yield
    }

    pub(crate) fn set_must_yield(&mut self, owes: bool) {
        self.must_yield = owes;
    }

    pub(crate) fn is_fragmenting(&self) -> bool {
        self.is_fragmenting
    }

    /// A message in fragments has begun.
    pub(crate) fn begin_fragmented_message(&mut self) {
        self.is_fragmenting = true;
    }

    /// It has ended; what was held back for it may go.
    pub(crate) fn end_fragmented_message(&mut self) -> Vec<(Message, PendingPosition)> {
        self.is_fragmenting = false;
        self.fragment_waker = None;
        std::mem::take(&mut self.held_back)
    }

    /// The writer of the message in fragments waits for room.
    pub(crate) fn wait_fragment_capacity(&mut self, cx: &Context<'_>) {
        self.fragment_waker = Some(cx.waker().clone());
    }

    pub(crate) fn hold_back(&mut self, message: Message, position: PendingPosition) {
        self.held_back.push((message, position));
    }

    /// Puts a sender into the line, or lets it wait on where it stands.
    pub(crate) fn enqueue_sender(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) {
        let ticket = self.assign_ticket(ticket);
        self.senders.entry(ticket).or_default().register(cx);
    }

    /// Waits for the end.
    pub(crate) fn wait_closed(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) {
        let ticket = self.assign_ticket(ticket);
        self.close_waiters.entry(ticket).or_default().register(cx);
    }

    fn assign_ticket(&mut self, call: &mut Option<Ticket>) -> Ticket {
        *call.get_or_insert_with(|| {
            self.last_ticket += 1;
            self.last_ticket
        })
    }

    /// Waits for the next bytes to be written, or until nothing can be sent.
    pub(crate) fn wait_sink_ready(&mut self, cx: &Context<'_>) {
        self.sink_ready.add(cx);
    }

    /// Waits for the next bytes to be written, or until none will be.
    pub(crate) fn wait_sink_flush(&mut self, cx: &Context<'_>) {
        self.sink_flush.add(cx);
    }

    /// Waits for the end, without a place to give up.
    pub(crate) fn wait_sink_close(&mut self, cx: &Context<'_>) {
        self.sink_close.add(cx);
    }

    /// Waits for the answer to a Ping.
    pub(crate) fn insert_ping(
        &mut self,
        ticket: &mut Option<Ticket>,
        payload: PingPayload,
        now: Time,
        cx: &Context<'_>,
    ) {
        let ticket = self.assign_ticket(ticket);
        self.pings.insert(ticket, Ping { waker: WakerSlot(Some(cx.waker().clone())), payload, sent: now });
    }

    /// How long the answer took, once it has come. `None` is for who has not asked.
    pub(crate) fn poll_pong(&mut self, ticket: Ticket, cx: &Context<'_>) -> Poll<Option<Duration>> {
        match self.pings.get_mut(&ticket) {
            Some(ping) => {
                ping.waker.register(cx);
                Poll::Pending
            }
            None => Poll::Ready(self.round_trips.get(&ticket).copied()),
        }
    }

    /// A Pong has come. A peer may answer the last of several Pings only (RFC 6455 §5.5.3), whether its call has given up
    /// or not.
    pub(crate) fn handle_pong(&mut self, payload: &[u8], now: Time) {
        let sent = self.pings.iter().map(|(ticket, ping)| (ticket, &ping.payload));
        let answered = sent.chain(&self.cancelled_pings).find(|(_, sent)| *sent == payload);
        let Some(answered) = answered.map(|(ticket, _)| *ticket) else { return };
        while let Some(first) = self.pings.first_entry()
            && *first.key() <= answered
        {
            let (ticket, ping) = first.remove_entry();
            self.round_trips.insert(ticket, now.saturating_since(ping.sent));
            self.wake_list.extend(ping.waker.0);
        }
        self.prune_cancelled_pings();
    }

    /// Forgets the Pings whose answer would be news to nobody, and those that are too many.
    fn prune_cancelled_pings(&mut self) {
        let first = self.pings.first_key_value().map_or(Ticket::MAX, |(first, _)| *first);
        while let Some((ticket, _)) = self.cancelled_pings.first_key_value()
            && (*ticket < first || self.cancelled_pings.len() > MAX_CANCELLED_PINGS)
        {
            self.cancelled_pings.pop_first();
        }
    }

    /// Gives up a place.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.senders.remove(&ticket);
        self.close_waiters.remove(&ticket);
        if let Some(ping) = self.pings.remove(&ticket) {
            self.cancelled_pings.insert(ticket, ping.payload);
            self.prune_cancelled_pings();
        }
        self.round_trips.remove(&ticket);
    }

    /// There is room: the writer of a message in fragments may try, or else the first in line.
    pub(crate) fn wake_next_sender(&mut self) {
        if self.is_fragmenting {
            self.wake_list.extend(self.fragment_waker.take());
            return;
        }
        let first = self.senders.first_entry().and_then(|mut first| first.get_mut().0.take());
        self.wake_list.extend(first);
    }

    /// There may be room, or never will be.
    pub(crate) fn wake_sink_ready(&mut self) {
        self.wake_list.append(&mut self.sink_ready.take());
    }

    /// Something was written, or never will be.
    pub(crate) fn wake_sink_flush(&mut self) {
        self.wake_list.append(&mut self.sink_flush.take());
    }

    /// Nothing can be sent any more.
    pub(crate) fn wake_senders(&mut self) {
        self.wake_list.extend(self.senders.values_mut().filter_map(|call| call.0.take()));
        self.wake_list.extend(self.fragment_waker.take());
        self.wake_list.extend(self.pings.values_mut().filter_map(|ping| ping.waker.0.take()));
    }

    /// The connection has ended.
    pub(crate) fn wake_closed(&mut self) {
        self.wake_list.extend(self.close_waiters.values_mut().filter_map(|call| call.0.take()));
        self.wake_list.append(&mut self.sink_close.take());
    }

    pub(crate) fn take_wake_list(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wake_list)
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            last_ticket: _,
            senders: line,
            is_fragmenting: is_writing,
            fragment_waker: _,
            held_back: _,
            must_yield: owes_a_turn,
            close_waiters: end,
            sink_close: closing,
            sink_ready: watchers,
            sink_flush: flushing,
            pings,
            // There are some only behind one that is waited for.
            cancelled_pings: _,
            round_trips,
            wake_list: woken,
        } = self;
        let no_call_waits = line.is_empty() && end.is_empty() && pings.is_empty() && round_trips.is_empty();
        let no_sink_waits = watchers.is_empty() && flushing.is_empty() && closing.is_empty();
        no_call_waits && no_sink_waits && woken.is_empty() && !is_writing && !owes_a_turn
    }
}

/// Tasks that are all woken at once, in the order in which they came. There may be thousands, and each may ask again before.
#[derive(Debug, Default)]
struct WakerSet {
    wakers: Vec<Waker>,
    /// Those who are there already, by the two addresses that [`Waker::will_wake`] compares.
    known: BTreeSet<(usize, usize)>,
}

impl WakerSet {
    fn add(&mut self, cx: &Context<'_>) {
        // Of the clone, whose addresses are nobody else's as long as it is here.
        let waker = cx.waker().clone();
        if self.known.insert((waker.data().addr(), ptr::from_ref(waker.vtable()).addr())) {
            self.wakers.push(waker);
        }
    }

    fn take(&mut self) -> Vec<Waker> {
        self.known.clear();
        std::mem::take(&mut self.wakers)
    }

    fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }
}

impl WakerSlot {
    fn register(&mut self, cx: &Context<'_>) {
        if !self.0.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.0 = Some(cx.waker().clone());
        }
    }
}

/// A call that may have to wait. Dropped with the call, it leaves the [`Waiters`].
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    connection: &'a Connection,
    ticket: Option<Ticket>,
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self { connection, ticket: None }
    }

    /// [`Connection::with`], for a call that may have to wait.
    pub(crate) fn with<T>(&mut self, operation: impl FnOnce(&mut State, &mut Option<Ticket>) -> T) -> T {
        self.connection.with(|state| operation(state, &mut self.ticket))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.connection.with(|state| state.cancel_waiter(ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::Wake;

    use super::*;

    /// Says by its number that it was woken.
    struct Task(u32, Arc<Mutex<Vec<u32>>>);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[test]
    fn a_task_that_asks_again_is_woken_once_and_may_ask_again_afterwards() {
        let woken = Arc::default();
        let wakers: Vec<Waker> =
            (0..3).map(|number| Arc::new(Task(number, Arc::clone(&woken))).into()).collect();
        let mut waiters = Waiters::default();
        for order in [[2, 0, 1], [1, 2, 0]] {
            for number in order.into_iter().chain([0, 1, 2]) {
                waiters.wait_sink_ready(&Context::from_waker(&wakers[number as usize]));
            }
            waiters.wake_sink_ready();
            waiters.take_wake_list().into_iter().for_each(Waker::wake);
            assert_eq!(std::mem::take(&mut *woken.lock().unwrap()), order);
            assert!(waiters.is_empty());
        }
    }
}
