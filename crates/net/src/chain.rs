//! An error with its causes, in one line.

use std::error::Error;
use std::fmt;

/// Displays an error and what [`Error::source`] has behind it, with colons between.
///
/// For errors of others, hyper's for instance, which keep their reason for themselves. Those of ours say it all by
/// themselves, and have nothing behind them.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
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
