//! The system calls that neither std nor mio has: many datagrams at once, learning which datagrams nobody took, listing
//! interfaces, noticing connections that are dead; and how many descriptors there are.

mod datagrams;
mod descriptors;
mod interfaces;
mod net;

pub(crate) use datagrams::{Arrived, Outgoing, send_all};
pub(crate) use descriptors::{raise_descriptors, share_descriptors};
pub(crate) use interfaces::{InterfaceAddr, interfaces};
pub(crate) use net::{notice_silence, report_unreachable, set_patience, take_unreachable};
