//! Limits what one address may open: sessions, WebSockets.
//!
//! Runs when something is opened and when it ends, never for a message. The number of new sessions in a time is limited
//! with the generic cell rate algorithm, whose state is one point in time. A crate such as `governor` has that as well,
//! but its table grows until somebody sweeps it, and the counts of open sessions need a table of their own anyway.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::request::Parts;
use ws_proto::Time;

use super::client_address::{ClientAddress, ClientNetwork};
use super::limits::{AddressLimitError, AddressLimits};
use super::trusted_proxies::TrustedProxies;
use crate::PeerAddress;
use crate::log_rate_limit::LogRateLimit;
use crate::metrics::{self, Series};

/// The number of locks. With several of them, clients on different threads rarely wait for each other.
const SHARDS: usize = 16;

/// The most addresses that one shard knows, about a million in all shards.
const MAX_NETWORKS_PER_SHARD: usize = 65_536;

/// How often a shard is searched for addresses that have nothing open any more, but opened too much at once before.
/// Only a new session starts the search. A full shard is searched earlier, unless the last search was in vain.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Counts what each address has open.
#[derive(Debug)]
pub struct AddressLimiter {
    limits: AddressLimits,
    table: Arc<Table>,
    max_networks_per_shard: usize,
    /// The name of the field that limits what is open, for the log.
    open_limit: &'static str,
    log: LogRateLimit,
}

impl AddressLimiter {
    /// Creates a limiter that knows no address yet.
    #[must_use]
    pub fn new(limits: AddressLimits) -> Self {
        Self {
            limits,
            table: Arc::default(),
            max_networks_per_shard: MAX_NETWORKS_PER_SHARD,
            open_limit: "max_sessions",
            log: LogRateLimit::new(),
        }
    }

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> &AddressLimits {
        &self.limits
    }

    /// Admits one more session or WebSocket. The request has the extension [`ClientAddress`] if its address is known.
    /// Returns `None` if the address is not limited. `authenticates` says whether somebody will call
    /// [`AddressPermit::set_authenticated`].
    ///
    /// # Errors
    /// Returns an error if a limit is reached. It has been logged.
    pub fn admit(
        &self,
        request: &Parts,
        authenticates: bool,
    ) -> Result<Option<AddressPermit>, AddressLimitError> {
        let Some(address) = request.extensions.get::<ClientAddress>() else { return Ok(None) };
        // A proxy uses one connection for many clients. One of them must not lock out the others.
        let is_direct = PeerAddress::of(&request.extensions)
            .is_some_and(|peer| peer.0.ip().to_canonical() == address.ip());
        let connection = request.extensions.get::<ConnectionSessions>().filter(|_| is_direct);
        self.admit_client(*address, connection, authenticates)
    }

    /// Admits one more WebSocket, which needs no further authentication. The request has the extension [`ClientAddress`] if
    /// its address is known, see [`TrustedProxies::insert_client_address`](crate::TrustedProxies::insert_client_address).
    /// Returns `None` if the address is not limited. The WebSocket counts until the permit is dropped, so its handler
    /// keeps the permit.
    ///
    /// ```
    /// use tidewire_net::{AddressLimiter, AddressLimits, ClientAddress};
    ///
    /// let limiter = AddressLimiter::new(AddressLimits { max_sessions: 1, ..AddressLimits::default() });
    /// let (mut request, ()) = http::Request::new(()).into_parts();
    /// request.extensions.insert(ClientAddress::new("203.0.113.1".parse()?));
    /// let permit = limiter.admit_websocket(&request)?;
    /// let refused = limiter.admit_websocket(&request).expect_err("one WebSocket is open");
    /// assert_eq!(refused.response().status(), 429);
    /// drop(permit);
    /// assert!(limiter.admit_websocket(&request).is_ok());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a limit is reached. It has been logged.
    pub fn admit_websocket(&self, request: &Parts) -> Result<Option<AddressPermit>, AddressLimitError> {
        let permit =
            self.admit(request, false).inspect_err(|_| metrics::count(Series::WebSocketAddressLimit))?;
        if let Some(permit) = &permit {
            permit.set_authenticated();
        }
        Ok(permit)
    }

