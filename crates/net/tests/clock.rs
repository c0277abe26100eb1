//! Tests the clock of the drivers in a process of its own, because the first call in a process sets the origin.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

#[test]
fn time_passes_on_a_paused_clock_that_lags_behind_the_clock_of_the_first_caller() {
    let (first, other) = (paused(), paused());
    first.block_on(async {
        tokio::time::advance(Duration::from_secs(600)).await;
        let _ = tidewire_net::now();
    });
    other.block_on(async {
        let begin = tidewire_net::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(tidewire_net::now().saturating_since(begin), Duration::from_secs(1));
    });
}
