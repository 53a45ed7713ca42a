//! The `unchoke` command.

fn main() {}
