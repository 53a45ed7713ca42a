//! Every check of the project as a command: `cargo xtask tidy`, `bep`, `notes`, `counts`, `compare` and `ci`.

mod beps;
mod ci;
mod compare;
mod counts;
mod generated;
mod hardening;
mod items;
mod manifest;
mod marks;
mod notes;
mod notes_rows;
mod source;
mod tidy;
mod tree;

use std::process::ExitCode;

use anyhow::Result;

use crate::tree::Tree;

const USAGE: &str = "\
usage: cargo xtask COMMAND
  tidy              check the house rules that clippy and rustc do not
  bep [--check]     write docs/beps.md from the `//= BEP n: topic` marks, or compare it
  notes [--check]   write docs/notes-trace.md from the `//= Snn` marks, or compare it
  notes --missing   list the rows of the notes that no test proves
  hardening [--check]  write docs/hardening.md from the `//= H3b-17` marks, or compare it
  hardening --missing  list the rows of the hardening plan that nothing shows
  compare [PART…]   measure beside other clients and write docs/performance.md (compare --help)
  counts [--check]  count the instructions of codecs, picker and receive path into docs/counts.txt, or compare
  ci                run every check of .ci/run, without installing anything";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<ExitCode> {
    let clean = match args {
        ["tidy"] => tidy::run(&Tree::load()?)?,
        ["bep"] => generated::write(&Tree::load()?, beps::PAGE, beps::page)?,
        ["bep", "--check"] => generated::check(&Tree::load()?, beps::PAGE, beps::page)?,
        ["notes"] => generated::write(&Tree::load()?, notes::PAGE, notes::page)?,
        ["notes", "--check"] => generated::check(&Tree::load()?, notes::PAGE, notes::page)?,
        ["notes", "--missing"] => notes::print_missing(&Tree::load()?),
        ["hardening"] => generated::write(&Tree::load()?, hardening::PAGE, hardening::page)?,
        ["hardening", "--check"] => generated::check(&Tree::load()?, hardening::PAGE, hardening::page)?,
        ["hardening", "--missing"] => hardening::print_missing(&Tree::load()?),
        ["compare", ..] => compare::run(&tree::root()?, &args[1..])?,
        ["counts"] => return counts::run(&tree::root()?, false),
        ["counts", "--check"] => return counts::run(&tree::root()?, true),
        ["ci"] => ci::run(&tree::root()?)?,
        _ => {
            eprintln!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    };
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
