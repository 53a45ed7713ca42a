//! Files as the source of what is sent.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// Hands up to `len` bytes of `file` from `offset` to the socket without copying them. `Ok(0)` is the end of the
/// file; `WouldBlock` says that the socket is full.
#[cfg(target_os = "linux")]
pub(crate) fn send_file(socket: impl AsFd, file: &File, offset: u64, len: usize) -> io::Result<usize> {
    let mut at = offset;
    Ok(rustix::fs::sendfile(socket, file, Some(&mut at), len)?)
}

/// Not on this system, where [`is_resident`] never says yes.
#[cfg(not(target_os = "linux"))]
pub(crate) fn send_file(_: impl AsFd, _: &File, _: u64, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a read of these bytes would not wait for the disk, as far as their first and last byte tell: memory is
/// filled and given back in larger windows. Where a file system cannot say, the answer is yes.
#[cfg(target_os = "linux")]
pub(crate) fn is_resident(file: &File, offset: u64, len: u32) -> bool {
    use rustix::io::{Errno, ReadWriteFlags};
    let mut byte = [0u8; 1];
    let mut probe = |at: u64| {
        let read =
            rustix::io::preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
        !matches!(read, Err(Errno::AGAIN))
    };
    probe(offset + u64::from(len.saturating_sub(1))) && probe(offset)
}

/// On this system all goes through buffers.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_resident(_: &File, _: u64, _: u32) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_stretch_of_a_file_goes_out_as_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert!(is_resident(&file, 2, 5));
        let (a, mut b) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(send_file(&a, &file, 2, 5).unwrap(), 5);
        assert_eq!(send_file(&a, &file, 10, 5).unwrap(), 0);
        drop(a);
        let mut got = String::new();
        b.read_to_string(&mut got).unwrap();
        assert_eq!(got, "23456");
    }
}
