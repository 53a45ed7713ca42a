//! The binary, driven through its command line.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod create;
mod errors;
mod get_seed;
mod show;
mod support;
mod verify;
