//! The system calls that neither std nor mio has: sending from a file, asking whether a stretch of it is in memory,
//! learning which datagrams nobody took, listing interfaces.

mod file;
mod interfaces;
mod net;

pub(crate) use file::{is_resident, send_file};
pub(crate) use interfaces::{InterfaceAddr, interfaces};
pub(crate) use net::{report_unreachable, set_cork, take_unreachable};
