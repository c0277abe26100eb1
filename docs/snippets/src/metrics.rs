//! The fragments of `metrics.md` import what they use.
