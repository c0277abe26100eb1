//! Selects the cases that run.

use std::time::Duration;

use crate::shard::Shard;

/// All groups of Autobahn, with their number of cases. Cases are numbered from 1.
const GROUPS: &[(&str, usize)] = &[
    // Framing: messages of all sizes, pings and pongs, reserved bits, opcodes, fragments.
    ("1.1", 8),
    ("1.2", 8),
    ("2", 11),
    ("3", 7),
    ("4.1", 5),
    ("4.2", 5),
    ("5", 20),
    // UTF-8.
    ("6.1", 3),
    ("6.2", 4),
    ("6.3", 2),
    ("6.4", 4),
    ("6.5", 5),
    ("6.6", 11),
    ("6.7", 4),
    ("6.8", 2),
    ("6.9", 4),
    ("6.10", 3),
    ("6.11", 5),
    ("6.12", 8),
    ("6.13", 5),
    ("6.14", 10),
    ("6.15", 1),
    ("6.16", 3),
    ("6.17", 5),
    ("6.18", 5),
    ("6.19", 5),
    ("6.20", 7),
    ("6.21", 8),
    ("6.22", 34),
    ("6.23", 7),
    // Close handshake.
    ("7.1", 6),
    ("7.3", 6),
    ("7.5", 1),
    ("7.7", 13),
    ("7.9", 9),
    ("7.13", 2),
    // Long messages, and many messages.
    ("9.1", 6),
    ("9.2", 6),
    ("9.3", 9),
    ("9.4", 9),
    ("9.5", 6),
    ("9.6", 6),
    ("9.7", 6),
    ("9.8", 6),
    ("10.1", 1),
    // Compression: a thousand messages in each case.
    ("12.1", 18),
    ("12.2", 18),
    ("12.3", 18),
    ("12.4", 18),
    ("12.5", 18),
    ("13.1", 18),
    ("13.2", 18),
    ("13.3", 18),
    ("13.4", 18),
    ("13.5", 18),
    ("13.6", 18),
    ("13.7", 18),
];

/// Every case of these sections runs for every change. Most of them take some milliseconds.
const QUICK_SECTIONS: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "10"];

/// The cases of the other sections that run for every change: one fast case of each kind.
#[rustfmt::skip]
const QUICK_CASES: &[&str] = &[
    // Messages of 4 MiB, unfragmented and in fragments of 1 KiB and 16 KiB; messages of 1 MiB that arrive in chunks of 2 KiB;
    // a thousand messages.
    "9.1.4", "9.2.4", "9.3.3", "9.4.5", "9.5.6", "9.6.6", "9.7.1", "9.8.1",
    // Compressed messages: 64 bytes, 1 KiB, and 8 KiB in fragments; offers with every kind of parameter.
    "12.1.2", "12.4.4", "12.1.11", "13.1.4", "13.3.4", "13.5.4", "13.7.4",
];

/// Returns 11 for `9.3.11`.
fn number_in_group(case: &str) -> Option<u32> {
    case.rsplit('.').next()?.parse().ok()
}

fn is_smoke(case: &str) -> bool {
    case.split('.').next().is_some_and(|section| QUICK_SECTIONS.contains(&section))
        || QUICK_CASES.contains(&case)
}

/// Whether the case is about compression.
fn is_compressed(case: &str) -> bool {
    case.starts_with("12.") || case.starts_with("13.")
}

/// A run that takes longer than this hangs.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);
const TIMEOUT_WITH_COMPRESSION: Duration = Duration::from_secs(60 * 60);

/// Cases, in parts that run in parallel.
#[derive(Debug)]
pub(crate) struct Cases {
    parts: Vec<Part>,
    are_many: bool,
}

/// The cases of one run of Autobahn.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) patterns: Vec<String>,
    /// The number of cases, if it is known. A run with fewer cases has failed.
    pub(super) count: Option<usize>,
    pub(super) timeout: Duration,
    /// How many cases our client runs at the same time. Some cases wait for a second or longer, and Autobahn can run others
    /// during that time. The compression cases do not wait, and each must finish within a minute.
    pub(super) at_once: usize,
}

