//! Spawns tasks that are rare.

use std::pin::Pin;

use tokio::runtime::Handle;

/// Spawns a future whose task is rare, such as one that closes a connection in the background. The future is boxed, so that
/// all these tasks have one type: the compiler makes Tokio's code for tasks, 2,600 lines, once for each type.
pub fn spawn_boxed(runtime: &Handle, future: impl Future<Output = ()> + Send + 'static) {
    spawn(runtime, Box::pin(future));
}

fn spawn(runtime: &Handle, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
    runtime.spawn(future);
}
