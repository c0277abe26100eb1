//! What one turn of a connection may cost.

use std::cell::Cell;

/// The cost of one turn, in bytes of received messages. A turn of this cost takes about a millisecond.
const COST_PER_TURN: usize = 256 * 1024;

/// The cost of a delivery to another connection: to queue an event, and to wake the task of that connection, which then
/// writes it. A turn can make 4,096 deliveries.
const COST_OF_DELIVERY: usize = 64;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(COST_PER_TURN) };
}

/// What the turn of a connection that runs on this thread may still cost. When nothing is left, the connection handles no
/// further message before the tasks of other connections have run.
///
/// A message can cost far more than its length. An event of twenty bytes to a room with 5,000 members takes as long as
/// the reception of 300 KiB. A limit on the number of messages alone would let one connection hold its thread for a
/// second.
#[derive(Debug)]
pub struct TurnBudget;

impl TurnBudget {
    /// Begins a turn.
    #[inline]
    pub fn start() {
        LEFT.set(COST_PER_TURN);
    }

    /// Charges the turn for a received message.
    #[inline]
    pub fn charge_received(bytes: usize) {
        LEFT.set(LEFT.get().saturating_sub(bytes));
    }

    /// Charges the turn for deliveries to other connections. Outside of a turn, this has no effect.
    #[inline]
    pub fn charge_deliveries(deliveries: usize) {
        Self::charge_received(deliveries.saturating_mul(COST_OF_DELIVERY));
    }

    /// Returns whether the turn has cost what it may.
    #[inline]
    #[must_use]
    pub fn is_spent() -> bool {
        LEFT.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_after_its_bytes_or_its_deliveries_and_the_next_one_begins_anew() {
        TurnBudget::start();
        TurnBudget::charge_received(COST_PER_TURN - 1);
        assert!(!TurnBudget::is_spent());
        TurnBudget::charge_received(1);
        assert!(TurnBudget::is_spent());

        TurnBudget::start();
        TurnBudget::charge_deliveries(4_095);
        assert!(!TurnBudget::is_spent());
        TurnBudget::charge_deliveries(usize::MAX);
        assert!(TurnBudget::is_spent());

        TurnBudget::start();
        assert!(!TurnBudget::is_spent());
    }
}
