//! The waiting calls, except the one in `recv`: senders that wait for capacity, Pings that wait for their Pong, and
//! calls that wait for the end.
//!
//! The structure is allocated only while a call waits.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ws_proto::Time;

use crate::connection::flush_position::PendingPosition;
use crate::connection::{Connection, State};
use crate::message::Message;

/// The maximum number of cancelled Pings that are kept. Without a limit, they would accumulate if the peer never
/// responds to a Ping.
const MAX_CANCELLED_PINGS: usize = 64;

/// All waiting calls of one connection.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// The last ticket. Counting restarts when the structure is freed. That is safe: while a call holds a ticket, it
    /// has an entry here.
    last_ticket: Ticket,
    /// Senders in the order in which they began to wait. When there is capacity, the first sender is woken. After it
    /// has sent, it wakes the next sender. So a thousand senders and a slow reader cost one wake per message, and no
    /// sender overtakes another.
    senders: BTreeMap<Ticket, WakerSlot>,
    /// Whether a message is being sent in fragments. No other message may begin then (RFC 6455 §5.4).
    is_fragmenting: bool,
    /// The waker of that message's writer, if it waits for capacity.
    fragment_waker: Option<Waker>,
    /// Messages of a `Sink` that was ready before the fragmented message began.
    held_back: Vec<(Message, PendingPosition)>,
    /// Whether the next send must yield to other tasks first, because much was compressed.
    must_yield: bool,
    /// The calls that wait for the end of the connection.
    close_waiters: BTreeMap<Ticket, WakerSlot>,
    /// Tasks that close a `Sink`. They also wait for the end.
    sink_close: WakerSet,
    /// Tasks that poll a `Sink` for capacity. There is no call whose drop would remove them, so they have no place in
    /// the order of senders: all of them are woken at each write, and poll again.
    sink_ready: WakerSet,
    /// Tasks that flush a `Sink`. A close does not wake them, because what was queued before is still written.
    sink_flush: WakerSet,
    /// The calls that wait for a Pong, in the order in which they sent their Pings.
    pings: BTreeMap<Ticket, Ping>,
    /// Cancelled Pings that were sent after the first Ping in `pings`. They are kept, because the peer may respond only
    /// to one of them.
    cancelled_pings: BTreeMap<Ticket, PingPayload>,
    /// The round-trip times of the calls whose Pong has arrived.
    round_trips: BTreeMap<Ticket, Duration>,
    /// The wakers to wake after the lock is released.
    wake_list: Vec<Waker>,
}

/// The waker of a waiting call. There may be thousands of calls, so each is found by its ticket. Waking takes the
/// waker.
#[derive(Debug, Default)]
struct WakerSlot(Option<Waker>);

/// A Ping that was sent for a call.
#[derive(Debug)]
struct Ping {
    waker: WakerSlot,
    payload: PingPayload,
    sent: Time,
}

/// The payload of a Ping. It is random, so no automatic Ping, earlier Ping or unsolicited Pong can be mistaken for it.
pub(crate) type PingPayload = [u8; 8];

/// Identifies a waiting call. Later calls have higher tickets.
pub(crate) type Ticket = u64;

impl Waiters {
    /// Returns whether it is the turn of the sender with this ticket, or of a sender that has no ticket yet.
    pub(crate) fn is_next(&self, ticket: Option<Ticket>) -> bool {
        !self.is_fragmenting
            && !self.must_yield
            && self.senders.first_key_value().is_none_or(|(first, _)| Some(*first) == ticket)
    }

    /// Returns whether the next call that sends must yield to other tasks first.
    pub(crate) fn must_yield(&self) -> bool {
        self.must_yield
    }

    pub(crate) fn set_must_yield(&mut self, must_yield: bool) {
        self.must_yield = must_yield;
    }

    pub(crate) fn is_fragmenting(&self) -> bool {
        self.is_fragmenting
    }

    /// Called when a fragmented message has begun.
    pub(crate) fn begin_fragmented_message(&mut self) {
        self.is_fragmenting = true;
    }

