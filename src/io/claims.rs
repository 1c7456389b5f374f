//! Which ports somebody has: one bit for each.
//!
//! A claim owns the bits that it turned from 0 to 1, and turns only these back. It holds when it turned
//! all of its bits. So no two claims that hold share a port, whatever CPUs do meanwhile, and no
//! claim ever waits for another. Words are taken upwards: a claim fails in a word because of one that
//! has come as far and goes on from there, so of claims that race one holds at last.

use crate::interrupt::quiet::Locked;
use crate::machine::Machine;
use crate::violation::Violation;
use core::sync::atomic::{AtomicU32, Ordering};
use static_assertions::const_assert_eq;

/// How many ports there are.
const LIMIT: u32 = 0x1_0000;
/// How many words have a bit for each.
const WORDS: usize = 2048;
const_assert_eq!(0x1_0000, WORDS * 32);

/// One port or several in a row, the last 0xffff at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ports {
    first: u16,
    count: u32,
}

impl Ports {
    pub(super) const fn new(first: u16, count: u32) -> Result<Self, Violation> {
        let ports = Self { first, count };
        if count == 0 {
            return Err(Violation::NoPorts(ports.start()));
        }
        // The first is below the limit, so neither side can wrap.
        if count > LIMIT.wrapping_sub(ports.start()) {
            return Err(Violation::PastLastPort(ports.start()));
        }
        Ok(ports)
    }

    pub(super) const fn first(self) -> u16 {
        self.first
    }

    pub(super) const fn count(self) -> u32 {
        self.count
    }

    #[expect(clippy::as_conversions, reason = "widens; `From` is not const")]
    const fn start(self) -> u32 {
        self.first as u32
    }

    /// The last.
    pub(super) const fn last(self) -> u16 {
        self.number(self.count.wrapping_sub(1))
    }

    /// The number of the port at `offset`, which lies inside.
    #[expect(clippy::as_conversions, reason = "no more than 0xffff, by `new`")]
    const fn number(self, offset: u32) -> u16 {
        self.start().wrapping_add(offset) as u16
    }

    /// Those before offset `at`, and the rest. `None` if one of the two would be empty.
    pub(super) const fn split(self, at: u16) -> Option<(Self, Self)> {
        #[expect(clippy::as_conversions, reason = "widens; `From` is not const")]
        let at = at as u32;
        if at == 0 || at >= self.count {
            return None;
        }
        let low = Self { first: self.first, count: at };
        Some((low, Self { first: self.number(at), count: self.count.wrapping_sub(at) }))
    }
}

/// A word of claims, as far as the moves below need it.
trait Bits {
    fn load(&self) -> u32;
    /// Sets `bits` and answers what stood there.
    fn set(&self, bits: u32) -> u32;
    /// Clears `bits` and answers what stood there.
    fn clear(&self, bits: u32) -> u32;
}

/// The one text of the moves' orders, for the shipped word and for the one that loom watches.
macro_rules! bits {
    ($word:ty) => {
        impl Bits for $word {
            fn load(&self) -> u32 {
                <$word>::load(self, Ordering::Relaxed)
            }

            fn set(&self, bits: u32) -> u32 {
                self.fetch_or(bits, Ordering::Acquire)
            }

            fn clear(&self, bits: u32) -> u32 {
                self.fetch_and(!bits, Ordering::Release)
            }
        }
    };
}
bits!(AtomicU32);

/// What of a range lies in one word.
struct Part<'w, B> {
    word: &'w B,
    /// The port of the word's bit 0.
    start: u16,
    bits: u32,
}

impl<B: Bits> Part<'_, B> {
    /// The lowest port of the range that `seen` says is taken.
    fn taken(&self, seen: u32) -> Option<u16> {
        let taken = seen & self.bits;
        let bit = u16::try_from(taken.trailing_zeros()).ok()?;
        if taken == 0 { None } else { self.start.checked_add(bit) }
    }
}

