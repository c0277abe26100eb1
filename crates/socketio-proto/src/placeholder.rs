//! Placeholders: the objects that represent attachments in a payload.

use crate::scan::ScanObserver;

/// The key that marks an object as a placeholder.
pub(crate) const PLACEHOLDER_KEY: &str = "_placeholder";
/// The key of the index of the attachment.
pub(crate) const NUM_KEY: &str = "num";

/// Checks that every placeholder of a payload refers to an attachment: an object whose `_placeholder` is `true` must
/// have a `num` that is the index of an attachment, and no two placeholders may have the same one. Otherwise a short
/// payload with many placeholders would become as many copies of a long attachment.
///
/// Needs four bytes per nesting level during the scan, and four more for an object with an index. If an object has the same key twice, the last one counts, as in
/// `JSON.parse`.
#[derive(Debug)]
pub(crate) struct PlaceholderValidator {
    attachments: usize,
    open: Vec<Candidate>,
    /// The indices of the open objects that [have one](Candidate::has_num).
    nums: Vec<u32>,
    /// The attachments that have a placeholder. Empty before the first one.
    is_used: Vec<bool>,
    valid: bool,
}

impl PlaceholderValidator {
    pub(crate) fn new(attachments: usize) -> Self {
        Self { attachments, open: Vec::new(), nums: Vec::new(), is_used: Vec::new(), valid: true }
    }

    pub(crate) fn all_valid(&self) -> bool {
        self.valid
    }

    /// Processes a value. It may belong to one of the two keys of the innermost object.
    fn handle_member_value(&mut self, raw: &str) {
        let Some(candidate) = self.open.last_mut() else { return };
        match candidate.key {
            Key::Placeholder => candidate.has_placeholder_true = raw == "true",
            Key::Num => {
                // The last one counts.
                if std::mem::take(&mut candidate.has_num) {
                    self.nums.pop();
                }
                let index = raw.parse::<u64>().ok().and_then(|index| u32::try_from(index).ok());
                if let Some(index) = index.filter(|index| (*index as usize) < self.attachments) {
                    self.nums.push(index);
                    candidate.has_num = true;
                }
            }
            Key::Other => {}
        }
        candidate.key = Key::Other;
    }
}

impl ScanObserver for PlaceholderValidator {
    fn open(&mut self, _object: bool) {
        self.handle_member_value("");
        // An array has no keys, so its entry never becomes a placeholder.
        self.open.push(Candidate::default());
    }

    fn key(&mut self, raw: &str) {
        let Some(candidate) = self.open.last_mut() else { return };
        candidate.key = match raw {
            "\"_placeholder\"" => Key::Placeholder,
            "\"num\"" => Key::Num,
            // A key may be written with unnecessary escapes. The scanner has already validated them.
            escaped if escaped.contains('\\') => match serde_json::from_str::<String>(escaped).as_deref() {
                Ok(PLACEHOLDER_KEY) => Key::Placeholder,
                Ok(NUM_KEY) => Key::Num,
                _ => Key::Other,
            },
            _ => Key::Other,
        };
    }

    fn scalar(&mut self, raw: &str) {
        self.handle_member_value(raw);
    }

    fn close(&mut self) {
        let Some(Candidate { has_placeholder_true, has_num, .. }) = self.open.pop() else { return };
        let num = if has_num { self.nums.pop() } else { None };
        if !has_placeholder_true {
            return;
        }
        self.is_used.resize(self.attachments, false);
        let is_first = num.is_some_and(|index| !std::mem::replace(&mut self.is_used[index as usize], true));
        self.valid &= is_first;
    }
}

/// The state of an object that has not ended yet.
#[derive(Debug, Default)]
struct Candidate {
    has_placeholder_true: bool,
    /// Its `num` is the index of an attachment.
    has_num: bool,
    key: Key,
}

#[derive(Debug, Default)]
enum Key {
    Placeholder,
    Num,
    #[default]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    #[test]
    fn a_placeholder_must_refer_to_an_attachment() {
        for (valid, payload) in [
            (true, r#"[{"_placeholder":true,"num":0},{"num":1,"_placeholder":true}]"#),
            (true, r#"[{"_placeholder":false,"num":7}]"#),
            (true, r#"[{"_placeholder":"true"}]"#),
            (true, r#"[{"_placeholder":[true]}]"#),
            (true, r#"[{"_placeholder":{"_placeholder":true,"num":1}}]"#),
            (true, r#"["_placeholder",true,"num",9]"#),
            (true, r#"[{"a":[{"b":{"_placeholder":true,"num":1}}]}]"#),
            (true, r#"[{"_placeholder":true,"_placeholder":false}]"#),
            (true, r#"[{"_placeholder":true,"x":{"num":8},"num":1}]"#),
            (true, r#"[{"num":1,"x":{"num":0,"_placeholder":true},"num":1,"_placeholder":true}]"#),
            (true, r#"[{"num":0,"x":{"num":9},"num":9},{"_placeholder":true,"num":0}]"#),
            (false, r#"[{"num":0,"x":{"num":1},"num":"0","_placeholder":true}]"#),
            (false, r#"[{"_placeholder":true,"num":1},{"_placeholder":true,"num":1}]"#),
            (false, r#"[{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":0}}]"#),
            (false, r#"[{"_placeholder":true}]"#),
            (false, r#"[{"_placeholder":true,"num":2}]"#),
            (false, r#"[{"_placeholder":true,"num":-1}]"#),
            (false, r#"[{"_placeholder":true,"num":0.5}]"#),
            (false, r#"[{"_placeholder":true,"num":"0"}]"#),
            (false, r#"[{"_placeholder":true,"num":null}]"#),
            (false, r#"[{"_placeholder":true,"num":[0]}]"#),
            (false, r#"[{"_placeholder":true,"num":{"num":0}}]"#),
            (false, r#"[{"_placeholder":true,"num":0,"num":9}]"#),
            (false, r#"[{"_placeholder":true,"num":99999999999999999999}]"#),
            (false, r#"[{"_placeholder":true,"x":{"num":1}}]"#),
            (false, r#"[{"a":[{"b":{"_placeholder":true,"num":2}}]}]"#),
            (false, r#"[{"\u005fplaceholder":true,"num":2}]"#),
            (false, r#"[{"_placeholder" : true , "num" : 2}]"#),
        ] {
            let mut placeholders = PlaceholderValidator::new(2);
            assert!(scan::scan_array(payload, &mut placeholders).is_ok(), "{payload}");
            assert_eq!(placeholders.all_valid(), valid, "{payload}");
        }
    }

    #[test]
    fn a_level_of_nesting_costs_a_few_bytes() {
        assert!(size_of::<Candidate>() <= 4);
    }
}
