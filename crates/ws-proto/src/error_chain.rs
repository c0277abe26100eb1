//! Displays an error with its causes in one line.

use std::error::Error;
use std::fmt;

/// Displays an error and all its causes ([`Error::source`]), separated by colons.
///
/// Use this for errors of other crates, such as hyper, whose text does not contain the cause. The text of Tidewire's
/// own errors normally contains the cause already.
#[derive(Debug, Clone, Copy)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the page")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_is_shown_with_all_its_causes() {
        let error = Outer(std::io::Error::other("the disk is gone"));
        assert_eq!(ErrorChain(&error).to_string(), "cannot read the page: the disk is gone");
        assert_eq!(ErrorChain(&fmt::Error).to_string(), fmt::Error.to_string());
    }
}
