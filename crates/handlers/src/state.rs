//! Values of the program that all handlers share.

use std::any::{Any, TypeId};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::context::{HandlerContext, HandlerKind};
use crate::error::HandlerError;
use crate::extract::Extract;
use crate::side::HandlerEnv;

/// A value that the program gave to the builder (`.state(value)`), shared by all handlers.
#[derive(Debug)]
pub struct State<S>(pub Arc<S>);

impl<S> Clone for State<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<K: HandlerKind, S: Send + Sync + 'static> Extract<K> for State<S> {
    fn extract(context: &mut HandlerContext<'_, K::Side>) -> Result<Self, HandlerError> {
        context.env().states().get().map(Self).ok_or_else(|| {
            let name = std::any::type_name::<S>();
            HandlerError::internal(format!("the program has given no state of the type `{name}`"))
        })
    }
}

/// The values of a program for [`State`], one of each type.
#[derive(Default)]
pub struct StateMap(FxHashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl StateMap {
    /// Adds a value. It replaces an earlier one of its type.
    pub fn insert<S: Send + Sync + 'static>(&mut self, state: S) {
        self.0.insert(TypeId::of::<S>(), Arc::new(state));
    }

    fn get<S: Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        Arc::clone(self.0.get(&TypeId::of::<S>())?).downcast().ok()
    }
}

impl fmt::Debug for StateMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").field("values", &self.0.len()).finish()
    }
}
