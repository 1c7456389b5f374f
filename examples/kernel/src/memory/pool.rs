//! Frames: which are free, which hold user data, and how often each of these is used.
//!
//! A frame that user programs have given back stays user data and waits here. The library then need not be asked to
//! change its kind, which costs a flush; it is filled with zeroes, or with a copy, before anybody maps it again.

use crate::machine::{Kernel, sva};
use alloc::vec::Vec;
use spin::Mutex;
use sva_os::address::{FRAME_BYTES, Frame, FrameRange};
use sva_os::frame::Kind;
use sva_os::heap::Heap;

/// Bytes of a frame.
pub const PAGE: usize = 4096;
static ZEROES: [u8; PAGE] = [0; PAGE];
const _: () = assert!(FRAME_BYTES == 4096);

#[global_allocator]
static HEAP: Heap = Heap::new();

/// Frames that the heap begins with, and those that it grows by.
const FIRST_HEAP: u32 = 512;
const MORE_HEAP: u32 = 256;
/// As many as the reserve takes, and what the allocator adds.
const RESERVE_FRAMES: u32 = 36;
/// The part of all frames that the heap may have, as a divisor.
const MOST_HEAP: u32 = 2;
/// Bytes of the heap that are left for what cannot be refused.
const RESERVE: usize = 128 << 10;

/// All frames that were free at boot.
struct Pool {
    /// Free, and never used so far: each frame of kind free from `low` up to `high`.
    low: u32,
    high: u32,
    /// Free.
    free: Vec<Frame>,
    /// User data that nobody uses.
    user: Vec<Frame>,
    /// By the number of a frame of user data, how many leaves and others use it.
    uses: Vec<u32>,
    /// How many frames there were, of which so many went to the heap.
    total: u32,
    heap: u32,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    low: 0,
    high: 0,
    free: Vec::new(),
    user: Vec::new(),
    uses: Vec::new(),
    total: 0,
    heap: 0,
});

/// How the frames are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counts {
    /// All that the kernel had at boot.
    pub total: u32,
    /// Those that nobody uses.
    pub unused: u32,
    /// Those granted to the heap, for ever.
    pub heap: u32,
}

/// Makes the heap, and a pool of all that is left.
///
/// # Errors
///
/// With how many frames there are, if they are too few.
pub fn init(sva: &Kernel) -> Result<(), u32> {
    let count = sva.frame_count();
    let is_free = |number: &u32| Frame::new(*number).is_some_and(|frame| sva.kind(frame) == Kind::Free);
    let total = u32::try_from((1..count).filter(is_free).count()).unwrap_or(0);
    // Three words of the heap for each frame.
    let heap = FIRST_HEAP + count.div_ceil(FRAME_BYTES / 12);
    let mut low = 1;
    if !grow(sva, &mut low, count, heap) {
        return Err(total);
    }
    let mut pool = POOL.lock();
    let length = count as usize;
    pool.free.reserve_exact(length);
    pool.user.reserve_exact(length);
    pool.uses.resize(length, 0);
    (pool.low, pool.high, pool.total, pool.heap) = (low, count, total, heap);
    pool.keep_free(1, low - heap);
    Ok(())
}

/// Gives the heap the first `frames` frames that are free in a row from `low` on, below `high`; `low` is behind them
/// then.
fn grow(sva: &Kernel, low: &mut u32, high: u32, frames: u32) -> bool {
    let mut first = *low;
    let mut end = first;
    while end < high && end - first < frames {
        let is_free = Frame::new(end).is_some_and(|frame| sva.kind(frame) == Kind::Free);
        end += 1;
        if !is_free {
            first = end;
        }
    }
    if end - first < frames {
        return false;
    }
    let range = Frame::new(first).and_then(|first| FrameRange::new(first, frames));
    let Some(Ok(memory)) = range.map(|range| sva.grant_memory(range)) else {
        return false;
    };
    *low = end;
    HEAP.grow(memory)
}

/// Whether the heap has room for `bytes` bytes, and for what cannot be refused beside; it is made to grow if not. Who
/// may be refused asks before he lets the kernel keep records.
pub fn has_room(bytes: usize) -> bool {
    fits(bytes) || make_room(bytes) && fits(bytes)
}

/// Whether the heap has it as it is.
fn fits(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(RESERVE.saturating_add(bytes)).is_ok()
}

/// Lets the heap grow, by so much at least.
#[cold]
#[inline(never)]
fn make_room(bytes: usize) -> bool {
    let least = u32::try_from(bytes.div_ceil(PAGE)).unwrap_or(u32::MAX).saturating_add(RESERVE_FRAMES);
    let mut guard = POOL.lock();
    let pool = &mut *guard;
    // The rest is for programs.
    if pool.heap + least > pool.total / MOST_HEAP {
        return false;
    }
    // In as few pieces as may be: the end of each is too short for the reserve.
    let more = least.max(MORE_HEAP);
    pool.grow_from_fresh(more) || pool.grow_from_used(more) || pool.grow_from_used(least)
}

impl Pool {
    /// Gives the heap `frames` frames that were never used.
    fn grow_from_fresh(&mut self, frames: u32) -> bool {
        let before = self.low;
        if !grow(sva(), &mut self.low, self.high, frames) {
            return false;
        }
        self.keep_free(before, self.low - frames);
        self.heap += frames;
        true
    }

