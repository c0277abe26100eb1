//! Orders, and why they are refused.

use serde::Serialize;

use super::route::Point;
use super::town::Stop;

/// Where an order is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Destination {
    /// An index in the list of named places.
    Place(usize),
    /// Any point of the map: the order goes to the nearest street.
    Point(Point),
}

/// Why an order is refused. Visitors read this.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Refusal {
    UnknownPlace,
    OutsideOfTown,
    TooManyOrders,
    KitchensAreFull,
}

impl Refusal {
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::UnknownPlace => "The town has no such place.",
            Self::OutsideOfTown => "This point is outside of the town.",
            Self::TooManyOrders => "You have three open orders. Please wait until one is delivered.",
            Self::KitchensAreFull => "The kitchens are full. Please try again in a moment.",
        }
    }
}

/// An order, as the page gets it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Order {
    pub(super) id: u32,
    pub(super) from: &'static str,
    pub(super) to: String,
    pub(super) at: Point,
    pub(super) state: OrderState,
    /// The index of the courier who has the order.
    pub(super) courier: Option<usize>,
    #[serde(skip)]
    pub(super) kitchen: Stop,
    #[serde(skip)]
    pub(super) destination: Stop,
    /// The visitor who has placed the order.
    #[serde(skip)]
    pub(super) visitor: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OrderState {
    /// No courier is free.
    Waiting,
    /// A courier is on the way to the kitchen, or waits there.
    Collecting,
    /// A courier is on the way to the destination.
    Delivering,
    Delivered,
}

/// How far the courier of an order is. The page gets it several times per second for the order that it follows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress {
    pub(super) order: u32,
    pub(super) courier: usize,
    pub(super) at: Point,
    /// From 0 to 1.
    pub(super) progress: f64,
    /// Seconds until the arrival.
    pub(super) arrives_in: f64,
}

/// The whole route of an order: from where its courier was, by the kitchen, to the destination.
#[derive(Debug, Serialize)]
pub(super) struct OrderRoute<'a> {
    pub(super) order: u32,
    pub(super) points: &'a [Point],
}
