//! Handlers: async functions of extractors, kept without their types.

use std::future::Future;
use std::sync::Arc;

use crate::context::{HandlerContext, HandlerKind};
use crate::error::HandlerError;
use crate::extract::Extract;
use crate::maybe_send::{BoxFuture, MaybeSend};

/// An async function whose parameters are extractors of kind `K`; up to eight of them.
#[diagnostic::on_unimplemented(
    message = "this is no handler: check each parameter, and that the function is async",
    note = "a handler is an async function or `async |..| {{ .. }}` whose parameters are all extractors, and whose future is `Send`",
    note = "event handlers take `Socket`, `Server`, `Namespace`, `Auth<T>`, `State<S>`, and `Data<T>`, `RawArguments`, `Ack<T>`, `EventName`",
    note = "middleware and `on_connection` take the first five of these; `on_disconnect` also `DisconnectReason`, `DroppedEvents`",
    note = "the `T` of `Data<T>` and `Auth<T>` implements `serde::de::DeserializeOwned` (`#[derive(Deserialize)]`, no borrowed fields)",
    note = "an async closure that captures something is written `move |..| {{ let x = x.clone(); async move {{ .. }} }}`"
)]
pub trait Handler<K: HandlerKind, M>: Send + Sync + 'static {
    /// What it returns.
    type Output: 'static;
    /// Its future.
    type Future: Future<Output = Self::Output> + MaybeSend + 'static;

    /// Extracts the parameters and calls the function.
    ///
    /// # Errors
    /// An extractor failed.
    fn call(&self, context: &mut HandlerContext<'_, K::Side>) -> Result<Self::Future, HandlerError>;
}

macro_rules! handlers {
    // One after another; when one fails, those before it are given back.
    (@extract $handler:ident, $context:ident, [$($extracted:ident)*],) => {
        Ok($handler($($extracted),*))
    };
    (@extract $handler:ident, $context:ident, [$($extracted:ident)*], $next:ident $($rest:ident)*) => {
        match $next::extract($context) {
            Ok($next) => handlers!(@extract $handler, $context, [$($extracted)* $next], $($rest)*),
            Err(error) => {
                $($extracted.restore($context);)*
                Err(error)
            }
        }
    };
    ($($parameter:ident),*) => {
        impl<K, F, Fut, $($parameter),*> Handler<K, ($($parameter,)*)> for F
        where
            K: HandlerKind,
            F: Fn($($parameter),*) -> Fut + Send + Sync + 'static,
            Fut: Future + MaybeSend + 'static,
            $($parameter: Extract<K>,)*
        {
            type Output = Fut::Output;
            type Future = Fut;

            #[allow(non_snake_case, reason = "each parameter is named as its type")]
            fn call(&self, _context: &mut HandlerContext<'_, K::Side>) -> Result<Fut, HandlerError> {
                handlers!(@extract self, _context, [], $($parameter)*)
            }
        }
    };
}

handlers!();
handlers!(A);
handlers!(A, B);
handlers!(A, B, C);
handlers!(A, B, C, D);
handlers!(A, B, C, D, E);
handlers!(A, B, C, D, E, G);
handlers!(A, B, C, D, E, G, H);
handlers!(A, B, C, D, E, G, H, I);

/// A handler without its type. An event costs two virtual calls (this one, and the poll of the future) and the box of
/// the future.
pub type ErasedHandler<S, T> =
    Arc<dyn Fn(&mut HandlerContext<'_, S>) -> Result<BoxFuture<T>, HandlerError> + Send + Sync>;

/// Erases the type of a handler of any occasion. `convert` makes a result of what it returns.
pub fn erase_handler<K, M, H, T>(
    handler: H,
    convert: impl Fn(H::Output) -> T + Copy + Send + Sync + 'static,
) -> ErasedHandler<K::Side, T>
where
    K: HandlerKind,
    H: Handler<K, M>,
{
    Arc::new(move |context| {
        let future = handler.call(context)?;
        Ok(Box::pin(async move { convert(future.await) }))
    })
}
