//! The address of a client, and the limits for one address.

mod client_address;
mod forwarded;
mod limiter;
mod limits;
mod network;
mod trusted_proxies;

pub use client_address::{ClientAddress, ClientNetwork};
pub use limiter::{AddressLimiter, AddressPermit};
pub(crate) use limiter::{ConnectionLimiter, ConnectionSessions};
pub use limits::{AddressLimitError, AddressLimits};
pub(crate) use trusted_proxies::InProxyHeader;
pub use trusted_proxies::{ForwardedHeader, InvalidNetwork, TrustedProxies};
