//! The system calls that neither std nor mio has: sending from a file, asking whether a stretch of it is in memory,
//! many datagrams at once, learning which datagrams nobody took, listing interfaces.

mod datagrams;
mod file;
mod interfaces;
mod net;

pub(crate) use datagrams::{Arrived, Outgoing, send_all};
pub(crate) use file::{is_resident, send_file};
pub(crate) use interfaces::{InterfaceAddr, interfaces};
pub(crate) use net::{report_unreachable, set_cork, take_unreachable};