    /// Writes `value` where the uses of frames are counted that have none.
    fn mark_unused(&mut self, value: u32) {
        for frame in self.free.iter().chain(&self.user) {
            if let Some(uses) = self.uses.get_mut(frame.number() as usize) {
                *uses = value;
            }
        }
    }

    /// Gives the heap `frames` frames in a row that were used and are not. It looks at all of them, which is why it is the
    /// last resort.
    fn grow_from_used(&mut self, frames: u32) -> bool {
        const UNUSED: u32 = u32::MAX;
        self.mark_unused(UNUSED);
        let mut row = 0;
        let end = (0..).zip(&self.uses).find_map(|(number, uses)| {
            row = if *uses == UNUSED { row + 1 } else { 0 };
            (row == frames).then_some(number + 1)
        });
        self.mark_unused(0);
        let Some(end) = end else {
            return false;
        };
        let range = end - frames..end;
        self.free.retain(|frame| !range.contains(&frame.number()));
        // None of them is used, so none is refused.
        self.user
            .retain(|frame| !range.contains(&frame.number()) || sva().retype(*frame, Kind::Free).is_err());
        let first = Frame::new(range.start).and_then(|first| FrameRange::new(first, frames));
        let Some(Ok(memory)) = first.map(|frames| sva().grant_memory(frames)) else {
            self.keep_free(range.start, range.end);
            return false;
        };
        self.heap += frames;
        HEAP.grow(memory)
    }
}

impl Pool {
    /// Takes those of the frames `first..end` that are free: too few in a row for the heap, and so passed over.
    fn keep_free(&mut self, first: u32, end: u32) {
        let frames = (first..end).filter_map(Frame::new);
        self.free.extend(frames.filter(|frame| sva().kind(*frame) == Kind::Free));
    }

    /// A free frame that was never used.
    fn fresh(&mut self) -> Option<Frame> {
        while self.low < self.high {
            self.high -= 1;
            if let Some(frame) = Frame::new(self.high)
                && sva().kind(frame) == Kind::Free
            {
                return Some(frame);
            }
        }
        None
    }
}

/// A free frame, for a table or a stack. Nobody else has it.
pub fn take_free() -> Option<Frame> {
    let mut pool = POOL.lock();
    if let Some(frame) = pool.free.pop() {
        return Some(frame);
    }
    if let Some(frame) = pool.fresh() {
        return Some(frame);
    }
    let frame = pool.user.pop()?;
    sva().retype(frame, Kind::Free).is_ok().then_some(frame)
}

/// Takes back a frame that is free again.
pub fn give_free(frame: Frame) {
    POOL.lock().free.push(frame);
}

/// A frame of user data with one use, whatever is in it.
pub fn take_user() -> Option<Frame> {
    take(false)
}

/// A frame of user data with one use, full of zeroes.
pub fn take_zeroed() -> Option<Frame> {
    take(true)
}

fn take(zeroed: bool) -> Option<Frame> {
    let mut guard = POOL.lock();
    let pool = &mut *guard;
    let frame = match pool.user.pop() {
        Some(frame) => {
            if zeroed {
                sva().write_bytes(frame, 0, &ZEROES).ok()?;
            }
            frame
        }
        None => {
            let frame = pool.free.pop().or_else(|| pool.fresh())?;
            // That fills it with zeroes.
            sva().retype(frame, Kind::UserData).ok()?;
            frame
        }
    };
    *pool.uses.get_mut(frame.number() as usize)? = 1;
    Some(frame)
}

/// One more uses `frame`, which is in use.
pub fn share(frame: Frame) {
    if let Some(uses) = POOL.lock().uses.get_mut(frame.number() as usize) {
        *uses += 1;
    }
}

/// Whether only one uses `frame`.
pub fn is_sole(frame: Frame) -> bool {
    POOL.lock().uses.get(frame.number() as usize).is_some_and(|uses| *uses == 1)
}

/// One less uses each of `frames`; no TLB of a program that runs on leads there any more.
pub fn give_user(frames: impl Iterator<Item = Frame>) {
    let mut guard = POOL.lock();
    let pool = &mut *guard;
    for frame in frames {
        let Some(uses) = pool.uses.get_mut(frame.number() as usize) else {
            continue;
        };
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            pool.user.push(frame);
        }
    }
}

/// How the frames are used.
pub fn counts() -> Counts {
    let pool = POOL.lock();
    let is_free = |number: &u32| Frame::new(*number).is_some_and(|frame| sva().kind(frame) == Kind::Free);
    let fresh = (pool.low..pool.high).filter(is_free).count();
    let unused = u32::try_from(fresh + pool.free.len() + pool.user.len()).unwrap_or(u32::MAX);
    Counts { total: pool.total, unused, heap: pool.heap }
}

/// How many frames are unused, without a look at each: those of the heap's reach that are not free count too.
pub fn unused() -> u32 {
    let pool = POOL.lock();
    u32::try_from(pool.free.len() + pool.user.len()).unwrap_or(0) + (pool.high - pool.low)
}

/// How many frames there were at boot.
pub fn total() -> u32 {
    POOL.lock().total
}
