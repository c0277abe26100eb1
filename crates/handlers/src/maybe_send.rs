//! A bound that requires `Send` on native targets, where futures move between threads. On `wasm32`, where they stay on
//! one thread, it accepts every type.

use std::future::Future;
use std::pin::Pin;

/// A bound for the futures of handlers: `Send` on native targets, every type on `wasm32`.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// A boxed, type-erased future. It is `Send` except on `wasm32`.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A bound for the futures of handlers: `Send` on native targets, every type on `wasm32`.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}

#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}

/// A boxed, type-erased future. It is `Send` except on `wasm32`.
#[cfg(target_arch = "wasm32")]
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// On `wasm32`, a handler may hold a value that is not `Send` across an `.await`.
#[cfg(target_arch = "wasm32")]
#[allow(dead_code, reason = "it only has to compile")]
fn a_future_need_not_be_send<S: crate::Side>() -> crate::EventHandler<S> {
    crate::EventHandler::new(async || {
        let local = std::rc::Rc::new(());
        std::future::ready(()).await;
        drop(local);
    })
}
