//! Application state that all handlers share.

use std::any::{Any, TypeId};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::context::{HandlerContext, HandlerKind};
use crate::error::HandlerError;
use crate::extract::Extract;
use crate::side::HandlerEnv;

/// Extracts the value of type `S` that the program passed to `.state(value)` on the builder. All handlers share it.
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
            HandlerError::internal(format!(
                "no state of type `{name}`: pass a value to `.state(..)` on the builder"
            ))
        })
    }
}

/// The values for the extractor [`State`], one per type.
#[derive(Default)]
pub struct StateMap(FxHashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl StateMap {
    /// Adds a value. It replaces the earlier value of the same type.
    pub fn insert<S: Send + Sync + 'static>(&mut self, state: S) {
        self.0.insert(TypeId::of::<S>(), Arc::new(state));
    }

    /// Returns the value of this type.
    #[must_use]
    pub fn get<S: Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        Arc::clone(self.0.get(&TypeId::of::<S>())?).downcast().ok()
    }
}

impl fmt::Debug for StateMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMap").field("values", &self.0.len()).finish()
    }
}
