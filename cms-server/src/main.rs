//! The `cms` binary.
fn main() {}
