//! Bytes and values of the BitTorrent protocols, without state.
