//! What the client calls stacks and threads by.

use super::state::{State, Word};
use crate::violation::Violation;

/// A slot of the thread table, in one generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) number: u32,
    /// The word that the slot has while it is saved: what it is taken by.
    pub(crate) saved: Word,
}

impl Name {
    /// The name of what has slot `number` in the generation of `word`.
    pub(crate) const fn new(number: u32, word: Word) -> Self {
        Self { number, saved: word.to(State::Saved) }
    }

    /// Why what has this name is not to be had, when its slot's word is `word`.
    #[cold]
    #[inline(never)]
    pub(crate) fn why_not(self, word: Word) -> Violation {
        if !word.is_same(self.saved) {
            return Violation::StaleThread(self.number);
        }
        match word.state() {
            State::Vacant => Violation::StaleThread(self.number),
            State::Running | State::Idle | State::Ending | State::Abandoning => {
                Violation::ThreadRunning(self.number)
            }
            State::Unused | State::Abandoned => Violation::ThreadEnded(self.number),
            State::Ready | State::Saved => Violation::StackInUse(self.number),
            State::Busy | State::Waiting => Violation::ThreadBusy(self.number),
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub(crate) Name);

        impl $name {
            /// The number of its slot. Another may have the slot when it is gone.
            pub const fn number(self) -> u32 {
                self.0.number
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let generation = self.0.saved.generation();
                f.debug_tuple(stringify!($name)).field(&self.0.number).field(&generation).finish()
            }
        }
    };
}

name!(
    /// A stack on which no thread was made yet, or whose thread has ended. Any name can be tried at any time: one
    /// that is out of date is refused, and never names another.
    StackId
);
name!(
    /// A thread: the number of its slot, and which of all that had the slot it is. Any name can be tried at
    /// any time: one that is out of date is refused, and never names another.
    ThreadId
);

impl ThreadId {
    /// Its stack, to be released or used again when it has ended, or to be released if it never ran.
    pub const fn stack(self) -> StackId {
        StackId(self.0)
    }
}
