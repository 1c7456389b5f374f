//! From a stream to a peer that listens.

use super::{Owner, Phase};
use crate::errno::{Errno, Result};
use crate::net::link::LOOPBACK;
use crate::net::network::Stack;
use crate::net::port::Protocol;
use core::net::{Ipv4Addr, SocketAddrV4};
use smoltcp::socket::tcp::State;

/// How long a peer may take to answer, in microseconds: as long as Linux asks.
const PATIENCE: u64 = 127_000_000;

impl Stack {
    /// `bind`.
    pub(in crate::net) fn bind_stream(&mut self, number: u32, address: SocketAddrV4) -> Result<()> {
        let stream = self.streams.get(&number).ok_or(Errno::EBADF)?;
        if stream.local.is_some() || !matches!(stream.phase, Phase::Unconnected) {
            return Err(Errno::EINVAL);
        }
        let sharing = stream.sharing();
        let local = self.free_address(Protocol::Tcp, address, sharing)?;
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        (stream.local, stream.bound) = (Some(local), Some(local));
        Ok(())
    }

    /// `connect`: begins, or says how far it is.
    ///
    /// # Errors
    ///
    /// EINPROGRESS when it has begun, EALREADY when it had.
    pub(in crate::net) fn connect_stream(&mut self, number: u32, peer: SocketAddrV4) -> Result<()> {
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        match &mut stream.phase {
            Phase::Unconnected => {}
            Phase::Connecting { .. } => return Err(Errno::EALREADY),
            Phase::Connected { is_told: is_told @ false, .. } => {
                *is_told = true;
                return Ok(());
            }
            Phase::Listening { .. } | Phase::Connected { .. } | Phase::Ended { .. } => {
                return Err(Errno::EISCONN);
            }
        }
        if let Some(error) = stream.error.take() {
            return Err(error);
        }
        self.begin(number, peer)?;
        self.run();
        match self.outcome(number) {
            Err(Errno::EAGAIN) => Err(Errno::EINPROGRESS),
            outcome => outcome,
        }
    }

    fn begin(&mut self, number: u32, peer: SocketAddrV4) -> Result<()> {
        // To nowhere in particular is to this machine.
        let address = if peer.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *peer.ip() };
        let peer = SocketAddrV4::new(address, peer.port());
        if peer.port() == 0 {
            return Err(Errno::ECONNREFUSED);
        }
        let (link, own) = self.links.route(address).ok_or(Errno::ENETUNREACH)?;
        let stream = self.streams.get(&number).ok_or(Errno::EBADF)?;
        let (bound, options, sharing) = (stream.local, stream.options, stream.sharing());
        let local = match bound {
            Some(local) if local.ip().is_unspecified() => SocketAddrV4::new(own, local.port()),
            // No answer would find its way.
            Some(local) if local.ip().is_loopback() && link != LOOPBACK => {
                return Err(Errno::EINVAL);
            }
            Some(local) => local,
            None => {
                let any = SocketAddrV4::new(own, 0);
                self.free_address(Protocol::Tcp, any, sharing).map_err(|_| Errno::EADDRNOTAVAIL)?
            }
        };
        let is_same = |other: &super::Stream| other.local == Some(local) && other.remote == Some(peer);
        if self.streams.values().any(is_same) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let place = self.make(link, options)?;
        let connected = self.links.tcp_to_connect(&place).map(|(socket, interface)| {
            socket.connect(interface.context(), peer, local).map_err(|_| Errno::EADDRNOTAVAIL)
        });
        if let Err(error) = connected.unwrap_or(Err(Errno::EBADF)) {
            self.unmake(place);
            return Err(error);
        }
        let since = self.now;
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        stream.local = Some(local);
        stream.remote = Some(peer);
        stream.phase = Phase::Connecting { place, since };
        Ok(())
    }

    /// What came of a `connect`.
    ///
    /// # Errors
    ///
    /// EAGAIN as long as nothing did.
    pub(in crate::net) fn outcome(&mut self, number: u32) -> Result<()> {
        let stream = self.streams.get_mut(&number).ok_or(Errno::EBADF)?;
        match &mut stream.phase {
            Phase::Connecting { .. } => Err(Errno::EAGAIN),
            Phase::Connected { is_told, .. } => {
                *is_told = true;
                Ok(())
            }
            Phase::Ended { .. } => stream.error.take().map_or(Ok(()), Err),
            Phase::Unconnected | Phase::Listening { .. } => {
                Err(stream.error.take().unwrap_or(Errno::ECONNABORTED))
            }
        }
    }

    /// Looks how far a connection is that has begun; whether it is one, or may become one.
    pub(super) fn progress(&mut self, number: u32) -> bool {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&number) else { return false };
        let Phase::Connecting { place, since } = &stream.phase else { return true };
        let is_late = now.saturating_sub(*since) > PATIENCE;
        let state = self.links.tcp(place).map_or(State::Closed, |socket| socket.state());
        match state {
            State::SynSent | State::SynReceived if !is_late => return true,
            // A peer that only seemed to connect.
            State::SynSent | State::SynReceived | State::Closed | State::Listen => {}
            _ => {
                let Phase::Connecting { place, .. } =
                    core::mem::replace(&mut stream.phase, Phase::Unconnected)
                else {
                    return true;
                };
                let is_told = stream.owner != Owner::Program;
                stream.phase = Phase::Connected { place, is_told };
                return true;
            }
        }
        stream.error = Some(if is_late { Errno::ETIMEDOUT } else { Errno::ECONNREFUSED });
        (stream.local, stream.remote) = (stream.bound, None);
        if let Phase::Connecting { place, .. } = core::mem::replace(&mut stream.phase, Phase::Unconnected) {
            self.unmake(place);
        }
        false
    }
}
