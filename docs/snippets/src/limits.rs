//! The fragments of `limits.md` import what they use.
