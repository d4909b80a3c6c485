//! Holds the benches beside it; there is nothing to link.
