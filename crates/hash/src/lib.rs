//! SHA-1 and SHA-256 over many independent inputs.
