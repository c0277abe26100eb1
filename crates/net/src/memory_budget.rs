//! A limit on the memory that all peers together can make a process use.
//!
//! Hot path: a connection reports after each turn how many bytes it holds for its peer. A report below
//! [`REGISTRATION_THRESHOLD`] costs two compares.

mod memory_limit;

use std::cmp::Reverse;
use std::fmt;
use std::ops::Add;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use crate::log_rate_limit::LogRateLimit;
use crate::metrics;

/// A connection counts from its first report of at least this many bytes. They are about as many as a connection costs
/// before it becomes a WebSocket, and `max_connections` limits them.
pub(crate) const REGISTRATION_THRESHOLD: usize = 16 * 1024;

/// When the budget is exceeded, connections end until one part in so many of it is free. Each search for the largest ones then
/// pays for many reports, however small the connections are.
const FREED_DIVISOR: usize = 16;

/// What a peer is told whose connection ends because of the [`MemoryBudget`].
pub const MEMORY_BUDGET_EXCEEDED: &str = "memory budget exceeded";

/// A limit on the bytes that all peers together can make the process hold: unfinished messages and request bodies,
/// messages that wait for a handler or until the peer reads them, long responses to polls that the peer does not read, and
/// the request heads that sessions keep. A handle; clones share the limit.
///
/// A message that several connections share counts once. The other bytes count for the connection that holds them.
///
/// When the limit is exceeded, the connections that hold the most bytes end, one after the other, until a sixteenth of
/// the limit is free. The log then has a warning. A connection that has never held 16 KiB is neither counted nor ended.
/// One that has held as much counts until it holds nothing. Shared bytes that a connection holds weigh less than its own:
/// as much less as all shared bytes are less than all bytes in use. So connections do not end for messages that are not
/// the problem.
///
/// ```
/// use tidewire_net::MemoryBudget;
///
/// let budget = MemoryBudget::new(256 * 1024 * 1024);
/// assert_eq!(budget.limit(), 268_435_456);
/// ```
#[derive(Clone)]
pub struct MemoryBudget(Arc<Shared>);

struct Shared {
    limit: usize,
    /// All counted bytes: of the registered connections, retained and shared ones.
    used: AtomicUsize,
    /// The bytes of messages that connections share.
    shared: AtomicUsize,
    /// The bytes that sessions keep as long as they live.
    retained: AtomicUsize,
    registered: Mutex<Vec<Arc<Entry>>>,
    log: LogRateLimit,
}

/// A connection that holds many bytes, in the table.
struct Entry {
    budget: Arc<Shared>,
    own: AtomicUsize,
    /// The bytes of shared messages that the connection holds, too. They are also in [`Shared::shared`], once for all.
    shared: AtomicUsize,
    /// The position in `registered`. Changes only under its lock.
    position: AtomicUsize,
    /// The connection must end.
    is_ending: AtomicBool,
    /// The connection knows that it must end.
    is_told: AtomicBool,
    waker: Mutex<Waker>,
}

impl MemoryBudget {
    /// Creates a budget of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let budget = Self(Arc::new(Shared {
            limit: bytes,
            used: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
            retained: AtomicUsize::new(0),
            registered: Mutex::default(),
            log: LogRateLimit::new(),
        }));
        #[cfg(feature = "metrics")]
        budget.add_to_metrics();
        budget
    }

    /// Returns the budget that every server and client of the process uses, unless it has another one. Its limit is half
    /// of the memory of the machine, or of the control group (container) if that may use less. If neither is known, as
    /// on systems other than Linux, the limit is 1 GiB.
    #[must_use]
    pub fn process() -> &'static Self {
        static PROCESS: OnceLock<MemoryBudget> = OnceLock::new();
        PROCESS.get_or_init(|| Self::new(memory_limit::available_memory().map_or(1 << 30, |bytes| bytes / 2)))
    }

    /// Returns the limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Returns the bytes that are counted now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Counts `bytes` that are kept as long as a session lives. Returns `None` if such bytes would take more than half of
    /// the limit: the other half belongs to the sessions that exist.
    #[must_use]
    pub fn try_retain(&self, bytes: usize) -> Option<RetainedMemory> {
        let retained = self.0.retained.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        // Dropped if the bytes are too many.
        let memory = RetainedMemory { budget: self.clone(), bytes };
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        (retained <= self.0.limit / 2).then_some(memory)
    }
}

impl MemoryBudget {
    /// Counts `bytes` of a message that connections share, until the result is dropped. Each connection that holds the
    /// message reports it as [`HeldMemory::shared`].
    #[must_use]
    pub fn share(&self, bytes: usize) -> SharedMemory {
        self.0.shared.fetch_add(bytes, Ordering::Relaxed);
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        SharedMemory { budget: self.clone(), bytes }
    }
}

/// The budgets of the process that still exist, for the metrics.
#[cfg(feature = "metrics")]
static BUDGETS: Mutex<Vec<std::sync::Weak<Shared>>> = Mutex::new(Vec::new());

