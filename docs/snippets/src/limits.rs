pub use tidewire::{HttpLimits, Limits, Server};
