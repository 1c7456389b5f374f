//! Interrupt lines: the wires by which devices ask for the CPU.
//!
//! The kernel speaks of lines and never of a controller, so that another kind of controller can follow
//! the [PIC](super::pic).

use super::pic::{self, Chip};
use super::quiet::Locked;
use super::vector::{FIRST_LINE, FIRST_SOFTWARE, Vector};
use crate::machine::Machine;
use core::sync::atomic::{AtomicU32, Ordering};
use static_assertions::const_assert;

/// An interrupt line of the PC, 0 to 15 but 2: that one is the wire between the two controllers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Line(u8);

const_assert!(FIRST_SOFTWARE - FIRST_LINE == 16);

impl Line {
    /// The first timer.
    pub const TIMER: Self = Self(0);
    /// The keyboard controller.
    pub const KEYBOARD: Self = Self(1);

    /// How many lines there are, with the one between the controllers.
    pub const COUNT: u32 = 16;

    /// The line with this number; `None` for 2, and from 16 on.
    #[expect(clippy::as_conversions, reason = "below 16")]
    pub const fn new(number: u32) -> Option<Self> {
        if number < Self::COUNT && number != pic::CASCADE { Some(Self(number as u8)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Every line, in ascending order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + Clone {
        (0..Self::COUNT).filter_map(Self::new)
    }

    /// The line whose vector that is.
    #[expect(clippy::as_conversions, reason = "a u8 becomes wider")]
    pub(crate) const fn of(vector: Vector) -> Option<Self> {
        match vector.number().checked_sub(FIRST_LINE) {
            Some(number) => Self::new(number as u32),
            None => None,
        }
    }

    /// The controller that it ends at, and its bit there.
    const fn chip(self) -> (Chip, u8) {
        if self.0 < 8 { (Chip::Master, self.0) } else { (Chip::Slave, self.0 & 7) }
    }

    const fn bit(self) -> u16 {
        1 << self.0
    }
}

/// All lines but the one between the controllers.
#[expect(clippy::as_conversions, reason = "the number of a line")]
const ALL: u16 = !(1 << pic::CASCADE as u16);

/// Which lines are masked, and what came by them that nobody wanted.
pub(crate) struct Lines {
    /// A bit for each line, set if it is masked, as the controllers have it.
    masks: Locked<u16>,
    /// Interrupts that no device had asked for any more.
    spurious: AtomicU32,
    /// Interrupts by lines without a handler.
    stray: AtomicU32,
}

impl Lines {
    pub(crate) const fn new() -> Self {
        Self { masks: Locked::new(ALL), spurious: AtomicU32::new(0), stray: AtomicU32::new(0) }
    }

    /// Gives the lines their vectors, and masks all of them.
    pub(crate) fn start<M: Machine>(&self, machine: &M) {
        self.masks.with(machine, |masks| {
            *masks = ALL;
            pic::start(machine, FIRST_LINE, ALL.to_le_bytes());
        });
    }

    /// Holds interrupts by `line` back.
    pub(crate) fn mask<M: Machine>(&self, machine: &M, line: Line) {
        self.set(machine, line, |masks| masks | line.bit());
    }

    /// Lets interrupts by `line` through.
    pub(crate) fn unmask<M: Machine>(&self, machine: &M, line: Line) {
        self.set(machine, line, |masks| masks & !line.bit());
    }

    fn set<M: Machine>(&self, machine: &M, line: Line, change: impl FnOnce(u16) -> u16) {
        self.masks.with(machine, |masks| {
            *masks = change(*masks);
            let [master, slave] = masks.to_le_bytes();
            match line.chip() {
                (Chip::Master, _) => pic::set_mask(machine, Chip::Master, master),
                (Chip::Slave, _) => pic::set_mask(machine, Chip::Slave, slave),
            }
        });
    }

    /// Whether `line` is masked.
    pub(crate) fn is_masked<M: Machine>(&self, machine: &M, line: Line) -> bool {
        self.masks.with(machine, |masks| *masks & line.bit() != 0)
    }

    /// Whether the interrupt that just came by `line` is spurious: the controller had to answer the CPU,
    /// and no line asked any more. It is counted then, and ended as far as it has to be.
    ///
    /// Only the last line of a controller shows this, by a bit in service that is not set (8259A data
    /// sheet, "interrupt sequence").
    pub(crate) fn is_spurious<M: Machine>(&self, machine: &M, line: Line) -> bool {
        let (chip, bit) = line.chip();
        if bit != 7 || self.masks.with(machine, |_| pic::in_service(machine, chip)) & 1 << bit != 0 {
            return false;
        }
        if chip == Chip::Slave {
            // The master saw a true interrupt: that of the slave.
            pic::end_of_cascade(machine);
        }
        self.spurious.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Tells the controllers that the interrupt by `line` has been served.
    pub(crate) fn end<M: Machine>(&self, machine: &M, line: Line) {
        let (chip, bit) = line.chip();
        pic::end_of_interrupt(machine, chip, bit);
        if chip == Chip::Slave {
            pic::end_of_cascade(machine);
        }
    }

    /// Masks a line that interrupts although it has no handler.
    pub(crate) fn silence<M: Machine>(&self, machine: &M, line: Line) {
        self.mask(machine, line);
        self.stray.fetch_add(1, Ordering::Relaxed);
    }

    /// As they are, for a machine that stands still.
    #[cfg(feature = "emulated")]
    pub(super) fn duplicate(&self) -> Self {
        Self {
            masks: Locked::new(self.masks.peek()),
            spurious: AtomicU32::new(self.spurious()),
            stray: AtomicU32::new(self.stray()),
        }
    }

    /// Holds the lock, as another CPU would.
    #[cfg(test)]
    pub(super) fn hold(&self) -> impl Sized + '_ {
        self.masks.hold()
    }

    /// What of them decides what happens next: the masks.
    #[cfg(feature = "emulated")]
    pub(super) fn digest(&self) -> u16 {
        self.masks.peek()
    }

    pub(crate) fn spurious(&self) -> u32 {
        self.spurious.load(Ordering::Relaxed)
    }

    pub(crate) fn stray(&self) -> u32 {
        self.stray.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