#[cfg(feature = "metrics")]
impl MemoryBudget {
    fn add_to_metrics(&self) {
        let mut budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.retain(|budget| budget.strong_count() > 0);
        budgets.push(Arc::downgrade(&self.0));
    }

    /// Returns the bytes that all budgets of the process count, and the largest used part of one of them.
    pub(crate) fn usage_of_all() -> (usize, f64) {
        let budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
        let budgets = budgets.iter().filter_map(std::sync::Weak::upgrade);
        budgets.fold((0, 0.0), |(sum, largest), budget| {
            let used = budget.used.load(Ordering::Relaxed);
            (sum + used, f64::max(largest, used as f64 / budget.limit.max(1) as f64))
        })
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget").field("limit", &self.limit()).field("used", &self.used()).finish()
    }
}

/// Bytes that count in a [`MemoryBudget`] until this is dropped.
#[derive(Debug)]
pub struct RetainedMemory {
    budget: MemoryBudget,
    bytes: usize,
}

impl RetainedMemory {
    /// Returns the number of bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for RetainedMemory {
    fn drop(&mut self) {
        self.budget.0.retained.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes of a message that connections share. They count in a [`MemoryBudget`] until this is dropped.
#[derive(Debug)]
pub struct SharedMemory {
    budget: MemoryBudget,
    bytes: usize,
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        self.budget.0.shared.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a connection holds for its peer, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldMemory {
    /// Bytes that no other connection holds.
    pub own: usize,
    /// Bytes of messages that other connections may hold too, see [`MemoryBudget::share`].
    pub shared: usize,
}

impl HeldMemory {
    /// Returns the sum.
    #[inline]
    #[must_use]
    pub fn total(self) -> usize {
        self.own + self.shared
    }
}

impl From<usize> for HeldMemory {
    #[inline]
    fn from(own: usize) -> Self {
        Self { own, shared: 0 }
    }
}

impl Add for HeldMemory {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self { own: self.own + other.own, shared: self.shared + other.shared }
    }
}

/// The part of a [`MemoryBudget`] that one connection uses. Dropping it returns the bytes.
#[derive(Debug, Default)]
pub struct MemoryUsage(Option<Arc<Entry>>);

impl MemoryUsage {
    /// Reports how many bytes the connection holds now. Returns `false` if the connection must end, because the budget
    /// is exceeded and it is among those that hold the most. Its task is woken when this happens later, so it must then
    /// report again.
    ///
    /// Returns `false` only once. A connection that takes time to end goes on to report what it still holds. No other
    /// connection ends for these bytes, because they will be free soon.
    ///
    /// If other connections must end, their wakers are passed to `wake`. Wake them after you have released your locks.
    #[inline]
    #[must_use]
    pub fn report(
        &mut self,
        budget: &MemoryBudget,
        held: HeldMemory,
        cx: &Context<'_>,
        wake: impl FnMut(Waker),
    ) -> bool {
        if held.total() < REGISTRATION_THRESHOLD && self.0.is_none() {
            return true;
        }
        self.report_registered(budget, held, cx, wake)
    }

    /// Returns whether `held` differs enough from the last report that the connection should report again. For callers
    /// that can only ask another task to report.
    #[inline]
    #[must_use]
    pub fn is_outdated(&self, held: HeldMemory) -> bool {
        let bytes = held.total();
        match &self.0 {
            None => bytes >= REGISTRATION_THRESHOLD,
            Some(entry) => {
                let reported = entry.held().total();
                bytes > reported + reported / 2 || bytes < reported / 2
            }
        }
    }

    #[inline(never)]
    fn report_registered(
        &mut self,
        budget: &MemoryBudget,
        held: HeldMemory,
        cx: &Context<'_>,
        wake: impl FnMut(Waker),
    ) -> bool {
        if held == HeldMemory::default() {
            self.unregister();
            return true;
        }
        let entry = self.0.get_or_insert_with(|| budget.0.register(cx.waker()));
        {
            // Before `is_ending` is read: a mark that comes later wakes this waker.
            let mut waker = entry.waker.lock().unwrap_or_else(PoisonError::into_inner);
            if !waker.will_wake(cx.waker()) {
                waker.clone_from(cx.waker());
            }
        }
        let is_ending = entry.is_ending.load(Ordering::Acquire);
        let used = entry.set_held(held);
        let may_go_on = !is_ending && (used <= entry.budget.limit || entry.budget.enforce(entry, wake));
        may_go_on || entry.is_told.swap(true, Ordering::Relaxed)
    }

    fn unregister(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.set_held(HeldMemory::default());
            entry.budget.remove(&entry);
        }
    }
}

impl Drop for MemoryUsage {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("held", &self.held()).finish_non_exhaustive()
    }
}

