//! Shards: parts of about equal size of a stage that is too long to run completely for every change.

use std::fmt;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

use crate::environment;

/// How much of a long stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A smoke test, and one shard of the rest: this shard, or the shard that HEAD selects.
    Shard(Option<Shard>),
    /// Everything.
    Full,
}

impl Scope {
    /// Returns the shard to run, of a stage with `shards` shards. `None` means the whole stage.
    pub(crate) fn shard_of(self, shards: usize) -> Result<Option<Shard>> {
        match self {
            Self::Full => Ok(None),
            Self::Shard(Some(shard)) => Ok(Some(shard)),
            Self::Shard(None) => Shard::of_head(shards).map(Some),
        }
    }
}

/// One part of several. `3/8` is the third of eight parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    number: usize,
    of: usize,
}

impl Shard {
    /// Returns the shard that the hash of HEAD selects, so that different commits run different shards. Uncommitted changes do
    /// not matter. Without git, as in a tarball, it is the first shard.
    fn of_head(of: usize) -> Result<Self> {
        let commit = head()?;
        let shard = commit.as_deref().map_or(Self { number: 1, of }, |hash| Self::of_commit(hash, of));
        match commit {
            Some(hash) => println!("shard {shard}, selected by commit {hash}"),
            None => println!("shard {shard}, because there is no git commit here"),
        }
        Ok(shard)
    }

    fn of_commit(hash: &str, of: usize) -> Self {
        // Any function of the hash is good enough. This one can be computed by hand.
        let number = hash.chars().take(6).filter_map(|digit| digit.to_digit(16));
        let number = number.fold(0, |number, digit| number * 16 + digit as usize);
        Self { number: number % of + 1, of }
    }

    /// Returns the elements of `all` in this shard. Neighbours take about the same time, so they go to different shards.
    pub(crate) fn of_all<T>(self, all: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
        all.into_iter().skip(self.number - 1).step_by(self.of)
    }
}

/// The hash of the commit that is checked out, if this is a git repository and git is installed.
fn head() -> Result<Option<String>> {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(environment::root()?).output();
    let output = output.ok().filter(|output| output.status.success());
    Ok(output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

impl FromStr for Shard {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (number, of) = text.split_once('/')?;
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        };
        let shard = parse().with_context(|| format!("invalid shard {text:?}; write it like 3/8"))?;
        ensure!(
            (1..=shard.of).contains(&shard.number),
            "there is no shard {shard}; the first is 1/{}",
            shard.of
        );
        Ok(shard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_one_of_the_shards() {
        for of in 1..10 {
            let mut together: Vec<i32> =
                (1..=of).flat_map(|number| Shard { number, of }.of_all(0..100)).collect();
            together.sort_unstable();
            assert_eq!(together, (0..100).collect::<Vec<_>>(), "{of}");
        }
    }

    #[test]
    fn a_commit_always_names_the_same_shard() {
        let shard = |hash| Shard::of_commit(hash, 8).to_string();
        assert_eq!(shard("00000a0000000000000000000000000000000000"), "3/8");
        assert_eq!(shard("00000affffffffffffffffffffffffffffffffff"), "3/8");
        assert_eq!(shard("ffffff0000000000000000000000000000000000"), "8/8");
    }

    #[test]
    fn a_shard_is_read_as_it_is_printed() -> Result<()> {
        for text in ["1/1", "3/8", "8/8"] {
            assert_eq!(text.parse::<Shard>()?.to_string(), text);
        }
        for text in ["", "3", "0/8", "9/8", "0/0", "-1/8", "three/8", "3/8/8", "3 of 8"] {
            assert!(text.parse::<Shard>().is_err(), "{text:?}");
        }
        Ok(())
    }
}
