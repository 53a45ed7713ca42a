//! Where pieces live: files, memory, resume records.
