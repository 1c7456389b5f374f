//! What the command line says of the network.

use core::net::Ipv4Addr;
use core::str::FromStr;
use smoltcp::wire::Ipv4Cidr;

/// The address of a card, and the way to other networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The address, and how much of it is the network's.
    pub address: Ipv4Cidr,
    /// Who knows the way.
    pub gateway: Option<Ipv4Addr>,
}

impl Default for Setting {
    /// As QEMU's user network has it.
    fn default() -> Self {
        let address = Ipv4Cidr::new(Ipv4Addr::new(10, 0, 2, 15), 24);
        Self { address, gateway: Some(Ipv4Addr::new(10, 0, 2, 2)) }
    }
}

impl Setting {
    /// What follows `ip=`, as Linux reads it: `ADDRESS::GATEWAY:NETMASK`, where the gateway may be empty.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = core::str::from_utf8(text).ok()?.split(':');
        let address = Ipv4Addr::from_str(parts.next()?).ok()?;
        let (_server, gateway) = (parts.next()?, parts.next()?);
        let mask = Ipv4Addr::from_str(parts.next()?).ok()?;
        let address = Ipv4Cidr::from_netmask(address, mask).ok()?;
        let is_host = |address: Ipv4Addr| {
            !(address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast()
                || address.is_loopback())
        };
        let gateway = match gateway {
            "" => None,
            text => Some(Ipv4Addr::from_str(text).ok().filter(|gateway| is_host(*gateway))?),
        };
        is_host(address.address()).then_some(Self { address, gateway })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_mask_and_perhaps_a_gateway() {
        assert_eq!(Setting::parse(b"10.0.2.15::10.0.2.2:255.255.255.0"), Some(Setting::default()));
        let alone = Setting::parse(b"192.168.7.9:::255.255.0.0:guest").unwrap();
        assert_eq!(alone, Setting { address: "192.168.7.9/16".parse().unwrap(), gateway: None });
        for bad in [
            &b""[..],
            b"10.0.2.15",
            b"10.0.2.15::10.0.2.2:",
            b"10.0.2.15::10.0.2.2:255.0.255.0",
            b"0.0.0.0::10.0.2.2:255.0.0.0",
            b"127.0.0.1:::255.0.0.0",
            b"10.0.2.15::224.0.0.1:255.255.255.0",
            b"\xff",
        ] {
            assert_eq!(Setting::parse(bad), None, "{}", bad.escape_ascii());
        }
    }
}
