//! Couriers who carry orders through the town. It has no clock: the caller advances it.

use std::collections::BTreeMap;

use super::super::random::Random;
use super::orders::{Destination, Order, OrderRoute, OrderState, Progress, Refusal};
use super::route::{Point, Route};
use super::town::{SIZE, Stop, Town};

/// The number of couriers.
pub(super) const COURIERS: usize = 10;
/// The number of orders that the town places by itself.
const OWN_ORDERS: usize = 6;
/// The number of orders of visitors that may be open at the same time.
pub(super) const MAX_ORDERS: usize = 30;
/// The number of open orders of one visitor.
pub(super) const MAX_ORDERS_PER_VISITOR: usize = 3;
/// Units of the map per second.
const SPEED: f64 = 30.0;
/// How long a courier waits in the kitchen, in seconds.
const LOADING: f64 = 3.0;
/// How long a delivered order stays in the list, in seconds.
const SHOWN_AFTER_DELIVERY: f64 = 12.0;

/// What `advance` has changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Orders that are new or have another state.
    pub(super) changed: Vec<u32>,
    /// Orders that are no longer known.
    pub(super) removed: Vec<u32>,
}

#[derive(Debug)]
struct Courier {
    activity: Activity,
    /// The corners that the courier has passed since the last overview.
    passed: Vec<Point>,
}

#[derive(Debug)]
enum Activity {
    Idle(Stop),
    Trip(Trip),
}

#[derive(Debug)]
struct Trip {
    order: u32,
    route: Route,
    /// The distance of the kitchen from the start.
    kitchen: f64,
    travelled: f64,
    /// The seconds that are left in the kitchen.
    loading: f64,
}

#[derive(Debug)]
pub(super) struct Simulation {
    town: &'static Town,
    couriers: Vec<Courier>,
    orders: BTreeMap<u32, Order>,
    /// The delivered orders, and how long each stays in the list.
    delivered: BTreeMap<u32, f64>,
    last_order: u32,
    random: Random,
}

