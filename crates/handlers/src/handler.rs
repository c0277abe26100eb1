//! The [`Handler`] trait, its implementation for async functions, and handlers with erased types.

use std::future::Future;
use std::sync::Arc;

use crate::context::{HandlerContext, HandlerKind};
use crate::error::HandlerError;
use crate::extract::Extract;
use crate::maybe_send::{BoxFuture, MaybeSend};

/// An async function with up to eight parameters, each an [extractor](Extract) of kind `K`.
#[diagnostic::on_unimplemented(
    message = "not a valid handler: check that the function is async and that each parameter is an extractor",
    note = "a handler is an async function or `async |..| {{ .. }}` whose parameters are all extractors, and whose future is `Send`",
    note = "every handler accepts `State<S>`; event handlers also accept `Data<T>`, `RawArguments`, `Ack<T>` and `EventName`",
    note = "the crate that calls the handler adds its own extractors, for instance its socket: see its documentation",
    note = "the `T` of an extractor must implement `serde::de::DeserializeOwned` (`#[derive(Deserialize)]`, no borrowed fields)",
    note = "write an async closure that captures variables as `move |..| {{ let x = x.clone(); async move {{ .. }} }}`"
)]
pub trait Handler<K: HandlerKind, M>: Send + Sync + 'static {
    /// The return value of the function.
    type Output: 'static;
    /// The future that the function returns.
    type Future: Future<Output = Self::Output> + MaybeSend + 'static;

    /// Extracts the parameters and calls the function.
    ///
    /// # Errors
    /// Returns the error of the extractor that failed.
    fn call(&self, context: &mut HandlerContext<'_, K::Side>) -> Result<Self::Future, HandlerError>;
}

macro_rules! handlers {
    // Extracts one parameter after another. If one fails, those extracted before it are restored.
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

/// A type-erased handler. Each event costs two virtual calls (this function and the poll of its future) and the
/// allocation of the future.
pub type ErasedHandler<S, T> =
    Arc<dyn Fn(&mut HandlerContext<'_, S>) -> Result<BoxFuture<T>, HandlerError> + Send + Sync>;

/// Erases the type of a handler of any kind. `convert` maps its return value to `T`.
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