    fn admit_client(
        &self,
        address: ClientAddress,
        connection: Option<&ConnectionSessions>,
        authenticates: bool,
    ) -> Result<Option<AddressPermit>, AddressLimitError> {
        let Some(ClientNetwork(network)) = self.limits.network_of(address) else { return Ok(None) };
        let admitted = self.try_admit(network, connection, authenticates, crate::now());
        if let Err(error) = admitted {
            self.log.try_log(|suppressed| {
                tracing::warn!(
                    address = %address.ip(),
                    limit = error.limit(self.open_limit),
                    suppressed,
                    "rejected a client: a limit per address is reached. If this is a proxy, name it in `trusted_proxies`"
                );
            });
        }
        admitted
    }

    fn try_admit(
        &self,
        network: u128,
        connection: Option<&ConnectionSessions>,
        authenticates: bool,
        now: Time,
    ) -> Result<Option<AddressPermit>, AddressLimitError> {
        let limits = &self.limits;
        let mut shard = self.table.shard(network);
        if !shard.make_room(network, self.max_networks_per_shard, now) {
            return Ok(None);
        }
        let state = shard.networks.entry(network).or_insert_with(|| AddressState {
            counts: Arc::new(Counts {
                network,
                table: Arc::downgrade(&self.table),
                open: AtomicUsize::new(0),
                unauthenticated: AtomicUsize::new(0),
                retained: AtomicUsize::new(0),
            }),
            theoretical_arrival: now,
        });
        let counts = &state.counts;
        if counts.open.load(Ordering::Relaxed) >= limits.max_sessions.max(1) {
            return Err(AddressLimitError::TooManySessions);
        }
        if authenticates
            && counts.unauthenticated.load(Ordering::Relaxed) >= limits.max_unauthenticated.max(1)
        {
            return Err(AddressLimitError::TooManyUnauthenticated);
        }
        let on_connection = connection.map_or(0, |connection| connection.0.load(Ordering::Relaxed));
        if on_connection >= limits.max_unauthenticated_per_connection.max(1) {
            return Err(AddressLimitError::TooManyOnConnection);
        }
        let interval = limits.interval();
        let ahead = state.theoretical_arrival.saturating_since(now);
        let tolerated = interval.saturating_mul(limits.burst.saturating_sub(1));
        if ahead > tolerated {
            return Err(AddressLimitError::TooManyNewSessions { retry_after: ahead - tolerated });
        }
        state.theoretical_arrival = state.theoretical_arrival.max(now) + interval;
        counts.open.fetch_add(1, Ordering::Relaxed);
        if authenticates {
            counts.unauthenticated.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(ConnectionSessions(sessions)) = connection {
            sessions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Some(AddressPermit {
            counts: Arc::clone(counts),
            connection: connection.cloned(),
            authenticates,
            is_authenticated: AtomicBool::new(false),
            is_released: AtomicBool::new(false),
            retained: AtomicUsize::new(0),
        }))
    }
}

/// Counts the HTTP connections of each address, for a listener.
#[derive(Debug)]
pub(crate) struct ConnectionLimiter {
    limiter: AddressLimiter,
    proxies: TrustedProxies,
}

impl ConnectionLimiter {
    pub(crate) fn new(limits: &AddressLimits, proxies: TrustedProxies) -> Self {
        let limits = AddressLimits {
            max_sessions: limits.max_http_connections,
            new_sessions_per_second: u32::MAX,
            burst: u32::MAX,
            ..limits.clone()
        };
        Self {
            limiter: AddressLimiter { open_limit: "max_http_connections", ..AddressLimiter::new(limits) },
            proxies,
        }
    }

    /// Admits a connection from this address. Returns `None` if the address is not limited.
    pub(crate) fn admit(&self, peer: IpAddr) -> Result<Option<AddressPermit>, AddressLimitError> {
        if self.proxies.contains(peer) {
            return Ok(None);
        }
        self.limiter.admit_client(ClientAddress::new(peer), None, false)
    }
}

/// One session or WebSocket of an address. It counts until it is released or dropped.
#[derive(Debug)]
pub struct AddressPermit {
    counts: Arc<Counts>,
    connection: Option<ConnectionSessions>,
    /// The session counts in `unauthenticated` until it is authenticated.
    authenticates: bool,
    is_authenticated: AtomicBool,
    is_released: AtomicBool,
    /// The bytes that the session keeps.
    retained: AtomicUsize,
}

impl AddressPermit {
    /// Returns the network that the session counts for.
    #[must_use]
    pub fn network(&self) -> ClientNetwork {
        ClientNetwork(self.counts.network)
    }

