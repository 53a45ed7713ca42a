//! The system calls that neither std nor mio has: many datagrams at once, learning which datagrams nobody took, listing
//! interfaces, noticing connections that are dead.

mod datagrams;
mod interfaces;
mod net;

pub(crate) use datagrams::{Arrived, Outgoing, send_all};
pub(crate) use interfaces::{InterfaceAddr, interfaces};
pub(crate) use net::{notice_silence, report_unreachable, take_unreachable};