impl Simulation {
    pub(super) fn new(town: &'static Town, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let couriers = (0..COURIERS).map(|_| {
            let at = Point::new(random.between(0.0, SIZE.x), random.between(0.0, SIZE.y));
            Courier { activity: Activity::Idle(town.nearest(at)), passed: Vec::new() }
        });
        let couriers = couriers.collect();
        let (orders, delivered) = (BTreeMap::new(), BTreeMap::new());
        Self { town, couriers, orders, delivered, last_order: 0, random }
    }

    pub(super) fn order(&self, id: u32) -> Option<&Order> {
        self.orders.get(&id)
    }

    pub(super) fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values()
    }

    /// Places an order and returns its number.
    pub(super) fn place(&mut self, visitor: Option<&str>, to: Destination) -> Result<u32, Refusal> {
        let (name, point) = match to {
            Destination::Place(index) => {
                let place = self.town.places().get(index).ok_or(Refusal::UnknownPlace)?;
                (place.name.to_owned(), place.at)
            }
            Destination::Point(Point { x, y })
                if (0.0..=SIZE.x).contains(&x) && (0.0..=SIZE.y).contains(&y) =>
            {
                ("a pin on the map".to_owned(), Point::new(x, y))
            }
            Destination::Point(_) => return Err(Refusal::OutsideOfTown),
        };
        if let Some(visitor) = visitor {
            let is_own = |order: &&Order| order.visitor.as_deref() == Some(visitor);
            if self.open().filter(is_own).count() >= MAX_ORDERS_PER_VISITOR {
                return Err(Refusal::TooManyOrders);
            }
            if self.open().filter(|order| order.visitor.is_some()).count() >= MAX_ORDERS {
                return Err(Refusal::KitchensAreFull);
            }
        }
        let kitchen = self.random.below(self.town.kitchens().len());
        let kitchen = &self.town.kitchens()[kitchen];
        let destination = self.town.nearest(point);
        self.last_order += 1;
        let order = Order {
            id: self.last_order,
            from: kitchen.name,
            to: name,
            at: self.town.point(destination),
            state: OrderState::Waiting,
            courier: None,
            kitchen: self.town.nearest(kitchen.at),
            destination,
            visitor: visitor.map(str::to_owned),
        };
        self.orders.insert(self.last_order, order);
        Ok(self.last_order)
    }

    /// Moves everything on by this number of seconds.
    pub(super) fn advance(&mut self, seconds: f64) -> Changes {
        let mut changes = Changes::default();
        if self.open().filter(|order| order.visitor.is_none()).count() < OWN_ORDERS {
            let place = self.random.below(self.town.places().len());
            // The town's own orders have no limit but the one above.
            changes.changed.extend(self.place(None, Destination::Place(place)));
        }
        self.assign(&mut changes);
        for courier in &mut self.couriers {
            let Activity::Trip(trip) = &mut courier.activity else { continue };
            let Some(order) = self.orders.get_mut(&trip.order) else { continue };
            let state = trip.advance(seconds, &mut courier.passed);
            if state != order.state {
                order.state = state;
                changes.changed.push(order.id);
            }
            if state == OrderState::Delivered {
                self.delivered.insert(order.id, SHOWN_AFTER_DELIVERY);
                courier.activity = Activity::Idle(order.destination);
            }
        }
        self.delivered.retain(|id, left| {
            *left -= seconds;
            if *left <= 0.0 {
                self.orders.remove(id);
                changes.removed.push(*id);
            }
            *left > 0.0
        });
        changes
    }

    /// Returns where each courier is: the corners that it has passed since the last call, and its place.
    pub(super) fn overview(&mut self) -> Vec<Vec<Point>> {
        let town = self.town;
        let path = |courier: &mut Courier| {
            let mut path = std::mem::take(&mut courier.passed);
            path.push(courier.at(town));
            path
        };
        self.couriers.iter_mut().map(path).collect()
    }

    /// Returns how far the orders are that are on their way.
    pub(super) fn progress(&self) -> impl Iterator<Item = Progress> {
        self.trips().map(|(courier, trip)| Progress {
            order: trip.order,
            courier,
            at: trip.route.at(trip.travelled),
            progress: (trip.travelled / trip.route.length().max(1.0) * 1000.0).round() / 1000.0,
            arrives_in: ((trip.route.length() - trip.travelled) / SPEED + trip.loading).round(),
        })
    }

    /// Returns the route of an order that has a courier.
    pub(super) fn route(&self, order: u32) -> Option<OrderRoute<'_>> {
        let (_, trip) = self.trips().find(|(_, trip)| trip.order == order)?;
        Some(OrderRoute { order, points: trip.route.points() })
    }

    fn trips(&self) -> impl Iterator<Item = (usize, &Trip)> {
        self.couriers.iter().enumerate().filter_map(|(index, courier)| match &courier.activity {
            Activity::Trip(trip) => Some((index, trip)),
            Activity::Idle(_) => None,
        })
    }

    /// The orders that are not delivered.
    fn open(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().filter(|order| order.state != OrderState::Delivered)
    }

    /// Gives each waiting order to the free courier who is closest to its kitchen. Orders of visitors come first.
    fn assign(&mut self, changes: &mut Changes) {
        let mut waiting: Vec<u32> =
            self.open().filter(|order| order.courier.is_none()).map(|order| order.id).collect();
        waiting.sort_by_key(|id| self.orders[id].visitor.is_none());
        for id in waiting {
            let Some(order) = self.orders.get_mut(&id) else { continue };
            let kitchen = self.town.point(order.kitchen);
            let idle =
                self.couriers.iter().enumerate().filter_map(|(index, courier)| match courier.activity {
                    Activity::Idle(stop) => Some((index, stop)),
                    Activity::Trip(_) => None,
                });
            let distance = |stop: Stop| self.town.point(stop).distance(kitchen);
            let Some((index, stop)) = idle.min_by(|(_, a), (_, b)| distance(*a).total_cmp(&distance(*b)))
            else {
                return;
            };
            order.state = OrderState::Collecting;
            order.courier = Some(index);
            let mut route = self.town.route(stop, order.kitchen);
            let kitchen = route.length();
            route.extend(self.town.route(order.kitchen, order.destination).points().iter().copied());
            let trip = Trip { order: id, route, kitchen, travelled: 0.0, loading: LOADING };
            self.couriers[index].activity = Activity::Trip(trip);
            if !changes.changed.contains(&id) {
                changes.changed.push(id);
            }
        }
    }
}

impl Courier {
    fn at(&self, town: &Town) -> Point {
        match &self.activity {
            Activity::Idle(stop) => town.point(*stop),
            Activity::Trip(trip) => trip.route.at(trip.travelled),
        }
    }
}

