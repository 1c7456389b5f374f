//! What can be done with files now: `poll` and `select`.

use super::descriptors::Descriptors;
use crate::wait::{TaskId, WaitQueue};
use bitflags::bitflags;

bitflags! {
    /// Events, as `poll` has them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u16 {
        const IN = 1;
        const PRI = 2;
        const OUT = 4;
        const ERR = 8;
        const HUP = 0x10;
        const NVAL = 0x20;
        const RDNORM = 0x40;
        const RDBAND = 0x80;
        const WRNORM = 0x100;
        const WRBAND = 0x200;
        const RDHUP = 0x2000;
    }
}

impl Events {
    /// Told whether asked for or not.
    const ALWAYS: Self = Self::ERR.union(Self::HUP);

    /// With the other names of reading and writing.
    const fn with_normal(self) -> Self {
        // RDNORM is IN six bits up, WRNORM is OUT six bits up.
        let bits = self.bits() & (Self::IN.bits() | Self::OUT.bits());
        Self::from_bits_retain(self.bits() | bits << 6)
    }

    /// Reading and writing by their first names.
    const fn without_normal(self) -> Self {
        let bits = self.bits() & (Self::RDNORM.bits() | Self::WRNORM.bits());
        Self::from_bits_retain(self.bits() | bits >> 6)
    }
}

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollFd {
    /// Negative: not looked at.
    pub descriptor: i32,
    pub events: Events,
    pub happened: Events,
}

impl PollFd {
    pub const SIZE: usize = 8;

    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [a, b, c, d, low, high, ..] = bytes;
        Self {
            descriptor: i32::from_le_bytes([a, b, c, d]),
            events: Events::from_bits_retain(u16::from_le_bytes([low, high])),
            happened: Events::empty(),
        }
    }

    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let [a, b, c, d] = self.descriptor.to_le_bytes();
        let [e, f] = self.events.bits().to_le_bytes();
        let [g, h] = self.happened.bits().to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Looks once; whether anything happened.
    pub fn look(&mut self, descriptors: &Descriptors) -> bool {
        self.happened = Events::empty();
        let Ok(descriptor) = u32::try_from(self.descriptor) else { return false };
        self.happened = match descriptors.get(descriptor) {
            Ok(file) => file.poll().with_normal().intersection(self.events.union(Events::ALWAYS)),
            Err(_) => Events::NVAL,
        };
        !self.happened.is_empty()
    }
}

/// Looks at each once, and says of how many anything happened.
pub fn poll(descriptors: &Descriptors, files: &mut [PollFd]) -> usize {
    files.iter_mut().map(|file| usize::from(file.look(descriptors))).sum()
}

/// Has a task woken when any of them changes.
pub fn watch(descriptors: &Descriptors, files: &[PollFd], task: TaskId) {
    for_queues(descriptors, files, |queue| queue.add(task));
}

/// Undoes [`watch`].
pub fn unwatch(descriptors: &Descriptors, files: &[PollFd], task: TaskId) {
    for_queues(descriptors, files, |queue| queue.remove(task));
}

fn for_queues(descriptors: &Descriptors, files: &[PollFd], mut visit: impl FnMut(&WaitQueue)) {
    for file in files {
        if let Ok(descriptor) = u32::try_from(file.descriptor)
            && let Ok(open) = descriptors.get(descriptor)
        {
            open.queues(file.events.without_normal(), &mut visit);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
