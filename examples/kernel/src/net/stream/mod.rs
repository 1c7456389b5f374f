//! Streams: sockets of TCP.
//!
//! ```text
//!                    listen                      a packet                accept
//!   Unconnected ---------------> Listening  . . . . . . . > Connecting ---------> (its own descriptor)
//!        |                                                      |
//!        |                     connect                          v         both sides, or a reset
//!        +-------------------------------------------------> Connected -------------------------> Ended
//! ```
//!
//! A stream outlives its descriptor as long as its peer has to be told of the end: it *lingers*.

mod close;
mod connect;
mod listen;
mod made;
mod transfer;

use super::address::overlap;
use super::link::Place;
use super::network::Stack;
use super::option::Options;
use super::port::Sharing;
use super::queues::Queues;
use crate::errno::Errno;
use crate::fs::poll::Events;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddrV4;
use smoltcp::socket::tcp::State;

pub use close::Shutdown;
pub(super) use made::BUFFER;
pub use transfer::Take;

/// A stream.
pub(super) struct Stream {
    /// Where it is, if it is anywhere.
    pub(super) local: Option<SocketAddrV4>,
    /// Where `bind` has put it: what it comes back to from a connection that fails.
    bound: Option<SocketAddrV4>,
    /// Whom it is connected to, or was.
    pub(super) remote: Option<SocketAddrV4>,
    pub(super) phase: Phase,
    pub(super) owner: Owner,
    pub(super) options: Options,
    /// What went wrong and nobody was told of yet.
    pub(super) error: Option<Errno>,
    /// `shutdown`: nothing more is read than what is there.
    pub(super) reads_end: bool,
    /// Nothing more is written: the peer was told, or will be.
    writes_end: bool,
    pub(super) queues: Arc<Queues>,
}

/// How far it is.
pub(super) enum Phase {
    Unconnected,
    Listening {
        backlog: usize,
        /// One for each link, which takes the next connection.
        places: Vec<Place>,
    },
    Connecting {
        place: Place,
        /// When it began, in microseconds.
        since: u64,
    },
    Connected {
        place: Place,
        /// Whether `connect` has said so.
        is_told: bool,
    },
    /// No more packets come that matter.
    Ended {
        /// What came before and was not read yet.
        rest: Vec<u8>,
        /// Until late packets are gone.
        place: Option<Place>,
    },
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A descriptor's.
    Program,
    /// A stream's that listens: not accepted yet.
    Listener(u32),
    /// Nobody's: it lingers, until this time in microseconds at most.
    Nobody { until: u64 },
}

impl Stream {
    pub(super) fn new(queues: Arc<Queues>) -> Self {
        Self {
            local: None,
            bound: None,
            remote: None,
            phase: Phase::Unconnected,
            owner: Owner::Program,
            options: Options::default(),
            error: None,
            reads_end: false,
            writes_end: false,
            queues,
        }
    }

    pub(super) fn listens(&self) -> bool {
        matches!(self.phase, Phase::Listening { .. })
    }

    /// Its peer, as long as it has one.
    pub(super) fn peer(&self) -> Option<SocketAddrV4> {
        if matches!(self.phase, Phase::Connected { .. }) { self.remote } else { None }
    }

    fn sharing(&self) -> Sharing {
        if self.options.reuses_address { Sharing::Reuse } else { Sharing::Never }
    }

    /// Whether no other may be bound to `wanted` because of it.
    pub(super) fn forbids(&self, wanted: SocketAddrV4, sharing: Sharing) -> bool {
        let share = sharing == Sharing::Reuse && self.sharing() == Sharing::Reuse && !self.listens();
        self.occupied().is_some_and(|local| overlap(local, wanted)) && !share
    }

    /// Where nobody else can be: when it has ended, what was chosen for it is free again.
    pub(super) fn occupied(&self) -> Option<SocketAddrV4> {
        if matches!(self.phase, Phase::Ended { place: None, .. }) { self.bound } else { self.local }
    }
}

/// Whether the peer will send nothing more.
const fn is_finished(state: State) -> bool {
    matches!(state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait)
}

impl Stack {
    /// Changes options.
    pub(super) fn change_stream(&mut self, number: u32, change: impl FnOnce(&mut Options)) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        change(&mut stream.options);
        if let Phase::Connected { place, .. } | Phase::Connecting { place, .. } = &stream.phase
            && let Some(socket) = self.links.tcp_mut(place)
        {
            made::configure(socket, stream.options);
        }
    }

    /// What can be done with a stream now.
    pub(super) fn stream_events(&self, number: u32) -> Events {
        let Some(stream) = self.streams.get(&number) else { return Events::NVAL };
        let all = Events::IN | Events::OUT | Events::HUP | Events::RDHUP;
        match &stream.phase {
            Phase::Unconnected if stream.error.is_some() => all | Events::ERR,
            Phase::Unconnected => Events::OUT | Events::HUP,
            Phase::Listening { .. } => {
                if self.accepted(number).is_some() {
                    Events::IN
                } else {
                    Events::empty()
                }
            }
            Phase::Connecting { .. } => Events::empty(),
            Phase::Ended { .. } if stream.error.is_some() => all | Events::ERR,
            Phase::Ended { .. } => all,
            Phase::Connected { place, .. } => {
                let Some(socket) = self.links.tcp(place) else { return Events::NVAL };
                let no_reads = stream.reads_end || is_finished(socket.state());
                let no_writes = !socket.may_send();
                let has_room =
                    socket.send_queue().saturating_mul(3) < socket.send_capacity().saturating_mul(2);
                let mut events = Events::empty();
                events.set(Events::IN, socket.can_recv() || no_reads);
                events.set(Events::RDHUP, no_reads);
                events.set(Events::OUT, has_room || no_writes);
                events.set(Events::HUP, no_reads && no_writes);
                events
            }
        }
    }
}
