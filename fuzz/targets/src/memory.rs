//! What a run costs in memory.

/// The most bytes that `run` held at one time, and those that it left behind. A buffer that grows counts twice while it
/// moves.
pub(crate) fn peak_and_rest(run: impl FnOnce()) -> (usize, usize) {
    let info = allocation_counter::measure(run);
    (usize::try_from(info.bytes_max).unwrap_or(usize::MAX), usize::try_from(info.bytes_current).unwrap_or(0))
}

/// The most bytes that `run` held at one time.
pub(crate) fn peak(run: impl FnOnce()) -> usize {
    peak_and_rest(run).0
}
