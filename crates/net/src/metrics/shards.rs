//! The numbers of each thread. Only the thread itself changes them, so it needs no atomic read-modify-write, and no
//! other thread waits for the cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::series::{COUNT, Series};

/// The numbers of one thread. When the thread ends, another thread continues with them, so that no count is lost and
/// the memory is that of the threads that live at the same time.
#[repr(align(128))]
pub(super) struct Shard([AtomicU64; COUNT]);

#[derive(Default)]
struct Shards {
    all: Vec<&'static Shard>,
    /// The shards of threads that have ended.
    free: Vec<&'static Shard>,
}

static SHARDS: Mutex<Shards> = Mutex::new(Shards { all: Vec::new(), free: Vec::new() });

thread_local! {
    /// Has no destructor, so that an access is a plain load.
    static SHARD: Cell<Option<&'static Shard>> = const { Cell::new(None) };
    static RETURN_AT_EXIT: Cell<Option<ReturnShard>> = const { Cell::new(None) };
}

/// Returns the shard when its thread ends.
struct ReturnShard(&'static Shard);

impl Drop for ReturnShard {
    fn drop(&mut self) {
        SHARD.set(None);
        shards().free.push(self.0);
    }
}

impl Shard {
    /// Called only by the thread that has the shard.
    #[inline]
    pub(super) fn add(&self, series: Series, number: u64) {
        let value = &self.0[series as usize];
        value.store(value.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
    }
}

/// Returns the shard of the thread. `None` if the thread is ending.
#[inline]
pub(super) fn current() -> Option<&'static Shard> {
    let shard = SHARD.get();
    if shard.is_some() { shard } else { first() }
}

/// Gets a shard for the thread.
#[cold]
fn first() -> Option<&'static Shard> {
    RETURN_AT_EXIT
        .try_with(|at_exit| {
            let mut shards = shards();
            let shard = shards.free.pop().unwrap_or_else(|| {
                let shard: &'static Shard = Box::leak(Box::new(Shard([const { AtomicU64::new(0) }; COUNT])));
                shards.all.push(shard);
                shard
            });
            at_exit.set(Some(ReturnShard(shard)));
            SHARD.set(Some(shard));
            shard
        })
        .ok()
}

/// Returns the sums over all threads.
pub(super) fn sums() -> [u64; COUNT] {
    let mut sums = [0_u64; COUNT];
    for shard in &shards().all {
        for (sum, value) in sums.iter_mut().zip(&shard.0) {
            *sum = sum.wrapping_add(value.load(Ordering::Relaxed));
        }
    }
    sums
}

fn shards() -> std::sync::MutexGuard<'static, Shards> {
    SHARDS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(series: Series, number: u64) {
        current().expect("the thread is not ending").add(series, number);
    }

    #[test]
    fn counts_of_threads_that_have_ended_are_kept() {
        let series = Series::AcksTimedOut;
        let before = sums()[series as usize];
        for _ in 0..3 {
            std::thread::spawn(move || add(series, 2)).join().expect("the thread counts");
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| add(series, 1));
            }
        });
        assert_eq!(sums()[series as usize] - before, 10);
    }

    #[test]
    fn a_gauge_that_one_thread_raises_and_another_lowers_is_zero() {
        let series = Series::RecoveryRefusedOther;
        let before = sums()[series as usize];
        add(series, 7);
        std::thread::spawn(move || add(series, 7_u64.wrapping_neg())).join().expect("the thread counts");
        assert_eq!(sums()[series as usize], before);
    }
}
