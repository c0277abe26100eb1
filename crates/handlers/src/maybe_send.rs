//! `Send` on native targets, where futures move between threads; nothing on `wasm32`, where they stay on theirs.

use std::future::Future;
use std::pin::Pin;

/// `Send` on native targets, and every type on `wasm32`: what the future of a handler must be.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// A future without its type. It is `Send` except on `wasm32`.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// `Send` on native targets, and every type on `wasm32`: what the future of a handler must be.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}

#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}

/// A future without its type. It is `Send` except on `wasm32`.
#[cfg(target_arch = "wasm32")]
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// A handler may hold across an `.await` what is not `Send`.
#[cfg(target_arch = "wasm32")]
#[allow(dead_code, reason = "it only has to compile")]
fn a_future_need_not_be_send<S: crate::Side>() -> crate::EventHandler<S> {
    crate::EventHandler::new(async || {
        let local = std::rc::Rc::new(());
        std::future::ready(()).await;
        drop(local);
    })
}
