//! The fragments of `cluster.md` import what they use.
