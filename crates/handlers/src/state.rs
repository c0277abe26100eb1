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
        let states = context.env().states();
        states.get().map(Self).ok_or_else(|| HandlerError::internal(states.missing::<S>()))
    }

    fn check_state(states: &StateMap) -> Result<(), MissingState> {
        if states.contains::<S>() { Ok(()) } else { Err(states.missing::<S>()) }
    }
}

/// The error of a handler that takes a [`State`] for which the builder has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingState {
    type_name: &'static str,
    /// Whether the builder has an `Arc` of the type.
    is_in_arc: bool,
}

impl MissingState {
    /// Returns the name of the type that is missing.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl fmt::Display for MissingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.type_name;
        write!(f, "no state of type `{name}`: ")?;
        if self.is_in_arc {
            return f.write_str("the builder has an `Arc` of it; pass the value itself to `.state(..)`");
        }
        f.write_str("pass a value to `.state(..)` on the builder")
    }
}

impl std::error::Error for MissingState {}

/// The values for the extractor [`State`], one per type.
#[derive(Default)]
pub struct StateMap(FxHashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl StateMap {
    /// Adds a value. It replaces the earlier value of the same type.
    pub fn insert<S: Send + Sync + 'static>(&mut self, state: S) {
        self.0.insert(TypeId::of::<S>(), Arc::new(state));
    }

    fn contains<S: Send + Sync + 'static>(&self) -> bool {
        self.0.contains_key(&TypeId::of::<S>())
    }

    fn missing<S: Send + Sync + 'static>(&self) -> MissingState {
        MissingState { type_name: std::any::type_name::<S>(), is_in_arc: self.contains::<Arc<S>>() }
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
