//! Sockets, threads and clocks around the engine: Session and TorrentHandle.