    /// Called when the fragmented message has ended. Returns the messages that were held back for it.
    pub(crate) fn end_fragmented_message(&mut self) -> Vec<(Message, PendingPosition)> {
        self.is_fragmenting = false;
        self.fragment_waker = None;
        std::mem::take(&mut self.held_back)
    }

    /// Registers the writer of the fragmented message, which waits for capacity.
    pub(crate) fn wait_fragment_capacity(&mut self, cx: &Context<'_>) {
        self.fragment_waker = Some(cx.waker().clone());
    }

    pub(crate) fn hold_back(&mut self, message: Message, position: PendingPosition) {
        self.held_back.push((message, position));
    }

    /// Adds a sender at the end of the waiting senders, or keeps the place that it has.
    pub(crate) fn enqueue_sender(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) {
        let ticket = self.assign_ticket(ticket);
        self.senders.entry(ticket).or_default().register(cx);
    }

    /// Registers a call that waits for the end.
    pub(crate) fn wait_closed(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) {
        let ticket = self.assign_ticket(ticket);
        self.close_waiters.entry(ticket).or_default().register(cx);
    }

    fn assign_ticket(&mut self, ticket: &mut Option<Ticket>) -> Ticket {
        *ticket.get_or_insert_with(|| {
            self.last_ticket += 1;
            self.last_ticket
        })
    }

    /// Registers a task to wake at the next write, or when nothing can be sent any more.
    pub(crate) fn wait_sink_ready(&mut self, cx: &Context<'_>) {
        self.sink_ready.add(cx);
    }

    /// Registers a task to wake at the next write, or when nothing more will be written.
    pub(crate) fn wait_sink_flush(&mut self, cx: &Context<'_>) {
        self.sink_flush.add(cx);
    }

    /// Registers a task that waits for the end, without a ticket.
    pub(crate) fn wait_sink_close(&mut self, cx: &Context<'_>) {
        self.sink_close.add(cx);
    }

    /// Registers a call that waits for the Pong to its Ping.
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

    /// Returns the round-trip time after the Pong has arrived. Returns `None` for a ticket that has sent no Ping.
    pub(crate) fn poll_pong(&mut self, ticket: Ticket, cx: &Context<'_>) -> Poll<Option<Duration>> {
        match self.pings.get_mut(&ticket) {
            Some(ping) => {
                ping.waker.register(cx);
                Poll::Pending
            }
            None => Poll::Ready(self.round_trips.get(&ticket).copied()),
        }
    }

    /// Handles a Pong. A peer may respond only to the latest of several Pings (RFC 6455 §5.5.3), even if the call that
    /// sent this Ping was cancelled.
    pub(crate) fn handle_pong(&mut self, payload: &[u8], now: Time) {
        let sent = self.pings.iter().map(|(ticket, ping)| (ticket, &ping.payload));
        let latest = sent.chain(&self.cancelled_pings).find(|(_, sent)| *sent == payload);
        let Some(latest) = latest.map(|(ticket, _)| *ticket) else { return };
        while let Some(first) = self.pings.first_entry()
            && *first.key() <= latest
        {
            let (ticket, ping) = first.remove_entry();
            self.round_trips.insert(ticket, now.saturating_since(ping.sent));
            self.wake_list.extend(ping.waker.0);
        }
        self.prune_cancelled_pings();
    }

    /// Removes the cancelled Pings that were sent before the first Ping in `pings`, and the oldest ones above the
    /// maximum.
    fn prune_cancelled_pings(&mut self) {
        let first = self.pings.first_key_value().map_or(Ticket::MAX, |(first, _)| *first);
        while let Some((ticket, _)) = self.cancelled_pings.first_key_value()
            && (*ticket < first || self.cancelled_pings.len() > MAX_CANCELLED_PINGS)
        {
            self.cancelled_pings.pop_first();
        }
    }

