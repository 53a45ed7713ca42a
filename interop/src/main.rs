//! interop

fn main() {}
