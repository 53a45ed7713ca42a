//! A sans-I/O BitTorrent DHT node.
