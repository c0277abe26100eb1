//! Names that can be mistaken for each other.

use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

/// How a name looks, in upper or lower case: the same for `Ann`, `ANN`, and an `Ann` with a Cyrillic `А` (UTS 39,
/// section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// `Iris` with a small L in the place of its first letter looks like it.
    as_written: String,
    /// `IRIS` does so in lower case only.
    in_lower_case: String,
}

impl Look {
    pub(super) fn of(name: &str) -> Self {
        let name: String = name.nfkc().collect();
        let as_written = skeleton(&name).collect::<String>();
        Self { as_written: fold(&as_written), in_lower_case: skeleton(&fold(&name)).collect() }
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.as_written == other.as_written || self.in_lower_case == other.in_lower_case
    }
}

/// Some letters are equal only in upper case, as ß and ss, or ς and σ.
fn fold(text: &str) -> String {
    text.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_mistaken_for_each_other_look_the_same() {
        for (one, other) in [
            ("Ann", "ann"),
            ("Ann", "\u{410}nn"),
            ("Ann", "\u{ff21}nn"),
            ("Iris", "lris"),
            ("Iris", "IRIS"),
            ("Iris", "1ris"),
            ("lobby", "l0bby"),
            ("lobby", "1obby"),
            ("Mona", "rnona"),
            ("Weiss", "Wei\u{df}"),
            ("Zo\u{eb}", "Zoe\u{308}"),
            ("scope", "\u{455}\u{441}\u{43e}\u{440}\u{435}"),
        ] {
            assert!(Look::of(one).is_like(&Look::of(other)), "{one} {other}");
        }
    }

    #[test]
    fn names_that_differ_look_different() {
        let names = [
            "Ann",
            "Anna",
            "Ann 2",
            "Ann 3",
            "Ann-2",
            "An",
            "Zoe",
            "Zo\u{eb}",
            "\u{410}\u{43d}\u{43d}\u{430}",
            "tea",
            "tea time",
        ];
        for (index, one) in names.iter().enumerate() {
            for other in &names[..index] {
                assert!(!Look::of(one).is_like(&Look::of(other)), "{one} {other}");
            }
        }
    }
}
