//! kapelle

fn main() {}