impl Entry {
    fn held(&self) -> HeldMemory {
        let (own, shared) = (self.own.load(Ordering::Relaxed), self.shared.load(Ordering::Relaxed));
        HeldMemory { own, shared }
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Returns the bytes that the whole process uses. Called only by the owner of the entry.
    fn set_held(&self, held: HeldMemory) -> usize {
        self.shared.store(held.shared, Ordering::Relaxed);
        let before = self.own.swap(held.own, Ordering::Relaxed);
        let used = &self.budget.used;
        if held.own >= before {
            used.fetch_add(held.own - before, Ordering::Relaxed) + (held.own - before)
        } else {
            used.fetch_sub(before - held.own, Ordering::Relaxed) - (before - held.own)
        }
    }

    /// Tells the connection to end, and returns its waker.
    fn end(&self) -> Waker {
        self.is_ending.store(true, Ordering::Release);
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn registered(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection to the table.
    fn register(self: &Arc<Self>, waker: &Waker) -> Arc<Entry> {
        let mut registered = self.registered();
        let entry = Arc::new(Entry {
            budget: Arc::clone(self),
            own: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
            position: AtomicUsize::new(registered.len()),
            is_ending: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            waker: Mutex::new(waker.clone()),
        });
        registered.push(Arc::clone(&entry));
        entry
    }

    fn remove(&self, entry: &Entry) {
        let mut registered = self.registered();
        let position = entry.position.load(Ordering::Relaxed);
        let _removed = registered.swap_remove(position);
        if let Some(moved) = registered.get(position) {
            moved.position.store(position, Ordering::Relaxed);
        }
        if registered.capacity() > 64 && registered.len() < registered.capacity() / 4 {
            let capacity = registered.len() * 2;
            registered.shrink_to(capacity);
        }
    }

    /// Called by a connection whose report exceeds the limit. Ends the largest connections. Returns whether the caller
    /// may go on.
    #[cold]
    fn enforce(&self, caller: &Arc<Entry>, wake: impl FnMut(Waker)) -> bool {
        let mut wakers = Vec::new();
        let (mut connections, mut largest) = (0_usize, 0);
        {
            let registered = self.registered();
            let used = self.used.load(Ordering::Relaxed);
            let shared = self.shared.load(Ordering::Relaxed).min(used);
            // The bytes of connections that have been told to end will be free soon.
            let (ending, staying): (Vec<_>, Vec<_>) = registered
                .iter()
                .map(|entry| (entry.held(), entry))
                .partition(|(_, entry)| entry.is_ending());
            let mut remaining = Remaining {
                own: (used - shared).saturating_sub(ending.iter().map(|(held, _)| held.own).sum()),
                shared,
                held_shared: staying.iter().map(|(held, _)| held.shared).sum(),
            };
            if remaining.bytes() > self.limit {
                let weight =
                    |held: HeldMemory| held.own as u128 * used as u128 + held.shared as u128 * shared as u128;
                let mut by_weight: Vec<_> =
                    staying.into_iter().map(|(held, entry)| (weight(held), held, entry)).collect();
                // Of two that are equal, the caller ends: it frees its memory at once.
                by_weight.sort_unstable_by_key(|(weight, _, entry)| {
                    (Reverse(*weight), !Arc::ptr_eq(entry, caller))
                });
                largest = by_weight.first().map_or(0, |(_, held, _)| held.total());
                for (_, held, entry) in by_weight {
                    if remaining.bytes() <= self.limit - self.limit / FREED_DIVISOR {
                        break;
                    }
                    remaining.subtract(held);
                    connections += 1;
                    let waker = entry.end();
                    // The caller learns it from the result.
                    if !Arc::ptr_eq(entry, caller) {
                        wakers.push(waker);
                    }
                }
            }
            // If the others do not end quickly enough, the caller must, so that the excess is limited. The caller did not
            // make shared messages, so they do not count here.
            if used - shared > self.limit.saturating_add(self.limit / 4) && !caller.is_ending() {
                largest = largest.max(caller.held().total());
                connections += 1;
                let _ = caller.end();
            }
        }
        if connections > 0 {
            metrics::add(metrics::Series::MemoryBudgetVictims, connections);
            self.log.try_log(|suppressed| {
                tracing::warn!(
                    memory_budget = self.limit,
                    connections,
                    largest,
                    suppressed,
                    "closing the connections that hold the most memory: `memory_budget` is exceeded"
                );
            });
        }
        wakers.into_iter().for_each(wake);
        !caller.is_ending()
    }
}

/// What is left if some connections end.
struct Remaining {
    own: usize,
    /// All shared bytes.
    shared: usize,
    /// The sum of the shared bytes that the other connections hold. Several may hold the same message.
    held_shared: usize,
}

impl Remaining {
    fn bytes(&self) -> usize {
        self.own + self.shared.min(self.held_shared)
    }

    fn subtract(&mut self, held: HeldMemory) {
        self.own = self.own.saturating_sub(held.own);
        self.held_shared = self.held_shared.saturating_sub(held.shared);
    }
}

#[cfg(test)]
mod tests;
