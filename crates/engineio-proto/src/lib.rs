//! Engine.IO 4 as a state machine without input or output of its own.
