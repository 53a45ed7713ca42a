//! The native HTTP API: what it speaks, who may, and the server of it.
//!
//! It is open to the owner of the daemon alone: on a socket only they can open or on loopback, with a token only they can
//! read, and never to a page in their browser.

mod address;
mod error;
mod guard;
pub(crate) mod model;
mod routes;
mod server;
mod socket;
mod token;

pub(crate) use address::ApiAddr;
pub(crate) use error::ApiError;
pub(crate) use guard::Guard;
pub(crate) use routes::{Api, router};
pub(crate) use server::{Server, bind};
pub(crate) use token::Token;
