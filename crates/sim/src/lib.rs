//! Deterministic simulator of whole swarms.
