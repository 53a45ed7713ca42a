//! The addresses of this machine's network interfaces.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One address of an interface that is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InterfaceAddr {
    /// The interface's number.
    pub(crate) index: u32,
    /// The address.
    pub(crate) ip: IpAddr,
    /// Bits of the address that all of its network share.
    pub(crate) prefix_len: u32,
    /// Whether it leads back to this machine.
    pub(crate) is_loopback: bool,
    /// Whether more than one other machine may hear what is sent there.
    pub(crate) has_multicast: bool,
}

impl InterfaceAddr {
    /// Whether `ip` is in its network.
    pub(crate) fn is_near(&self, ip: IpAddr) -> bool {
        match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let differs = u32::from(own) ^ u32::from(ip);
                differs.leading_zeros() >= self.prefix_len
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let differs = u128::from(own) ^ u128::from(ip);
                differs.leading_zeros() >= self.prefix_len
            }
            _ => false,
        }
    }
}

/// Every address of every interface that is up.
#[expect(unsafe_code, reason = "neither std, rustix nor socket2 lists interfaces")]
pub(crate) fn interfaces() -> io::Result<Vec<InterfaceAddr>> {
    let mut head = std::ptr::null_mut();
    // SAFETY: `head` is a place for the list's head, which is freed below.
    if unsafe { libc::getifaddrs(&raw mut head) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut at = head;
    while !at.is_null() {
        // SAFETY: `at` is an entry of the list, which lives until it is freed below.
        let entry = unsafe { &*at };
        // SAFETY: the name of an entry is a C string that lives as long as the list.
        let index = unsafe { libc::if_nametoindex(entry.ifa_name) };
        // SAFETY: the addresses of an entry are null or socket addresses of the family they name.
        let (ip, mask) = unsafe { (address(entry.ifa_addr), address(entry.ifa_netmask)) };
        let has = |flag: libc::c_int| {
            u32::try_from(flag).is_ok_and(|flag| u64::from(entry.ifa_flags) & u64::from(flag) != 0)
        };
        if let Some(ip) = ip.filter(|_| index != 0 && has(libc::IFF_UP)) {
            found.push(InterfaceAddr {
                index,
                ip,
                prefix_len: mask.map_or(u32::MAX, prefix_len),
                is_loopback: has(libc::IFF_LOOPBACK),
                has_multicast: has(libc::IFF_MULTICAST) && !has(libc::IFF_POINTOPOINT),
            });
        }
        at = entry.ifa_next;
    }
    // SAFETY: `head` is the list that `getifaddrs` made, and nothing of it is used after this.
    unsafe { libc::freeifaddrs(head) };
    Ok(found)
}

/// The IP address in a socket address of any family.
///
/// # Safety
/// `addr` is null or points to a socket address as long as its family says.
#[expect(unsafe_code, reason = "the system hands out socket addresses by pointer")]
unsafe fn address(addr: *const libc::sockaddr) -> Option<IpAddr> {
    if addr.is_null() {
        return None;
    }
    // SAFETY: the caller says that it is a socket address, which begins with its family.
    let family = libc::c_int::from(unsafe { (&raw const (*addr).sa_family).read_unaligned() });
    match family {
        libc::AF_INET => {
            // SAFETY: an address of this family is of this type.
            let v4 = unsafe { addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: an address of this family is of this type.
            let v6 = unsafe { addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

/// The ones a netmask begins with.
fn prefix_len(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => u32::from(mask).leading_ones(),
        IpAddr::V6(mask) => u128::from(mask).leading_ones(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_loopback_interface() {
        let found = interfaces().unwrap();
        let lo = found.iter().find(|i| i.ip == IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        assert!(lo.is_loopback && lo.index != 0 && lo.prefix_len == 8);
    }

    #[test]
    fn an_address_is_near_when_it_shares_the_prefix() {
        let at = |ip: &str, prefix_len| InterfaceAddr {
            index: 1,
            ip: ip.parse().unwrap(),
            prefix_len,
            is_loopback: false,
            has_multicast: true,
        };
        let is_near = |own: &InterfaceAddr, ip: &str| own.is_near(ip.parse().unwrap());
        let v4 = at("192.168.1.5", 24);
        assert!(is_near(&v4, "192.168.1.200") && !is_near(&v4, "192.168.2.5") && !is_near(&v4, "::1"));
        let v6 = at("fe80::1", 64);
        assert!(is_near(&v6, "fe80::ffff:1") && !is_near(&v6, "fe80:0:0:1::1"));
        assert!(is_near(&at("10.0.0.1", 0), "1.1.1.1"));
        assert!(!is_near(&at("10.0.0.1", u32::MAX), "10.0.0.1"), "a network nobody knows has nobody in it");
    }
}
