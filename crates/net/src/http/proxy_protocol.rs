//! The PROXY protocol, with which a proxy of TCP connections reports the address of its client. Without the feature
//! `proxy-protocol`, no connection begins with it.

#[cfg(not(feature = "proxy-protocol"))]
mod disabled;
#[cfg(feature = "proxy-protocol")]
mod enabled;
#[cfg(feature = "proxy-protocol")]
mod header;

#[cfg(not(feature = "proxy-protocol"))]
pub(super) use disabled::ProxyProtocol;
#[cfg(feature = "proxy-protocol")]
pub(super) use enabled::ProxyProtocol;
