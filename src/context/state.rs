//! What a slot for a thread is in, in one word.
//!
//! The low four bits are the state, the others the generation: how often the slot was given to a new
//! stack or thread. So one compare-exchange says "this thread, in this state", and a stale name fits no word.
//!
//! When a thread is left, its word says so only when its stack has been left too: then it becomes one less. So
//! a state in which a CPU is on its stack is followed, downwards, by what the thread is afterwards.

use static_assertions::const_assert;

/// The state of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub(crate) enum State {
    /// There is no stack.
    Vacant = 0,
    /// The library is at work on it.
    Busy = 1,
    /// A thread that never ran.
    Ready = 2,
    /// A thread that was left, and goes on where it was.
    Saved = 3,
    /// A thread that runs on a CPU.
    Running = 4,
    /// A stack without a thread: none yet, or it has ended.
    Unused = 5,
    /// A thread that has ended, while a CPU is still on its stack.
    Ending = 6,
    /// A CPU's idle thread while another runs there. Only the library resumes it.
    Waiting = 7,
    /// A CPU's idle thread, running.
    Idle = 8,
    /// A thread that will never go on. Its stack holds values to which there may be borrows.
    Abandoned = 9,
    /// A thread that is being abandoned, while a CPU is still on its stack.
    Abandoning = 10,
}

const STATE: u32 = 15;
const ONE: u32 = STATE + 1;

#[expect(clippy::as_conversions, reason = "the number of a `repr(u32)` variant")]
const fn number(state: State) -> u32 {
    state as u32
}

// `Word::left` and `Word::resumed`.
const fn follows(state: State, afterwards: State) -> bool {
    Word::from_bits(number(state)).left().0 == number(afterwards)
}
const_assert!(follows(State::Running, State::Saved));
const_assert!(follows(State::Ending, State::Unused));
const_assert!(follows(State::Idle, State::Waiting));
const_assert!(follows(State::Abandoning, State::Abandoned));

/// State and generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Word(u32);

impl Word {
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn state(self) -> State {
        match self.0 & STATE {
            0 => State::Vacant,
            2 => State::Ready,
            3 => State::Saved,
            4 => State::Running,
            5 => State::Unused,
            6 => State::Ending,
            7 => State::Waiting,
            8 => State::Idle,
            9 => State::Abandoned,
            10 => State::Abandoning,
            _ => State::Busy,
        }
    }

    /// The same generation in another state.
    pub(crate) const fn to(self, state: State) -> Self {
        Self(self.0 & !STATE | number(state))
    }

    /// The word of a thread whose stack has been left.
    #[inline(always)]
    pub(crate) const fn left(self) -> Self {
        Self(self.0.wrapping_sub(1))
    }

    /// The next generation; `None` after the last, so that no name ever fits a second time.
    pub(crate) const fn next(self) -> Option<Self> {
        match self.0.checked_add(ONE) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }

    /// How many had the slot before.
    pub(crate) const fn generation(self) -> u32 {
        self.0 / ONE
    }

    /// Whether both are of one generation.
    pub(crate) const fn is_same(self, other: Self) -> bool {
        (self.0 ^ other.0) & !STATE == 0
    }

    /// The word of a running thread, of one that is saved.
    #[inline(always)]
    pub(crate) const fn resumed(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

#[cfg(test)]
pub(crate) mod tests;
