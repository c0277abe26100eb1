//! The fragments of `deployment.md` import what they use.
