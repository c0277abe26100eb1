//! Decides which texts are Socket.IO 5 packets, with serde_json and a walk over the parsed value.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::IgnoredAny;
use socketio_proto::{DecoderLimits, RESERVED_EVENTS};

use crate::tree::Tree;

/// The expected result of a decoder that waits for no attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Refused,
    Complete,
    /// A packet that needs this many attachments.
    Awaits(usize),
    /// The payload is JSON that serde_json can skip but not read, so this model cannot tell its content.
    Unsure,
}

impl Verdict {
    pub(super) fn of(text: &str, limits: &DecoderLimits) -> Self {
        verdict(text, limits).unwrap_or(Verdict::Refused)
    }
}

/// Returns `None` for a text that must be rejected.
fn verdict(text: &str, limits: &DecoderLimits) -> Option<Verdict> {
    let kind = text.chars().next().filter(|kind| ('0'..='6').contains(kind))?;
    let mut rest = &text[1..];
    let mut attachments = 0;
    if matches!(kind, '5' | '6') {
        let (count, after) = rest.split_once('-')?;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        attachments =
            count.parse::<usize>().ok().filter(|count| (1..=limits.max_attachments).contains(count))?;
        rest = after;
    }
    if rest.starts_with('/') {
        rest = rest.split_once(',').map_or("", |(_, after)| after);
    }
    let payload = rest.trim_start_matches(|character: char| character.is_ascii_digit());
    let id = &rest[..rest.len() - payload.len()];
    match kind {
        '0' | '1' if payload.is_empty() => return Some(Verdict::Complete),
        '1' => return None,
        '3' | '6' if id.is_empty() => return None,
        _ => {}
    }
    serde_json::from_str::<IgnoredAny>(payload).ok()?;
    let Ok(tree) = Tree::parse(payload) else { return Some(Verdict::Unsure) };
    if !tree.all(&has_no_reserved_name) {
        return None;
    }
    match (kind, &tree) {
        ('0', Tree::Object(_)) | ('4', Tree::Object(_) | Tree::Text(_)) | ('3' | '6', Tree::List(_)) => {}
        ('2' | '5', Tree::List(elements)) => match elements.first()? {
            Tree::Text(name) if RESERVED_EVENTS.contains(&name.as_str()) => return None,
            Tree::Text(_) | Tree::Unsigned(_) | Tree::Signed(_) | Tree::Float(_) => {}
            _ => return None,
        },
        _ => return None,
    }
    if attachments == 0 {
        return Some(Verdict::Complete);
    }
    // Each placeholder has an attachment of its own.
    let used = RefCell::new(HashSet::new());
    let stands = |tree: &Tree| {
        tree.placeholder().is_none_or(|index| {
            index.is_some_and(|at| at < attachments as u64 && used.borrow_mut().insert(at))
        })
    };
    tree.all(&stands).then_some(Verdict::Awaits(attachments))
}

/// serde_json gives a special meaning to some names, which no peer may use.
fn has_no_reserved_name(tree: &Tree) -> bool {
    match tree {
        Tree::Object(members) => members.iter().all(|(name, _)| !name.starts_with("$serde_json::private::")),
        _ => true,
    }
}
