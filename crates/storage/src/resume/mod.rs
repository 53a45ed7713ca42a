//! What is remembered of a torrent across restarts, and how much of it still holds.

mod facts;
mod record;
mod store;

pub use facts::{Resume, check_facts};
pub use record::{DecodeError, PartialPiece, ResumeRecord};
pub use store::{Loaded, Refused, ResumeError, ResumeLock, ResumeStore};
