//! Handlers: async functions of extractors, kept without their types.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::context::{Context, Kind, OnConnection, OnDisconnect, OnEvent};
use crate::error::{ConnectError, HandlerError};
use crate::extract::Extract;
use crate::namespace::Namespace;
use crate::reply::{IntoAdmission, IntoOutcome, IntoReply};

/// An async function whose parameters are extractors of kind `K`; up to eight of them.
#[diagnostic::on_unimplemented(
    message = "this is no handler: check each parameter, and that the function is async",
    note = "a handler is an async function or `async |..| {{ .. }}` whose parameters are all extractors, and whose future is `Send`",
    note = "event handlers take `Socket`, `Server`, `Namespace`, `Auth<T>`, `State<S>`, and `Data<T>`, `RawArguments`, `Ack<T>`, `EventName`",
    note = "middleware and `on_connection` take the first five of these; `on_disconnect` also `DisconnectReason`, `DroppedEvents`",
    note = "the `T` of `Data<T>` and `Auth<T>` implements `serde::de::DeserializeOwned` (`#[derive(Deserialize)]`, no borrowed fields)",
    note = "an async closure that captures something is written `move |..| {{ let x = x.clone(); async move {{ .. }} }}`"
)]
pub trait Handler<K, M>: Send + Sync + 'static {
    /// What it returns.
    type Output;
    /// Its future.
    type Future: Future<Output = Self::Output> + Send + 'static;

    /// Extracts the parameters and calls the function.
    ///
    /// # Errors
    /// An extractor failed.
    fn call(&self, context: &mut Context<'_>) -> Result<Self::Future, HandlerError>;
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
                $($extracted.give_back($context);)*
                Err(error)
            }
        }
    };
    ($($parameter:ident),*) => {
        impl<K, F, Fut, $($parameter),*> Handler<K, ($($parameter,)*)> for F
        where
            K: Kind,
            F: Fn($($parameter),*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            $($parameter: Extract<K>,)*
        {
            type Output = Fut::Output;
            type Future = Fut;

            #[allow(non_snake_case, reason = "each parameter is named as its type")]
            fn call(&self, _context: &mut Context<'_>) -> Result<Fut, HandlerError> {
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

/// A handler's future without its type.
pub(crate) type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A handler without its type. An event costs two virtual calls (this one, and the poll of the future) and the box of
/// the future.
pub(crate) type Erased<T> = Arc<dyn Fn(&mut Context<'_>) -> Result<Running<T>, HandlerError> + Send + Sync>;

/// A handler of events, or of a socket's beginning and end.
pub(crate) type EventHandler = Erased<Result<(), HandlerError>>;

/// All handlers of a namespace. A socket keeps the table that was there when it joined.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) middleware: Vec<Erased<Result<(), ConnectError>>>,
    pub(crate) connection: Option<EventHandler>,
    pub(crate) disconnect: Option<EventHandler>,
    /// The keys are the program's, so their hash needs no defence.
    pub(crate) events: FxHashMap<Box<str>, Registered>,
    pub(crate) fallback: Option<Registered>,
    /// Handlers of one socket that may run at the same time; 0 stands for the default, 1.
    pub(crate) parallel: usize,
}

/// An event's handler, and how it was registered.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) handler: EventHandler,
    /// It does not hold up the events behind it.
    pub(crate) concurrent: bool,
}

/// The handler of an event, just registered; [`concurrent`](Self::concurrent) says more about it.
pub struct Registration<'a> {
    pub(crate) namespace: &'a Namespace,
    /// `None` for the fallback.
    pub(crate) event: Option<Box<str>>,
}

impl Registration<'_> {
    /// The events behind this one do not wait until its handler has finished: for a long job and the event that
    /// cancels it. As many as [`Limits::concurrent_handlers`](crate::Limits::concurrent_handlers) run at the same time
    /// for one socket; one more holds up those behind it.
    pub fn concurrent(self) {
        self.namespace.register(|handlers| {
            let registered = match &self.event {
                Some(event) => handlers.events.get_mut(event),
                None => handlers.fallback.as_mut(),
            };
            if let Some(registered) = registered {
                registered.concurrent = true;
            }
        });
    }
}

impl fmt::Debug for Registration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("event", &self.event).finish_non_exhaustive()
    }
}

pub(crate) fn event<M, H>(handler: H) -> EventHandler
where
    H: Handler<OnEvent, M>,
    H::Output: IntoReply,
{
    Arc::new(move |context| {
        let future = handler.call(context)?;
        // An `Ack` extractor has taken it if there was one.
        let responder = context.event.as_mut().and_then(|event| event.responder.take());
        Ok(Box::pin(async move { future.await.reply(responder) }))
    })
}

pub(crate) fn connection<M, H>(handler: H) -> EventHandler
where
    H: Handler<OnConnection, M>,
    H::Output: IntoOutcome,
{
    Arc::new(move |context| {
        let future = handler.call(context)?;
        Ok(Box::pin(async move { future.await.outcome() }))
    })
}

pub(crate) fn disconnect<M, H>(handler: H) -> EventHandler
where
    H: Handler<OnDisconnect, M>,
    H::Output: IntoOutcome,
{
    Arc::new(move |context| {
        let future = handler.call(context)?;
        Ok(Box::pin(async move { future.await.outcome() }))
    })
}

pub(crate) fn middleware<M, H>(handler: H) -> Erased<Result<(), ConnectError>>
where
    H: Handler<OnConnection, M>,
    H::Output: IntoAdmission,
{
    Arc::new(move |context| {
        let future = handler.call(context)?;
        Ok(Box::pin(async move { future.await.admission() }))
    })
}
