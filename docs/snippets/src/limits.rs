pub use tidewire::server::{AddressLimits, HttpLimits, Limits, Server};
