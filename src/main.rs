//! The duogate binary.

fn main() {}
