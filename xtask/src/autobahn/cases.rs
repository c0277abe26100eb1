//! Which cases are run, by Autobahn's patterns.

use std::time::Duration;

/// Everything but compression. The sections that are not there have no cases.
const UNCOMPRESSED: &[&str] = &["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"];

/// Of those about compression, each of which sends a thousand messages: the ones with messages of 64 bytes, of 1 KiB, and of
/// 8 KiB in fragments.
const COMPRESSED_QUICKLY: &[&str] = &[
    "12.1.2", "12.1.4", "12.1.11", "12.2.4", "12.4.4", "13.1.4", "13.2.4", "13.3.4", "13.3.11", "13.4.4",
    "13.5.4", "13.6.4", "13.7.4",
];

/// What takes so long hangs.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
const PATIENCE_WITH_COMPRESSION: Duration = Duration::from_secs(60 * 60);

/// Cases, in parts that run side by side.
#[derive(Debug)]
pub(crate) struct Cases {
    parts: Vec<Part>,
    are_many: bool,
}

/// What one run of Autobahn's goes through.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) patterns: Vec<String>,
    /// How many they are, where we know: a run with fewer has gone wrong.
    pub(super) count: Option<usize>,
    pub(super) patience: Duration,
    /// How many of them a client of ours runs at the same time. Some wait for a second and more, and Autobahn has time for
    /// others meanwhile; those about compression do not wait, and have to be done in a minute.
    pub(super) at_once: usize,
}

impl Cases {
    /// What is run at every change.
    pub(crate) fn quick() -> Self {
        let patterns = [UNCOMPRESSED, COMPRESSED_QUICKLY].concat();
        let count = 301 + COMPRESSED_QUICKLY.len();
        Self { parts: vec![Part::new("quick", &patterns, Some(count)).at_once(4)], are_many: false }
    }

    /// All that there are. Those about compression take minutes.
    pub(super) fn every() -> Self {
        Self {
            parts: vec![
                Part::new("12", &["12.*"], Some(90)).patient(),
                Part::new("13", &["13.*"], Some(126)).patient(),
                Part::new("1-10", UNCOMPRESSED, Some(301)).at_once(4),
            ],
            are_many: true,
        }
    }

    pub(super) fn matching(patterns: &[&str]) -> Self {
        Self { parts: vec![Part::new("some", patterns, None).patient()], are_many: false }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// So many that a program which takes minutes to build pays for itself.
    pub(super) fn are_many(&self) -> bool {
        self.are_many
    }
}

impl Part {
    fn new(name: &'static str, patterns: &[&str], count: Option<usize>) -> Self {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Self { name, patterns, count, patience: PATIENCE, at_once: 1 }
    }

    fn patient(self) -> Self {
        Self { patience: PATIENCE_WITH_COMPRESSION, ..self }
    }

    fn at_once(self, at_once: usize) -> Self {
        Self { at_once, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_in_one_part() {
        let counts = Cases::every().parts().iter().map(|part| part.count).sum::<Option<usize>>();
        assert_eq!(counts, Some(517));
    }
}