    /// Removes a call that no longer waits.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.senders.remove(&ticket);
        self.close_waiters.remove(&ticket);
        if let Some(ping) = self.pings.remove(&ticket) {
            self.cancelled_pings.insert(ticket, ping.payload);
            self.prune_cancelled_pings();
        }
        self.round_trips.remove(&ticket);
    }

    /// Called when there is capacity. Wakes the writer of the fragmented message if there is one, and otherwise the
    /// first waiting sender.
    pub(crate) fn wake_next_sender(&mut self) {
        if self.is_fragmenting {
            self.wake_list.extend(self.fragment_waker.take());
            return;
        }
        let first = self.senders.first_entry().and_then(|mut first| first.get_mut().0.take());
        self.wake_list.extend(first);
    }

    /// Called when there may be capacity, and when there will be none any more. Wakes the tasks that wait for capacity.
    pub(crate) fn wake_sink_ready(&mut self) {
        self.wake_list.append(&mut self.sink_ready.take());
    }

    /// Called after a write, and when nothing more will be written. Wakes the tasks that flush.
    pub(crate) fn wake_sink_flush(&mut self) {
        self.wake_list.append(&mut self.sink_flush.take());
    }

    /// Called when nothing can be sent any more. Wakes all senders and the calls that wait for a Pong.
    pub(crate) fn wake_senders(&mut self) {
        self.wake_list.extend(self.senders.values_mut().filter_map(|call| call.0.take()));
        self.wake_list.extend(self.fragment_waker.take());
        self.wake_list.extend(self.pings.values_mut().filter_map(|ping| ping.waker.0.take()));
    }

    /// Called when the connection has ended. Wakes the calls that wait for the end.
    pub(crate) fn wake_closed(&mut self) {
        self.wake_list.extend(self.close_waiters.values_mut().filter_map(|call| call.0.take()));
        self.wake_list.append(&mut self.sink_close.take());
    }

    /// Wakes tasks of other connections, after the lock is released.
    pub(crate) fn wake_later(&mut self, wakers: Vec<Waker>) {
        self.wake_list.extend(wakers);
    }

    pub(crate) fn take_wake_list(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wake_list)
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            last_ticket: _,
            senders,
            is_fragmenting,
            fragment_waker: _,
            held_back: _,
            must_yield,
            close_waiters,
            sink_close,
            sink_ready,
            sink_flush,
            pings,
            // Cancelled Pings are kept only while `pings` has an earlier entry.
            cancelled_pings: _,
            round_trips,
            wake_list,
        } = self;
        let no_call_waits =
            senders.is_empty() && close_waiters.is_empty() && pings.is_empty() && round_trips.is_empty();
        let no_sink_waits = sink_ready.is_empty() && sink_flush.is_empty() && sink_close.is_empty();
        no_call_waits && no_sink_waits && wake_list.is_empty() && !is_fragmenting && !must_yield
    }
}

/// A set of tasks that are all woken at once, in the order in which they were added. There may be thousands of tasks,
/// and each may be added several times before it is woken.
#[derive(Debug, Default)]
struct WakerSet {
    wakers: Vec<Waker>,
    /// The wakers in the set, by the two addresses that [`Waker::will_wake`] compares.
    waker_ids: BTreeSet<(usize, usize)>,
}

impl WakerSet {
    fn add(&mut self, cx: &Context<'_>) {
        // Use the addresses of the clone: no other waker has them as long as the clone is in the set.
        let waker = cx.waker().clone();
        if self.waker_ids.insert((waker.data().addr(), ptr::from_ref(waker.vtable()).addr())) {
            self.wakers.push(waker);
        }
    }

    fn take(&mut self) -> Vec<Waker> {
        self.waker_ids.clear();
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

/// A call that may have to wait. Dropping it removes the call from the [`Waiters`].
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    connection: &'a Connection,
    ticket: Option<Ticket>,
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self { connection, ticket: None }
    }

    /// Does the same as [`Connection::with`], for a call that may have to wait.
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

    /// Records its number when it is woken.
    struct Task(u32, Arc<Mutex<Vec<u32>>>);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[test]
    fn a_waker_that_is_added_twice_is_woken_once_and_can_be_added_again() {
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
