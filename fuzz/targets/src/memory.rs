//! Measures the memory of a run.

/// Returns the most bytes that `run` held at one time, and the bytes that it left allocated. A buffer that grows counts
/// twice while it moves.
pub(crate) fn peak_and_rest(run: impl FnOnce()) -> (usize, usize) {
    let info = allocation_counter::measure(run);
    (usize::try_from(info.bytes_max).unwrap_or(usize::MAX), usize::try_from(info.bytes_current).unwrap_or(0))
}

/// Returns the most bytes that `run` held at one time.
pub(crate) fn peak(run: impl FnOnce()) -> usize {
    peak_and_rest(run).0
}
