//! The same thing computed twice: by the code under test, and slowly by a reference written only for this.

pub mod bencode;
pub mod hash;
pub mod layout;
