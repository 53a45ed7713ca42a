//! Networks small enough to play in seconds; times in them are virtual and may be asserted.
