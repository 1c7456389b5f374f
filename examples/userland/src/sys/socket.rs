//! Sockets with which this machine speaks to itself.

use super::File;
use super::call::{Result, call3, call4};

const SOCKET: usize = 359;
const BIND: usize = 361;
const CONNECT: usize = 362;
const LISTEN: usize = 363;
const ACCEPT4: usize = 364;
const GETSOCKNAME: usize = 367;

const INTERNET: u16 = 2;
const STREAM: usize = 1;
const DATAGRAMS: usize = 2;
/// Calls on it answer at once.
const NONBLOCK: usize = 0o4000;

/// `struct sockaddr_in`.
pub type Address = [u8; 16];

/// This machine, at any port.
fn here() -> Address {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&INTERNET.to_ne_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

impl File {
    fn socket(kind: usize) -> Result<Self> {
        // SAFETY: the kernel touches no memory.
        let file = unsafe { call3(SOCKET, [INTERNET.into(), kind, 0]) };
        file.map(|file| Self(file as u32))
    }

    /// A socket for a stream, which does not wait.
    pub fn stream() -> Result<Self> {
        Self::socket(STREAM | NONBLOCK)
    }

    /// A socket for datagrams, which does not wait.
    pub fn datagrams() -> Result<Self> {
        Self::socket(DATAGRAMS | NONBLOCK)
    }

    /// A stream to who listens at a port of this machine; it waits.
    pub fn connected(port: u16) -> Result<Self> {
        let mut peer = here();
        peer[2..4].copy_from_slice(&port.to_be_bytes());
        let file = Self::socket(STREAM)?;
        match file.connect(&peer) {
            Ok(()) => Ok(file),
            Err(error) => file.close().and(Err(error)),
        }
    }

    /// Gives it a port of this machine, and says which.
    pub fn bind(self) -> Result<Address> {
        let mut address = here();
        let mut length = size_of::<Address>() as u32;
        // SAFETY: the kernel reads an address.
        unsafe { call3(BIND, [self.0 as usize, (&raw const address).addr(), size_of::<Address>()])? };
        // SAFETY: the kernel writes an address, and its length.
        unsafe {
            call3(GETSOCKNAME, [self.0 as usize, (&raw mut address).addr(), (&raw mut length).addr()])?
        };
        Ok(address)
    }

    /// Lets connections come.
    pub fn listen(self) -> Result<()> {
        // SAFETY: the kernel touches no memory.
        unsafe { call3(LISTEN, [self.0 as usize, 8, 0]) }.map(drop)
    }

    /// Connects it.
    pub fn connect(self, peer: &Address) -> Result<()> {
        // SAFETY: the kernel reads an address.
        unsafe { call3(CONNECT, [self.0 as usize, (&raw const *peer).addr(), size_of::<Address>()]) }
            .map(drop)
    }

    /// The other end of the next connection.
    pub fn accept(self) -> Result<Self> {
        // SAFETY: the kernel is asked for no address, so it touches no memory.
        unsafe { call4(ACCEPT4, [self.0 as usize, 0, 0, NONBLOCK]) }.map(|file| Self(file as u32))
    }
}
