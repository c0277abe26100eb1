//! A limit on the memory that all peers together can make a process use.
//!
//! Hot path: a connection reports after each turn how many bytes it holds for its peer. A report below
//! [`REGISTRATION_THRESHOLD`] costs two compares.

mod memory_limit;

use std::cmp::Reverse;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use crate::log_rate_limit::LogRateLimit;

/// A connection counts from its first report of at least this many bytes. They are about as many as a connection costs
/// before it becomes a WebSocket, and `max_connections` limits them.
const REGISTRATION_THRESHOLD: usize = 16 * 1024;

/// When the budget is exceeded, connections end until one part in so many of it is free. Each search for the largest ones then
/// pays for many reports, however small the connections are.
const FREED_DIVISOR: usize = 16;

/// What a peer is told whose connection ends because of the [`MemoryBudget`].
pub const MEMORY_BUDGET_EXCEEDED: &str = "memory budget exceeded";

/// A limit on the bytes that all peers together can make the process hold: unfinished messages and request bodies,
/// messages that wait for a handler or until the peer reads them, and the request heads that sessions keep. A handle;
/// clones share the limit.
///
/// When the limit is exceeded, the connections that hold the most bytes end, one after the other, until a sixteenth of
/// the limit is free. The log then has a warning. A connection that has never held 16 KiB is neither counted nor ended.
/// One that has held as much counts until it holds nothing.
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
    /// All counted bytes: of the registered connections, and retained ones.
    used: AtomicUsize,
    /// The bytes that sessions keep as long as they live.
    retained: AtomicUsize,
    registered: Mutex<Vec<Arc<Entry>>>,
    log: LogRateLimit,
}

/// A connection that holds many bytes, in the table.
struct Entry {
    shared: Arc<Shared>,
    bytes: AtomicUsize,
    /// The position in `registered`. Changes only under its lock.
    position: AtomicUsize,
    /// The connection must end.
    is_ending: AtomicBool,
    waker: Mutex<Waker>,
}

impl MemoryBudget {
    /// Creates a budget of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Shared {
            limit: bytes,
            used: AtomicUsize::new(0),
            retained: AtomicUsize::new(0),
            registered: Mutex::default(),
            log: LogRateLimit::new(),
        }))
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

/// The part of a [`MemoryBudget`] that one connection uses. Dropping it returns the bytes.
#[derive(Debug, Default)]
pub struct MemoryUsage(Option<Arc<Entry>>);

impl MemoryUsage {
    /// Reports how many bytes the connection holds now. Returns `false` if the connection must end, because the budget
    /// is exceeded and it is among those that hold the most. Its task is woken when this happens later, so it must then
    /// report again.
    ///
    /// If other connections must end, their wakers are passed to `wake`. Wake them after you have released your locks.
    #[inline]
    #[must_use]
    pub fn report(
        &mut self,
        budget: &MemoryBudget,
        bytes: usize,
        cx: &Context<'_>,
        wake: impl FnMut(Waker),
    ) -> bool {
        if bytes < REGISTRATION_THRESHOLD && self.0.is_none() {
            return true;
        }
        self.report_registered(budget, bytes, cx, wake)
    }

    /// Returns whether `bytes` differs enough from the last report that the connection should report again. For callers
    /// that can only ask another task to report.
    #[inline]
    #[must_use]
    pub fn is_outdated(&self, bytes: usize) -> bool {
        match &self.0 {
            None => bytes >= REGISTRATION_THRESHOLD,
            Some(entry) => {
                let reported = entry.bytes.load(Ordering::Relaxed);
                bytes > reported + reported / 2 || bytes < reported / 2
            }
        }
    }

    #[inline(never)]
    fn report_registered(
        &mut self,
        budget: &MemoryBudget,
        bytes: usize,
        cx: &Context<'_>,
        wake: impl FnMut(Waker),
    ) -> bool {
        if bytes == 0 {
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
        if entry.is_ending.load(Ordering::Acquire) {
            return false;
        }
        let used = entry.set_bytes(bytes);
        used <= entry.shared.limit || entry.shared.enforce(entry, wake)
    }

    fn unregister(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.set_bytes(0);
            entry.shared.remove(&entry);
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
        f.debug_struct("Entry").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Returns the bytes that the whole process uses. Called only by the owner of the entry.
    fn set_bytes(&self, bytes: usize) -> usize {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        let used = &self.shared.used;
        if bytes >= before {
            used.fetch_add(bytes - before, Ordering::Relaxed) + (bytes - before)
        } else {
            used.fetch_sub(before - bytes, Ordering::Relaxed) - (before - bytes)
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
            shared: Arc::clone(self),
            bytes: AtomicUsize::new(0),
            position: AtomicUsize::new(registered.len()),
            is_ending: AtomicBool::new(false),
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
            // The bytes of connections that have been told to end will be free soon.
            let ending: usize =
                registered.iter().filter(|entry| entry.is_ending()).map(|entry| entry.bytes()).sum();
            let used = self.used.load(Ordering::Relaxed);
            let mut remaining = used.saturating_sub(ending);
            if remaining > self.limit {
                let mut by_size: Vec<_> = registered
                    .iter()
                    .filter(|entry| !entry.is_ending())
                    .map(|entry| (entry.bytes(), entry))
                    .collect();
                // Of two that are equal, the caller ends: it frees its memory at once.
                by_size.sort_unstable_by_key(|(bytes, entry)| (Reverse(*bytes), !Arc::ptr_eq(entry, caller)));
                largest = by_size.first().map_or(0, |(bytes, _)| *bytes);
                for (bytes, entry) in by_size {
                    if remaining <= self.limit - self.limit / FREED_DIVISOR {
                        break;
                    }
                    remaining = remaining.saturating_sub(bytes);
                    connections += 1;
                    let waker = entry.end();
                    // The caller learns it from the result.
                    if !Arc::ptr_eq(entry, caller) {
                        wakers.push(waker);
                    }
                }
            }
            // If the others do not end quickly enough, the caller must, so that the excess is limited.
            if used > self.limit.saturating_add(self.limit / 4) && !caller.is_ending() {
                largest = largest.max(caller.bytes());
                connections += 1;
                let _ = caller.end();
            }
        }
        if connections > 0 {
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

#[cfg(test)]
mod tests;
