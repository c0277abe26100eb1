pub use tidewire::Server;
