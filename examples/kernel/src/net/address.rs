//! Addresses of sockets, in the layout of Linux.

use crate::errno::{Errno, Result};
use core::net::{Ipv4Addr, SocketAddrV4};

/// `AF_UNSPEC`: no address.
pub const UNSPECIFIED: u16 = 0;
/// `AF_INET`.
pub const INTERNET: u16 = 2;
/// Bytes of `struct sockaddr_in`.
pub const SIZE: usize = 16;
/// Bytes of the longest address of any family, `struct sockaddr_storage`.
pub const LONGEST: usize = 128;
/// No address, no port.
pub const NONE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// The family that an address says it is of.
///
/// # Errors
///
/// EINVAL if it is too short to say.
pub fn family(bytes: &[u8]) -> Result<u16> {
    bytes.first_chunk().map(|bytes| u16::from_le_bytes(*bytes)).ok_or(Errno::EINVAL)
}

/// What a `struct sockaddr_in` says.
///
/// # Errors
///
/// EINVAL if it is too short, EAFNOSUPPORT if it is of another family.
pub fn from_bytes(bytes: &[u8]) -> Result<SocketAddrV4> {
    let [a, b, high, low, address @ ..] = bytes.first_chunk::<8>().ok_or(Errno::EINVAL)?;
    if bytes.len() < SIZE {
        return Err(Errno::EINVAL);
    }
    if u16::from_le_bytes([*a, *b]) != INTERNET {
        return Err(Errno::EAFNOSUPPORT);
    }
    Ok(SocketAddrV4::new(Ipv4Addr::from_octets(*address), u16::from_be_bytes([*high, *low])))
}

/// As a `struct sockaddr_in`.
pub fn to_bytes(address: SocketAddrV4) -> [u8; SIZE] {
    let [a, b] = INTERNET.to_le_bytes();
    let [high, low] = address.port().to_be_bytes();
    let [c, d, e, f] = address.ip().octets();
    [a, b, high, low, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Whether two sockets at these addresses would be in each other's way.
pub(super) fn overlap(one: SocketAddrV4, other: SocketAddrV4) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_sixteen_bytes_with_the_port_in_network_order() {
        let address = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 15), 0x1234);
        let bytes = to_bytes(address);
        assert_eq!(bytes, [2, 0, 0x12, 0x34, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(from_bytes(&bytes), Ok(address));
        assert_eq!(from_bytes(&bytes[..15]), Err(Errno::EINVAL));
        assert_eq!(from_bytes(&bytes[..3]), Err(Errno::EINVAL));
        assert_eq!(from_bytes(&[10; 28]), Err(Errno::EAFNOSUPPORT));
        assert_eq!((family(&bytes), family(&[2])), (Ok(INTERNET), Err(Errno::EINVAL)));
    }

    #[test]
    fn any_address_is_in_the_way_of_each() {
        let at = |last, port| SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), port);
        let any = |port| SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        assert!(overlap(at(1, 80), at(1, 80)) && overlap(any(80), at(1, 80)) && overlap(at(1, 80), any(80)));
        assert!(!overlap(at(1, 80), at(2, 80)) && !overlap(any(80), any(81)));
    }
}
