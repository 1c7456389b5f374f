//! `select`: sets of descriptors, as bits.

use super::descriptors::Descriptors;
use super::poll::Events;
use crate::errno::Result;
use crate::wait::{TaskId, WaitQueue};

/// How many descriptors a set has.
pub const SET_SIZE: u32 = 1024;
const WORDS: usize = SET_SIZE as usize / 32;

/// `fd_set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdSet {
    words: [u32; WORDS],
}

/// Those to read, to write, and with something exceptional.
pub type Sets = [FdSet; 3];

/// What each set asks for, and is told.
const ASKED: [Events; 3] =
    [Events::IN.union(Events::HUP).union(Events::ERR), Events::OUT.union(Events::ERR), Events::PRI];

impl FdSet {
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    /// How many bytes hold so many descriptors: whole words.
    pub const fn bytes_for(count: u32) -> usize {
        count.div_ceil(32) as usize * 4
    }

    /// The first words; the others are empty.
    pub fn from_words(words: &[u32]) -> Self {
        let mut set = Self::EMPTY;
        set.words.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
        set
    }

    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        let (words, _) = bytes.as_chunks();
        set.words.iter_mut().zip(words).for_each(|(to, from)| *to = u32::from_le_bytes(*from));
        set
    }

    /// Writes the first words.
    pub fn copy_to(&self, bytes: &mut [u8]) {
        let (words, _) = bytes.as_chunks_mut();
        self.words.iter().zip(words).for_each(|(from, to)| *to = from.to_le_bytes());
    }

    fn word(&self, place: usize) -> u32 {
        self.words.get(place).copied().unwrap_or(0)
    }

    fn set(&mut self, place: usize, bit: u32) {
        if let Some(word) = self.words.get_mut(place) {
            *word |= bit;
        }
    }
}

/// Calls `visit` with the place and the bit of each descriptor that is in one of the sets.
fn each(count: u32, sets: &Sets, mut visit: impl FnMut(usize, u32, u32) -> Result<()>) -> Result<()> {
    let count = count.min(SET_SIZE);
    let [reads, writes, exceptions] = sets;
    for place in 0..count.div_ceil(32) as usize {
        let first = place as u32 * 32;
        let inside = u32::MAX >> 32_u32.saturating_sub(count - first).min(31);
        let mut bits = (reads.word(place) | writes.word(place) | exceptions.word(place)) & inside;
        while bits != 0 {
            let number = bits.trailing_zeros();
            visit(place, 1 << number, first + number)?;
            bits &= bits - 1;
        }
    }
    Ok(())
}

/// Looks once at the first `count` descriptors: the sets become those that something can be done with. Answers how many
/// bits are set.
///
/// # Errors
///
/// EBADF if one of them is not open; the sets are as they were.
pub fn select(descriptors: &Descriptors, count: u32, sets: &mut Sets) -> Result<u32> {
    let mut found = [FdSet::EMPTY; 3];
    let mut bits = 0;
    each(count, sets, |place, bit, descriptor| {
        let events = descriptors.get(descriptor)?.poll();
        for ((found, set), asked) in found.iter_mut().zip(sets.iter()).zip(ASKED) {
            if set.word(place) & bit != 0 && events.intersects(asked) {
                found.set(place, bit);
                bits += 1;
            }
        }
        Ok(())
    })?;
    *sets = found;
    Ok(bits)
}

/// Has a task woken when any of them changes.
pub fn watch(descriptors: &Descriptors, count: u32, sets: &Sets, task: TaskId) {
    for_queues(descriptors, count, sets, |queue| queue.add(task));
}

/// Undoes [`watch`].
pub fn unwatch(descriptors: &Descriptors, count: u32, sets: &Sets, task: TaskId) {
    for_queues(descriptors, count, sets, |queue| queue.remove(task));
}

fn for_queues(descriptors: &Descriptors, count: u32, sets: &Sets, mut visit: impl FnMut(&WaitQueue)) {
    // What is not open has no queues: that is no error here.
    let _ = each(count, sets, |place, bit, descriptor| {
        let Ok(file) = descriptors.get(descriptor) else { return Ok(()) };
        let asked = sets.iter().zip(ASKED).filter(|(set, _)| set.word(place) & bit != 0);
        let interest = asked.fold(Events::empty(), |all, (_, asked)| all | asked);
        file.queues(interest, &mut visit);
        Ok(())
    });
}

#[cfg(test)]
mod tests;
