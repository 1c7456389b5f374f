//! Sockets of smoltcp's, for streams.

use crate::errno::{Errno, Result};
use crate::net::link::{LOOPBACK, Place};
use crate::net::memory::bytes;
use crate::net::network::Stack;
use crate::net::option::Options;
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Duration;

/// Bytes that wait in each direction, at most.
pub(in crate::net) const BUFFER: usize = 32 << 10;
/// What a socket costs.
const COST: usize = 2 * BUFFER + size_of::<Socket<'_>>();
/// How often a peer is asked whether it is there, as Linux does.
const KEEP_ALIVE: Duration = Duration::from_secs(7200);

/// As a program wants it.
pub(super) fn configure(socket: &mut Socket<'_>, options: Options) {
    socket.set_nagle_enabled(!options.never_delays);
    socket.set_keep_alive(options.keeps_alive.then_some(KEEP_ALIVE));
}

impl Stack {
    /// A new socket on `link`. If there is no memory left, one that lingers goes for it.
    ///
    /// # Errors
    ///
    /// ENOBUFS, ENOMEM.
    pub(super) fn make(&mut self, link: usize, options: Options) -> Result<Place> {
        while let Err(error) = self.memory.take(COST) {
            if !self.forget_oldest() {
                return Err(error);
            }
        }
        let place = bytes(BUFFER).and_then(|receive| {
            let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(bytes(BUFFER)?));
            configure(&mut socket, options);
            if link == LOOPBACK {
                // There is nothing to be saved by waiting.
                socket.set_ack_delay(None);
            }
            self.links.add(link, socket).ok_or(Errno::ENODEV)
        });
        if place.is_err() {
            self.memory.give(COST);
        }
        place
    }

    /// A socket goes, without a word to its peer.
    pub(super) fn unmake(&mut self, place: Place) {
        self.links.remove(place);
        self.memory.give(COST);
    }
}
