//! An announcer against scripted trackers in virtual time.

mod events;
mod private;
mod tiers;
mod timing;
mod udp;
mod world;
