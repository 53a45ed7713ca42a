//! What is remembered of a torrent across restarts, and how much of it still holds.

mod facts;
pub(crate) mod record;
pub(crate) mod seal;
mod store;

pub use facts::{Resume, check_facts};
pub use record::{DecodeError, PartialPiece, ResumeRecord};
pub use store::{Loaded, Refused, ResumeError, ResumeLock, ResumeStore};
