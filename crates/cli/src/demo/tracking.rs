//! The server of the page `/tracking/`: the namespace `/tracking`.
//!
//! The simulation is in `tracking/simulation.rs`, and knows nothing of sockets. Here are the events:
//!
//! - All pages get the positions of all couriers twice per second.
//! - The pages that follow an order are in a room of that order, and get the position of its courier ten times per
//!   second.
//! - Positions are sent with `keep_latest`. A page that reads slowly skips positions, and no queue grows.
//! - Changes of orders are sent with `emit`. A page that was away for less than a minute gets them afterwards, because
//!   connection state recovery is enabled for this namespace. It is also back in its room then.

mod orders;
mod route;
mod simulation;
mod town;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidewire::server::{Builder, Data, Extension, HandlerError, Namespace, Reply, Server, Socket, State};

use orders::{Destination, Order};
use route::Point;
use simulation::{COURIERS, Simulation};
use town::Town;

use super::connection_limits::ConnectionLimits;
use super::rate_limit::TOO_FAST;

/// Decides what the town looks like.
const SEED: u64 = 26;
static TOWN: LazyLock<Town> = LazyLock::new(|| Town::new(SEED));
/// The time between two positions of a courier that is followed.
const STEP: Duration = Duration::from_millis(100);
/// The number of steps between two overviews.
const STEPS_PER_OVERVIEW: u64 = 5;

const NAMES: [&str; COURIERS] =
    ["Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jun"];

/// What all handlers share.
struct Tracking {
    simulation: Mutex<Simulation>,
    /// Whether the task runs that moves the couriers.
    is_running: Mutex<bool>,
    /// Differs after a restart of the server. The page then knows that an order of the same number is another one.
    server_run_id: String,
}

impl Tracking {
    fn new() -> Self {
        let started = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            simulation: Mutex::new(Simulation::new(&TOWN, SEED)),
            is_running: Mutex::new(false),
            server_run_id: format!("{:x}", started.as_nanos()),
        }
    }

    fn simulation(&self) -> MutexGuard<'_, Simulation> {
        self.simulation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_running(&self) -> MutexGuard<'_, bool> {
        self.is_running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handlers share the simulation.
pub(super) fn configure(builder: Builder) -> Builder {
    builder.state(Tracking::new())
}

/// Registers the handlers.
pub(super) fn register(io: &Server) {
    let tracking = io.of("/tracking");
    tracking.on_connection(connected);
    tracking.event_middleware(limit_rate);
    tracking.on("watch", watch);
    tracking.on("follow", follow);
    tracking.on("order", order);
    // The pages measure the round trip.
    tracking.on("round-trip", async || {});
}

/// Moves the couriers while somebody watches.
async fn connected(socket: Socket, tracking: State<Tracking>) {
    let mut is_running = tracking.is_running();
    if !*is_running {
        *is_running = true;
        tokio::spawn(run(socket.namespace().clone(), tracking.clone()));
    }
}

/// Refuses events of a connection that sends too many.
async fn limit_rate(Extension(limits): Extension<ConnectionLimits>) -> Result<(), HandlerError> {
    if limits.tracking.try_take(Instant::now()) { Ok(()) } else { Err(HandlerError::new(TOO_FAST)) }
}

/// What a page needs to begin.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    server_run_id: String,
    town: &'static Town,
    couriers: [&'static str; COURIERS],
    orders: Vec<Order>,
}

async fn watch(tracking: State<Tracking>) -> Reply<Snapshot> {
    let orders = tracking.simulation().orders().cloned().collect();
    Reply(Snapshot { server_run_id: tracking.server_run_id.clone(), town: &TOWN, couriers: NAMES, orders })
}

/// Follows an order, and no other one. `null` follows none.
async fn follow(
    socket: Socket,
    tracking: State<Tracking>,
    Data(id): Data<Option<u32>>,
) -> Result<serde_json::Value, HandlerError> {
    for room in socket.rooms() {
        if room.starts_with("order:") {
            socket.leave(&room);
        }
    }
    let Some(id) = id else { return Ok(serde_json::Value::Null) };
    let simulation = tracking.simulation();
    if simulation.order(id).is_none() {
        return Err(HandlerError::new(format!("Order {id} is not known, or was delivered a while ago.")));
    }
    // The socket joins while the simulation is locked: it misses no route that is sent to the room.
    socket.join(room_of(id));
    serde_json::to_value(simulation.route(id)).map_err(HandlerError::internal)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected { place } or { x, y }")]
enum To {
    Place { place: usize },
    Point(Point),
}

/// Places an order. The acknowledgement is its number.
async fn order(
    Extension(limits): Extension<ConnectionLimits>,
    namespace: Namespace,
    socket: Socket,
    tracking: State<Tracking>,
    Data(to): Data<To>,
) -> Result<u32, HandlerError> {
    let to = match to {
        To::Place { place } => Destination::Place(place),
        To::Point(point) => Destination::Point(point),
    };
    let mut simulation = tracking.simulation();
    let visitor = limits.visitor.get_or_init(|| socket.id().to_string());
    let placed = simulation.place(Some(visitor), to);
    let id = placed.map_err(|refusal| HandlerError::new(refusal.message()))?;
    namespace.emit("order", simulation.order(id));
    Ok(id)
}

fn room_of(order: u32) -> String {
    format!("order:{order}")
}

/// All positions: for each courier the corners that it has passed since the last overview, and where it is.
#[derive(Serialize)]
struct Overview {
    /// Counts the overviews. A page sees by it how many it has skipped.
    number: u64,
    couriers: Vec<Vec<Point>>,
}

/// Moves the couriers until nobody watches.
async fn run(namespace: Namespace, tracking: State<Tracking>) {
    let mut clock = tokio::time::interval(STEP);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for step in 0_u64.. {
        clock.tick().await;
        if step.is_multiple_of(STEPS_PER_OVERVIEW) {
            // A socket is in this list before its handler `connected` runs: either it is seen here, or the handler
            // starts this task again.
            let mut is_running = tracking.is_running();
            if namespace.sockets().is_empty() {
                *is_running = false;
                return;
            }
        }
        advance(&namespace, &mut tracking.simulation(), step);
    }
}

fn advance(namespace: &Namespace, simulation: &mut Simulation, step: u64) {
    let changes = simulation.advance(STEP.as_secs_f64());
    for id in changes.changed {
        namespace.emit("order", simulation.order(id));
        if let Some(route) = simulation.route(id) {
            namespace.to(room_of(id)).emit("route", route);
        }
    }
    for id in changes.removed {
        namespace.emit("order-removed", id);
        namespace.to(room_of(id)).sockets_leave(room_of(id));
    }
    for progress in simulation.progress() {
        // A socket follows one order, so one key is enough.
        namespace.to(room_of(progress.order)).keep_latest("progress").emit("progress", progress);
    }
    if step.is_multiple_of(STEPS_PER_OVERVIEW) {
        let overview = Overview { number: step / STEPS_PER_OVERVIEW, couriers: simulation.overview() };
        namespace.keep_latest("overview").emit("overview", overview);
    }
}
