//! The [`Handler`] trait, its implementation for async functions, and handlers with erased types.
//!
//! `Handler` has one implementation, whose bounds are traits of their own. A compiler error therefore names the one that
//! is not met: the function itself ([`HandlerFn`]), its parameters ([`Extractors`], [`Extract`]), or its future
//! ([`HandlerFuture`]).

use std::future::Future;
use std::sync::Arc;

use crate::context::{HandlerContext, HandlerKind};
use crate::error::HandlerError;
use crate::extract::Extract;
use crate::maybe_send::{BoxFuture, MaybeSend};
use crate::state::{MissingState, StateMap};

/// An async function with up to eight parameters, each an [extractor](Extract) of kind `K`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an async function or `async |..| {{ .. }}` whose parameters are all extractors, and whose future is `Send`"
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

    /// Checks whether the program has provided the state that the parameters need.
    ///
    /// # Errors
    /// Returns an error that names the state that is missing.
    fn check_state(states: &StateMap) -> Result<(), MissingState>;
}

impl<K, M, H> Handler<K, M> for H
where
    K: HandlerKind,
    M: Extractors<K>,
    H: HandlerFn<M> + Send + Sync + 'static,
    H::Future: HandlerFuture + MaybeSend + 'static,
{
    type Output = <H::Future as Future>::Output;
    type Future = H::Future;

    #[inline]
    fn call(&self, context: &mut HandlerContext<'_, K::Side>) -> Result<Self::Future, HandlerError> {
        Ok(self.call_with(M::extract(context)?))
    }

    fn check_state(states: &StateMap) -> Result<(), MissingState> {
        M::check_state(states)
    }
}

/// A function whose parameters have the types in the tuple `M`. Every `Fn` with up to twelve parameters implements it, so
/// that one with more than the eight of a handler gets an error that says so.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that a handler can be",
    note = "a handler is an async function, or a closure `async |socket: Socket, ..| {{ .. }}` with up to eight parameters, whose types are written out",
    note = "a handler is called many times, at the same time: an `async` closure that captures a variable cannot be; write `move |..| {{ let x = x.clone(); async move {{ .. }} }}`, or pass the value with `.state(..)` and take it as `State<S>`",
    note = "an extractor is taken by value: `Socket`, not `&Socket`"
)]
pub trait HandlerFn<M> {
    /// What the function returns.
    type Future;

    /// Calls the function.
    fn call_with(&self, parameters: M) -> Self::Future;
}

/// The future of a handler. Every future implements it.
#[diagnostic::on_unimplemented(
    message = "the handler returns `{Self}`, which is not a future: a handler must be async",
    label = "this handler is not async",
    note = "write `async fn` or `async |..| {{ .. }}`; a closure that captures variables is `move |..| {{ let x = x.clone(); async move {{ .. }} }}`"
)]
pub trait HandlerFuture: Future {}

// Otherwise the compiler's error is that of `Future`, which does not say what to do. `Send` is no bound here, because its
// error names the value that is held across an `.await`.
#[diagnostic::do_not_recommend]
impl<F: Future> HandlerFuture for F {}

/// The parameters of a handler of kind `K`: a tuple of up to eight [extractors](Extract).
#[diagnostic::on_unimplemented(
    message = "a handler has at most eight parameters, and this one has more",
    note = "take several arguments of the event at once, as `Data((a, b, c)): Data<(A, B, C)>`, or keep several values in one `State<S>`"
)]
pub trait Extractors<K: HandlerKind>: Sized {
    /// Extracts one value after another.
    ///
    /// # Errors
    /// Returns the error of the extractor that failed.
    fn extract(context: &mut HandlerContext<'_, K::Side>) -> Result<Self, HandlerError>;

    /// Checks whether the program has provided the state that the extractors need.
    ///
    /// # Errors
    /// Returns an error that names the state that is missing.
    fn check_state(states: &StateMap) -> Result<(), MissingState>;
}

macro_rules! handler_functions {
    ($(($($parameter:ident)*))*) => {
        $(
            impl<F, Fut, $($parameter),*> HandlerFn<($($parameter,)*)> for F
            where
                F: Fn($($parameter),*) -> Fut,
            {
                type Future = Fut;

                #[inline]
                #[allow(non_snake_case, reason = "each parameter is named as its type")]
                fn call_with(&self, ($($parameter,)*): ($($parameter,)*)) -> Fut {
                    self($($parameter),*)
                }
            }
        )*
    };
}

handler_functions! {
    ()
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E G)
    (A B C D E G H)
    (A B C D E G H I)
    (A B C D E G H I J)
    (A B C D E G H I J K)
    (A B C D E G H I J K L)
    (A B C D E G H I J K L M)
}

macro_rules! extractors {
    // Extracts one parameter after another. If one fails, those extracted before it are restored.
    (@extract $context:ident, [$($extracted:ident)*],) => {
        Ok(($($extracted,)*))
    };
    (@extract $context:ident, [$($extracted:ident)*], $next:ident $($rest:ident)*) => {
        match $next::extract($context) {
            Ok($next) => extractors!(@extract $context, [$($extracted)* $next], $($rest)*),
            Err(error) => {
                $($extracted.restore($context);)*
                Err(error)
            }
        }
    };
    ($(($($parameter:ident)*))*) => {
        $(
            impl<Kind, $($parameter),*> Extractors<Kind> for ($($parameter,)*)
            where
                Kind: HandlerKind,
                $($parameter: Extract<Kind>,)*
            {
                #[inline]
                #[allow(non_snake_case, reason = "each parameter is named as its type")]
                fn extract(_context: &mut HandlerContext<'_, Kind::Side>) -> Result<Self, HandlerError> {
                    extractors!(@extract _context, [], $($parameter)*)
                }

                fn check_state(_states: &StateMap) -> Result<(), MissingState> {
                    $($parameter::check_state(_states)?;)*
                    Ok(())
                }
            }
        )*
    };
}

extractors! {
    ()
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E G)
    (A B C D E G H)
    (A B C D E G H I)
}

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
