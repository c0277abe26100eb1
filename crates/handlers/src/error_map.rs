//! What peers learn of the errors of a program.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::HandlerError;

/// Functions that turn errors of the program's own types into errors with a message for the peer. The builders of server
/// and client fill it, with `map_errors`.
#[derive(Default)]
pub struct ErrorMap(Vec<MapError>);

type MapError = Box<dyn Fn(&(dyn Error + 'static)) -> Option<HandlerError> + Send + Sync>;

impl ErrorMap {
    /// Adds a function for errors of the type `E`. If it returns `None`, the error stays internal.
    pub fn insert<E, R>(&mut self, map: impl Fn(&E) -> R + Send + Sync + 'static)
    where
        E: Error + 'static,
        R: Into<Option<HandlerError>>,
    {
        self.0.push(Box::new(move |error| map(error.downcast_ref()?).into()));
    }

    /// Returns the error that the peer learns of, with the given one as its source. An error that has a message for the
    /// peer is returned unchanged, and so is one that no function maps.
    ///
    /// The underlying error is looked at first, then its causes. Of several functions, the first one that maps the error
    /// decides. See [`HandlerError::internal`] for errors in an `anyhow::Error`.
    #[must_use]
    pub fn apply(&self, error: HandlerError) -> HandlerError {
        if self.0.is_empty() || !error.is_internal() {
            return error;
        }
        match self.find(&error) {
            Some(mapped) => mapped.with_source_of(error),
            None => error,
        }
    }

    fn find(&self, error: &HandlerError) -> Option<HandlerError> {
        let mut next = error.source().map(|source| source as &(dyn Error + 'static));
        while let Some(cause) = next {
            // These are functions of the program: if one panics, the error stays internal.
            let mapped = catch_unwind(AssertUnwindSafe(|| self.0.iter().find_map(|map| map(cause))));
            match mapped {
                Ok(None) => next = cause.source(),
                Ok(mapped) => return mapped,
                Err(_) => return None,
            }
        }
        None
    }
}

impl fmt::Debug for ErrorMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorMap").field("functions", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum AppError {
        #[error("room {0} has 30 members")]
        RoomFull(u32),
        #[error("the database is gone")]
        Database(#[source] io::Error),
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot join")]
    struct NotJoined(#[source] AppError);

    fn errors() -> ErrorMap {
        let mut errors = ErrorMap::default();
        errors.insert(|error: &AppError| match error {
            AppError::RoomFull(room) => Some(HandlerError::new("the room is full").code("full").data(*room)),
            AppError::Database(_) => None,
        });
        errors
    }

    #[test]
    fn the_program_decides_what_the_peer_learns_of_an_error_or_of_its_cause() {
        for error in [HandlerError::from(AppError::RoomFull(7)), NotJoined(AppError::RoomFull(7)).into()] {
            let mapped = errors().apply(error);
            assert_eq!((mapped.message(), mapped.error_code()), ("the room is full", Some("full")));
            assert_eq!(mapped.error_data(), Some(&7.into()));
            assert!(!mapped.is_internal());
            assert!(mapped.to_string().ends_with("room 7 has 30 members"), "{mapped}");
        }
    }

    #[test]
    fn the_peer_learns_nothing_of_an_error_that_is_not_mapped() {
        let database = AppError::Database(io::Error::other("password is wrong"));
        for error in [database.into(), io::Error::other("/etc/shadow").into(), HandlerError::internal("text")]
        {
            let error = errors().apply(error);
            assert_eq!((error.message(), error.error_code()), ("handler failed", None));
            assert!(error.is_internal());
        }
    }

    /// The type in the guide that lets a handler return what `anyhow` collects.
    #[derive(Debug)]
    struct AnyError(anyhow::Error);

    impl<E: Into<anyhow::Error>> From<E> for AnyError {
        fn from(error: E) -> Self {
            Self(error.into())
        }
    }

    impl From<AnyError> for HandlerError {
        fn from(AnyError(error): AnyError) -> Self {
            Self::internal(error.reallocate_into_boxed_dyn_error_without_backtrace())
        }
    }

    #[test]
    fn an_error_that_has_passed_through_anyhow_is_mapped() {
        use anyhow::Context;

        let full = || AppError::RoomFull(7);
        let plain = || -> anyhow::Result<()> { Err(full())? };
        let with_context = || Err::<(), _>(full()).context("cannot join").context("cannot begin");
        let as_cause = || -> anyhow::Result<()> { Err(NotJoined(full()))? };
        let through = |fails: &dyn Fn() -> anyhow::Result<()>| -> Result<(), AnyError> { Ok(fails()?) };
        for fails in [&plain as &dyn Fn() -> _, &with_context, &as_cause] {
            let error = errors().apply(through(fails).expect_err("it fails").into());
            assert_eq!((error.message(), error.error_code()), ("the room is full", Some("full")), "{error}");
            assert!(error.to_string().ends_with("room 7 has 30 members"), "{error}");
        }
        // Without anyhow in between.
        let direct = || -> Result<(), AnyError> { Err(full())? };
        assert!(!errors().apply(direct().expect_err("it fails").into()).is_internal());
    }

    #[test]
    fn the_conversion_of_anyhow_into_a_box_hides_its_own_error_only() {
        use anyhow::Context;

        let full = || anyhow::Error::from(AppError::RoomFull(7));
        // If this fails, anyhow has changed, and `HandlerError::internal(error)` is enough.
        assert!(errors().apply(HandlerError::internal(full())).is_internal());
        let with_context = Err::<(), _>(full()).context("cannot join").expect_err("it fails");
        assert!(!errors().apply(HandlerError::internal(with_context)).is_internal());
    }

    #[test]
    fn a_message_for_the_peer_is_not_replaced() {
        let error = HandlerError::new("try again").with_source(AppError::RoomFull(7));
        assert_eq!(errors().apply(error).message(), "try again");
    }

    #[test]
    fn a_function_that_panics_reveals_nothing() {
        let mut errors = ErrorMap::default();
        errors.insert(|_: &AppError| -> HandlerError { panic!("of no use") });
        assert!(errors.apply(AppError::RoomFull(7).into()).is_internal());
    }
}