impl Cases {
    /// The number of shards. One shard and the smoke test take about a minute on two cores.
    pub(crate) const SHARDS: usize = 40;

    /// The cases that run for every change: the smoke test, and one shard of the other cases.
    pub(crate) fn smoke_and(shard: Shard) -> Self {
        let (mut cases, mut others): (Vec<_>, Vec<_>) = all().partition(|case| is_smoke(case));
        // All groups have the same kinds of messages in the same order, from light to heavy. With this order, every shard gets
        // some of each kind.
        others.sort_by_key(|case| number_in_group(case));
        cases.extend(shard.of_all(others));
        let (compressed, uncompressed) = cases.into_iter().partition(|case| is_compressed(case));
        Self {
            parts: vec![Part::compressed("12-13", compressed), Part::uncompressed(uncompressed)],
            are_many: false,
        }
    }

    /// Every case. The compression cases take minutes.
    pub(crate) fn every() -> Self {
        let (compressed, uncompressed): (Vec<_>, Vec<_>) = all().partition(|case| is_compressed(case));
        let (twelve, thirteen) = compressed.into_iter().partition(|case| case.starts_with("12."));
        Self {
            parts: vec![
                Part::compressed("12", twelve),
                Part::compressed("13", thirteen),
                Part::uncompressed(uncompressed),
            ],
            are_many: true,
        }
    }

    pub(super) fn matching(patterns: &[&str]) -> Self {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Self { parts: vec![Part { count: None, ..Part::compressed("some", patterns) }], are_many: false }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether there are so many cases that an optimised build, which takes minutes, pays off.
    pub(super) fn are_many(&self) -> bool {
        self.are_many
    }
}

/// The numbers of all cases, in order.
fn all() -> impl Iterator<Item = String> {
    GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}.{number}")))
}

impl Part {
    fn uncompressed(cases: Vec<String>) -> Self {
        Self { name: "1-10", count: Some(cases.len()), patterns: cases, timeout: TIMEOUT, at_once: 4 }
    }

    fn compressed(name: &'static str, cases: Vec<String>) -> Self {
        let count = Some(cases.len());
        Self { name, patterns: cases, count, timeout: TIMEOUT_WITH_COMPRESSION, at_once: 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn cases(cases: &Cases) -> Vec<&str> {
        cases.parts().iter().flat_map(|part| &part.patterns).map(String::as_str).collect()
    }

    fn shards() -> impl Iterator<Item = Cases> {
        (1..=Cases::SHARDS).map(|number| {
            let shard = format!("{number}/{}", Cases::SHARDS).parse().expect("it is a shard");
            Cases::smoke_and(shard)
        })
    }

    #[test]
    fn every_case_is_in_one_part() {
        let every = Cases::every();
        let cases = cases(&every);
        assert_eq!(cases.len(), 517);
        assert_eq!(cases.iter().collect::<HashSet<_>>().len(), 517);
        let counts = every.parts().iter().map(|part| part.count).sum::<Option<usize>>();
        assert_eq!(counts, Some(517));
    }

    #[test]
    fn every_case_is_in_one_shard_or_in_the_smoke_test_that_is_in_all() {
        let shards: Vec<Cases> = shards().collect();
        for case in all() {
            let times: usize =
                shards.iter().map(|shard| cases(shard).iter().filter(|other| **other == case).count()).sum();
            assert_eq!(times, if is_smoke(&case) { Cases::SHARDS } else { 1 }, "{case}");
        }
    }

    #[test]
    fn what_is_always_run_exists_and_is_named_once() {
        for quick in QUICK_CASES {
            assert!(all().any(|case| case == *quick), "{quick}");
            assert_eq!(QUICK_CASES.iter().filter(|other| *other == quick).count(), 1, "{quick}");
        }
        for section in QUICK_SECTIONS {
            assert!(all().any(|case| case.starts_with(&format!("{section}."))), "{section}");
        }
    }
}