impl Trip {
    fn advance(&mut self, seconds: f64, passed: &mut Vec<Point>) -> OrderState {
        let before = self.travelled;
        if before < self.kitchen {
            self.travelled = (before + seconds * SPEED).min(self.kitchen);
        } else if self.loading > 0.0 {
            self.loading = (self.loading - seconds).max(0.0);
        } else {
            self.travelled = (before + seconds * SPEED).min(self.route.length());
        }
        passed.extend_from_slice(self.route.corners(before, self.travelled));
        match () {
            () if self.travelled < self.kitchen || self.loading > 0.0 => OrderState::Collecting,
            () if self.travelled < self.route.length() => OrderState::Delivering,
            () => OrderState::Delivered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulation() -> Simulation {
        Simulation::new(&super::super::TOWN, super::super::SEED)
    }

    /// Advances by tenths of a second until `done`, for ten minutes at most.
    fn advance_until(simulation: &mut Simulation, mut done: impl FnMut(&Simulation, &Changes) -> bool) {
        for _ in 0..6_000 {
            let changes = simulation.advance(0.1);
            if done(simulation, &changes) {
                return;
            }
        }
        panic!("ten minutes were not enough");
    }

    #[test]
    fn an_order_is_collected_delivered_and_forgotten() {
        let mut simulation = simulation();
        let id = simulation.place(Some("ann"), Destination::Place(3)).expect("the first order");
        let mut states = Vec::new();
        advance_until(&mut simulation, |simulation, changes| {
            if changes.changed.contains(&id) {
                states.push(simulation.order(id).expect("it was changed").state);
            }
            changes.removed.contains(&id)
        });
        assert_eq!(states, [OrderState::Collecting, OrderState::Delivering, OrderState::Delivered]);
        assert!(simulation.order(id).is_none());
    }

    #[test]
    fn couriers_move_along_streets_and_no_faster_than_their_speed() {
        let mut simulation = simulation();
        let mut before = simulation.overview();
        for _ in 0..3_000 {
            simulation.advance(0.1);
            let now = simulation.overview();
            for (before, path) in before.iter().zip(&now) {
                let mut way = Route::new([before[before.len() - 1]]);
                way.extend(path.iter().copied());
                assert!(way.length() <= SPEED * 0.1 + 1e-6, "{way:?}");
                let at = path[path.len() - 1];
                let street = simulation.town.point(simulation.town.nearest(at));
                assert!(at.distance(street) < 1e-6, "{at:?} is not in a street");
            }
            before = now;
        }
    }

    #[test]
    fn a_visitor_has_a_limited_number_of_open_orders() {
        let mut simulation = simulation();
        for _ in 0..MAX_ORDERS_PER_VISITOR {
            simulation.place(Some("ann"), Destination::Place(0)).expect("within the limit");
        }
        assert_eq!(simulation.place(Some("ann"), Destination::Place(0)), Err(Refusal::TooManyOrders));
        assert!(simulation.place(Some("bob"), Destination::Place(0)).is_ok());
        advance_until(&mut simulation, |simulation, _| !simulation.delivered.is_empty());
        advance_until(&mut simulation, |simulation, _| {
            simulation.open().filter(|order| order.visitor.as_deref() == Some("ann")).count() < 3
        });
        assert!(simulation.place(Some("ann"), Destination::Place(0)).is_ok());
    }

    #[test]
    fn all_visitors_together_have_a_limited_number_of_open_orders() {
        let mut simulation = simulation();
        for visitor in 0..MAX_ORDERS {
            simulation.place(Some(&visitor.to_string()), Destination::Place(0)).expect("within the limit");
        }
        assert_eq!(simulation.place(Some("late"), Destination::Place(0)), Err(Refusal::KitchensAreFull));
        // The list stays short however long it runs.
        for _ in 0..10_000 {
            simulation.advance(0.1);
            assert!(simulation.orders().count() <= MAX_ORDERS + OWN_ORDERS + COURIERS);
        }
    }

    #[test]
    fn what_is_no_place_of_the_town_is_refused() {
        let mut simulation = simulation();
        let places = simulation.town.places().len();
        assert_eq!(simulation.place(Some("ann"), Destination::Place(places)), Err(Refusal::UnknownPlace));
        for (x, y) in [(-1.0, 5.0), (5.0, 1e300), (f64::NAN, 5.0)] {
            let outside = Destination::Point(Point::new(x, y));
            assert_eq!(simulation.place(Some("ann"), outside), Err(Refusal::OutsideOfTown));
        }
        assert_eq!(simulation.orders().count(), 0);
    }
}
