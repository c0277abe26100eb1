//! All MUSTs of the RFC, and those that have no test.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// The sections with their number of MUSTs. The other sections contain none.
const SECTIONS: &[(&str, usize)] = &[
    ("3", 2),
    ("4.1", 39),
    ("4.2.1", 1),
    ("4.2.2", 10),
    ("4.3", 1),
    ("4.4", 1),
    ("5.1", 4),
    ("5.2", 10),
    ("5.3", 4),
    ("5.4", 10),
    ("5.5", 2),
    ("5.5.1", 6),
    ("5.5.2", 1),
    ("5.6", 1),
    ("5.8", 1),
    ("6.1", 8),
    ("6.2", 5),
    ("7.1.2", 1),
    ("7.1.7", 3),
    ("7.2.1", 2),
    ("7.2.2", 1),
    ("7.4.1", 3),
    ("8.1", 1),
    ("9", 2),
    ("9.1", 5),
    ("10.3", 1),
    ("10.4", 1),
    ("10.6", 1),
    ("10.7", 1),
    ("11.1.1", 2),
    ("11.1.2", 2),
    ("11.3.1", 1),
    ("11.3.2", 1),
    ("11.3.3", 1),
    ("11.3.4", 1),
    ("11.3.5", 1),
];

/// The MUSTs without a test, and the reasons.
const WITHOUT_TEST: &[(&str, RangeInclusive<usize>, &str)] = &[
    (
        "4.1",
        4..=7,
        "one attempt at a time to each address protects servers from scripts in a browser; a program may need many \
         connections, and no client library is known to follow this",
    ),
    ("4.1", 8..=8, "no script selects a proxy here"),
    ("4.1", 27..=27, "only for browsers"),
    (
        "4.2.2",
        5..=5,
        "the router responds with 404: `other_paths_are_nobodys_session` in `cli/tests/hostile/http.rs`",
    ),
    ("5.2", 6..=6, "only for authors of an extension"),
    ("5.4", 6..=9, "only for intermediaries"),
    ("5.5.1", 2..=2, "Tidewire does not show reasons to users"),
    ("11.1.1", 1..=2, "only for authors of a URI"),
    ("11.1.2", 1..=2, "the same"),
];

#[test]
fn every_must_has_a_test_or_a_reason() {
    let all: BTreeSet<_> =
        SECTIONS.iter().flat_map(|(section, count)| (1..=*count).map(|n| (section.to_string(), n))).collect();
    let excused: BTreeSet<_> = WITHOUT_TEST
        .iter()
        .flat_map(|(section, numbers, _)| numbers.clone().map(|number| (section.to_string(), number)))
        .collect();
    let mut tested = BTreeSet::new();
    for folder in ["tests/rfc6455", "../ws/tests/rfc6455"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in fs::read_dir(&folder).expect("both folders are there") {
            let source = fs::read_to_string(file.expect("a file").path()).expect("source");
            tested.extend(source.lines().flat_map(musts_in_the_name));
        }
    }
    assert_eq!(tested.difference(&all).collect::<Vec<_>>(), Vec::<&_>::new(), "no such MUST");
    assert_eq!(excused.difference(&all).collect::<Vec<_>>(), Vec::<&_>::new(), "no such MUST");
    assert_eq!(tested.intersection(&excused).collect::<Vec<_>>(), Vec::<&_>::new(), "tested after all");
    let shown: BTreeSet<_> = tested.union(&excused).cloned().collect();
    assert_eq!(all.difference(&shown).collect::<Vec<_>>(), Vec::<&_>::new(), "neither test nor reason");
}

/// Returns the MUSTs in the name of a test: `fn section_5_2_must_8_9_…` covers 8 and 9 of section 5.2. A name may
/// contain several sections.
fn musts_in_the_name(line: &str) -> Vec<(String, usize)> {
    let Some((_, name)) = line.split_once("fn section_") else { return Vec::new() };
    let sections = name.split("section_").filter_map(|part| part.split_once("_must_"));
    sections
        .flat_map(|(section, numbers)| {
            let numbers = numbers.split('_').map_while(|number| number.parse().ok());
            numbers.map(|number| (section.replace('_', "."), number))
        })
        .collect()
}
