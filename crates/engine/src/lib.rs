//! The sans-I/O BitTorrent engine.
