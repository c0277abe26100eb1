pub use tidewire::server::{HttpLimits, Limits, Server};