    /// Records that the client is authenticated. The session then counts only as open.
    pub fn set_authenticated(&self) {
        if self.is_authenticated.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.authenticates {
            self.counts.unauthenticated.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(ConnectionSessions(sessions)) = &self.connection {
            sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts `bytes` that are kept as long as the session lives. Returns `false`, and counts nothing, if all sessions of
    /// the address would then keep more than `max` bytes. Call it at most once, before the session is over.
    #[must_use]
    pub fn try_retain(&self, bytes: usize, max: usize) -> bool {
        let retained = self.counts.retained.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if retained > max {
            self.counts.retained.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.retained.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// Records that the session is over. Further calls do nothing.
    pub fn release(&self) {
        self.release_at(crate::now());
    }

    fn release_at(&self, now: Time) {
        self.set_authenticated();
        if self.is_released.swap(true, Ordering::Relaxed) {
            return;
        }
        let retained = self.retained.swap(0, Ordering::Relaxed);
        self.counts.retained.fetch_sub(retained, Ordering::Relaxed);
        if self.counts.open.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(table) = self.counts.table.upgrade()
        {
            table.shard(self.counts.network).remove_if_idle(self.counts.network, now);
        }
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        self.release();
    }
}

/// The sessions that one HTTP connection has opened and that are not authenticated: an extension of its requests. If a
/// program authenticates nobody, all that are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionSessions(Arc<AtomicUsize>);

/// What one address has open.
#[derive(Debug)]
struct Counts {
    network: u128,
    table: Weak<Table>,
    open: AtomicUsize,
    unauthenticated: AtomicUsize,
    /// The bytes that the sessions of the address keep.
    retained: AtomicUsize,
}

/// The addresses that have something open, and those that have recently opened much.
#[derive(Debug, Default)]
struct Table {
    shards: [Mutex<Shard>; SHARDS],
    /// Keyed, because clients choose their IPv6 networks.
    hasher: RandomState,
}

impl Table {
    fn shard(&self, network: u128) -> MutexGuard<'_, Shard> {
        let shard = self.hasher.hash_one(network) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Shard {
    networks: HashMap<u128, AddressState>,
    last_sweep: Time,
    /// The last search has found little to forget. Until the next regular one, searching for each new address would
    /// cost too much.
    is_crowded: bool,
}

#[derive(Debug)]
struct AddressState {
    counts: Arc<Counts>,
    /// The theoretical arrival time of the generic cell rate algorithm: when the next session would start if the address
    /// opened sessions at its rate without a burst.
    theoretical_arrival: Time,
}

impl AddressState {
    fn is_open(&self) -> bool {
        self.counts.open.load(Ordering::Relaxed) > 0
    }

    /// Returns whether nothing is lost if the address is forgotten.
    fn is_idle(&self, now: Time) -> bool {
        !self.is_open() && self.theoretical_arrival <= now
    }
}

impl Shard {
    /// Forgets idle addresses from time to time. Returns whether there is room for this one.
    fn make_room(&mut self, network: u128, max_networks: usize, now: Time) -> bool {
        // If more places are free after a search, so many new addresses must come before the next one that it is cheap.
        let is_crowded = |networks: usize| networks >= max_networks - max_networks / 16;
        let is_full = self.networks.len() >= max_networks && !self.networks.contains_key(&network);
        if now.saturating_since(self.last_sweep) >= SWEEP_INTERVAL || (is_full && !self.is_crowded) {
            self.last_sweep = now;
            self.networks.retain(|_, state| !state.is_idle(now));
            if is_full && is_crowded(self.networks.len()) {
                // Then the rate of addresses without open sessions is forgotten.
                self.networks.retain(|_, state| state.is_open());
            }
            self.shrink();
            self.is_crowded = is_crowded(self.networks.len());
        }
        !is_full || self.networks.len() < max_networks
    }

    fn remove_if_idle(&mut self, network: u128, now: Time) {
        if self.networks.get(&network).is_some_and(|state| state.is_idle(now)) {
            self.networks.remove(&network);
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let (len, capacity) = (self.networks.len(), self.networks.capacity());
        if capacity > 64 && len < capacity / 4 {
            self.networks.shrink_to(len * 2);
        }
    }
}

#[cfg(test)]
mod tests;
