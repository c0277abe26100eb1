pub use tidewire::server::{Server, TrustedProxies};