/// The parts of `ports`, upwards.
fn parts<B: Bits>(words: &[B], ports: Ports) -> impl Iterator<Item = Part<'_, B>> {
    let (first, last) = (ports.first, ports.last());
    let (low, high) = (usize::from(first / 32), usize::from(last / 32));
    let starts = (0..=u16::MAX).step_by(32).skip(low);
    words.get(low..=high).unwrap_or_default().iter().zip(starts).map(move |(word, start)| {
        let before = u32::from(first.saturating_sub(start));
        let behind = u32::from((start | 31).saturating_sub(last));
        Part { word, start, bits: u32::MAX.wrapping_shl(before) & u32::MAX.wrapping_shr(behind) }
    })
}

/// Sets every bit of `ports`, or answers the port that somebody has and changes nothing. A claim of
/// what was taken before it began never writes, so it is in nobody's way.
fn take<B: Bits>(words: &[B], ports: Ports) -> Result<(), u16> {
    if let Some(port) = parts(words, ports).find_map(|part| part.taken(part.word.load())) {
        return Err(port);
    }
    for (done, part) in parts(words, ports).enumerate() {
        let seen = part.word.set(part.bits);
        if let Some(port) = part.taken(seen) {
            part.word.clear(part.bits & !seen);
            parts(words, ports).take(done).for_each(|part| _ = part.word.clear(part.bits));
            return Err(port);
        }
    }
    Ok(())
}

/// Clears every bit of `ports` and says whether all were set.
fn release<B: Bits>(words: &[B], ports: Ports) -> bool {
    let mut all = true;
    for part in parts(words, ports) {
        all &= part.word.clear(part.bits) & part.bits == part.bits;
    }
    all
}

/// Which ports of a machine somebody has.
pub struct Claims {
    words: [AtomicU32; WORDS],
    /// Held while several accesses to PCI configuration space belong together.
    configuration: Locked<()>,
    /// Held between an index and a byte of the CMOS.
    cmos: Locked<()>,
}

impl Claims {
    /// Nobody has any.
    pub(crate) const fn new() -> Self {
        Self {
            words: [const { AtomicU32::new(0) }; WORDS],
            configuration: Locked::new(()),
            cmos: Locked::new(()),
        }
    }

    /// Calls `run` while nobody else reaches PCI configuration space, with interrupts off.
    pub(super) fn configuration<M: Machine, R>(&self, machine: &M, run: impl FnOnce() -> R) -> R {
        self.configuration.with(machine, |()| run())
    }

    /// Calls `run` while nobody else reaches the CMOS, with interrupts off.
    pub(super) fn cmos<M: Machine, R>(&self, machine: &M, run: impl FnOnce() -> R) -> R {
        self.cmos.with(machine, |()| run())
    }

    /// The lowest of `ports` that somebody has.
    pub(super) fn first_taken(&self, ports: Ports) -> Option<u16> {
        parts(&self.words, ports).find_map(|part| part.taken(Bits::load(part.word)))
    }

    /// Takes all of `ports`, or none.
    pub(super) fn take(&self, ports: Ports) -> Result<(), Violation> {
        if cfg!(sva_os_unchecked) {
            return Ok(());
        }
        take(&self.words, ports).map_err(|port| Violation::PortTaken(port.into()))
    }

    /// Gives back what was taken. `false` if some of it was not.
    pub(super) fn release(&self, ports: Ports) -> bool {
        cfg!(sva_os_unchecked) || release(&self.words, ports)
    }
}

#[cfg(feature = "emulated")]
impl Claims {
    /// The same claims once more, for a copy of the whole machine.
    pub(crate) fn copy(&self) -> Self {
        Self {
            words: core::array::from_fn(|word| AtomicU32::new(self.words.get(word).map_or(0, Bits::load))),
            configuration: Locked::new(()),
            cmos: Locked::new(()),
        }
    }

    /// What is taken: the first port of every word with a bit set, and its bits.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (u16, u32)> {
        let words = (0..=u16::MAX).step_by(32).zip(self.words.iter().map(Bits::load));
        words.filter(|(_, bits)| *bits != 0)
    }
}

impl core::fmt::Debug for Claims {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let taken: u32 = self.words.iter().map(|word| Bits::load(word).count_ones()).sum();
        write!(f, "{taken} ports taken")
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(test)]
mod tests;
