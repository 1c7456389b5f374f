//! Signals: what they are called, what is pending, and what is done about them.

pub mod frame;

#[cfg(target_os = "none")]
pub mod deliver;
#[cfg(target_os = "none")]
pub mod send;

use alloc::collections::VecDeque;

/// How many signals there are: numbers 1 to 64.
pub const COUNT: usize = 64;
/// The first of those that queue.
const FIRST_QUEUED: u32 = 32;
/// The most signals that wait in one queue.
const MOST_PENDING: usize = 256;

macro_rules! signals {
    ($($name:ident = $number:literal),* $(,)?) => {
        $(#[doc = concat!("Signal ", $number, ".")] pub const $name: u32 = $number;)*
    };
}

signals! {
    HUP = 1, INT = 2, QUIT = 3, ILL = 4, TRAP = 5, ABRT = 6, BUS = 7, FPE = 8, KILL = 9, USR1 = 10, SEGV = 11,
    USR2 = 12, PIPE = 13, ALRM = 14, TERM = 15, STKFLT = 16, CHLD = 17, CONT = 18, STOP = 19, TSTP = 20, TTIN = 21,
    TTOU = 22, URG = 23, XCPU = 24, XFSZ = 25, VTALRM = 26, PROF = 27, WINCH = 28, IO = 29, PWR = 30, SYS = 31,
}

/// A set of signals: bit *n* - 1 is signal *n*.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Set(pub u64);

impl Set {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Those that cannot be held back, caught or ignored.
    pub const UNSTOPPABLE: Self = Self::of(&[KILL, STOP]);
    /// Those that stop a process unless it catches them.
    pub const STOPS: Self = Self::of(&[STOP, TSTP, TTIN, TTOU]);
    /// Those that nothing comes of unless a process catches them.
    const IGNORED: Self = Self::of(&[CHLD, CONT, URG, WINCH]);

    /// Of these signals.
    pub const fn of(signals: &[u32]) -> Self {
        let mut bits = 0;
        let mut place = 0;
        while place < signals.len() {
            bits |= 1 << (signals[place] - 1);
            place += 1;
        }
        Self(bits)
    }

    /// Whether `signal`, from 1 on, is in it.
    pub const fn has(self, signal: u32) -> bool {
        self.0 >> (signal.wrapping_sub(1) & 63) & 1 != 0
    }

    /// Those of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The one with the lowest number.
    pub const fn first(self) -> Option<u32> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() + 1) }
    }
}

/// What a signal tells of itself: the parts of a `siginfo_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Info {
    /// Its number.
    pub signal: u32,
    /// `si_code`.
    pub code: i32,
    /// What follows, three words: a process and its user and a status or value; or an address.
    pub fields: [u32; 3],
}

/// `si_code` of signals from `kill`, from the kernel, from `tgkill`.
pub const SI_USER: i32 = 0;
/// From the kernel.
pub const SI_KERNEL: i32 = 0x80;
/// From `tgkill`.
pub const SI_TKILL: i32 = -6;

impl Info {
    /// From the kernel.
    pub const fn kernel(signal: u32) -> Self {
        Self { signal, code: SI_KERNEL, fields: [0; 3] }
    }

    /// From process `sender`.
    pub const fn user(signal: u32, sender: u32) -> Self {
        Self { signal, code: SI_USER, fields: [sender, 0, 0] }
    }

    /// Its bytes as a `siginfo_t`, but for the zeroes that follow.
    pub fn bytes(&self) -> [u8; 24] {
        let [first, second, third] = self.fields;
        let words = [self.signal, 0, self.code.cast_unsigned(), first, second, third];
        let mut bytes = [0; 24];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Signals that were sent and not taken.
#[derive(Debug, Default)]
pub struct Pending {
    set: Set,
    queue: VecDeque<Info>,
}

impl Pending {
    /// None.
    pub const fn new() -> Self {
        Self { set: Set::EMPTY, queue: VecDeque::new() }
    }

    /// Which there are.
    pub const fn set(&self) -> Set {
        self.set
    }

    /// Adds one. Of each number below 32 only the first is kept until it is taken; of the others all, as long as
    /// there is room: `false` if there is none.
    pub fn add(&mut self, info: Info) -> bool {
        if info.signal < FIRST_QUEUED && self.set.has(info.signal) {
            return true;
        }
        if info.signal >= FIRST_QUEUED && self.queue.len() >= MOST_PENDING {
            return false;
        }
        self.set = self.set.and(Set::of(&[info.signal]));
        self.queue.push_back(info);
        true
    }

    /// Takes the one with the lowest number that is in `wanted`; of several the oldest.
    pub fn take(&mut self, wanted: Set) -> Option<Info> {
        let signal = Set(self.set.0 & wanted.0).first()?;
        let place = self.queue.iter().position(|info| info.signal == signal)?;
        let info = self.queue.remove(place)?;
        if !self.queue.iter().any(|info| info.signal == signal) {
            self.set = self.set.without(Set::of(&[signal]));
        }
        Some(info)
    }

    /// Forgets those in `gone`.
    pub fn remove(&mut self, gone: Set) {
        if !Set(self.set.0 & gone.0).is_empty() {
            self.queue.retain(|info| !gone.has(info.signal));
            self.set = self.set.without(gone);
        }
    }
}

/// `SIG_DFL` and `SIG_IGN`, where a handler's address may stand.
pub const DEFAULT: u32 = 0;
/// `SIG_IGN`
pub const IGNORE: u32 = 1;

/// `SA_*`.
pub mod flags {
    /// `SA_NOCLDSTOP`
    pub const NO_CHILD_STOP: u32 = 1;
    /// `SA_NOCLDWAIT`
    pub const NO_CHILD_WAIT: u32 = 2;
    /// `SA_SIGINFO`
    pub const INFO: u32 = 4;
    /// `SA_RESTORER`
    pub const RESTORER: u32 = 0x0400_0000;
    /// `SA_ONSTACK`
    pub const ON_STACK: u32 = 0x0800_0000;
    /// `SA_RESTART`
    pub const RESTART: u32 = 0x1000_0000;
    /// `SA_NODEFER`
    pub const NO_DEFER: u32 = 0x4000_0000;
    /// `SA_RESETHAND`
    pub const RESET: u32 = 0x8000_0000;
}

/// What a process does about a signal: `struct sigaction`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Action {
    /// The handler's address, or [`DEFAULT`] or [`IGNORE`].
    pub handler: u32,
    /// `SA_*`.
    pub flags: u32,
    /// Where a handler returns to.
    pub restorer: u32,
    /// What else is held back while it runs.
    pub mask: Set,
}

/// Bytes of `struct sigaction` as `rt_sigaction` takes it.
pub const ACTION_WORDS: usize = 5;

impl Action {
    /// From the words of a `struct sigaction`.
    pub const fn from_words([handler, flags, restorer, low, high]: [u32; ACTION_WORDS]) -> Self {
        let mask = Set(low as u64 | (high as u64) << 32).without(Set::UNSTOPPABLE);
        Self { handler, flags, restorer, mask }
    }

    /// The words of a `struct sigaction`.
    pub const fn words(self) -> [u32; ACTION_WORDS] {
        [self.handler, self.flags, self.restorer, self.mask.0 as u32, (self.mask.0 >> 32) as u32]
    }

    /// Whether nothing comes of `signal`.
    pub const fn ignores(self, signal: u32) -> bool {
        self.handler == IGNORE || self.handler == DEFAULT && Set::IGNORED.has(signal)
    }
}

/// What comes of a signal that is not caught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consequence {
    /// Nothing.
    Nothing,
    /// The process stops until it is continued.
    Stop,
    /// The process ends.
    End,
}

/// What comes of `signal` where it is not caught.
pub const fn default(signal: u32) -> Consequence {
    if Set::IGNORED.has(signal) {
        Consequence::Nothing
    } else if Set::STOPS.has(signal) {
        Consequence::Stop
    } else {
        Consequence::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_linux_bits() {
        assert_eq!(Set::of(&[1, 64]), Set(0x8000_0000_0000_0001));
        assert_eq!(Set::UNSTOPPABLE.0, 1 << 8 | 1 << 18);
        assert_eq!(Set::of(&[5, 9]).first(), Some(5));
        assert_eq!(Set::EMPTY.first(), None);
        assert!(Set::of(&[64]).has(64) && !Set::of(&[64]).has(63));
    }

    #[test]
    fn the_lowest_comes_first_and_the_oldest_of_its_number() {
        let mut pending = Pending::new();
        let info = |signal, value| Info { signal, code: 0, fields: [value, 0, 0] };
        for (signal, value) in [(40, 1), (12, 2), (40, 3), (12, 4), (2, 5)] {
            assert!(pending.add(info(signal, value)));
        }
        let mut take = |wanted| pending.take(wanted).map(|info| (info.signal, info.fields[0]));
        assert_eq!(take(Set::of(&[12, 40])), Some((12, 2)), "the second 12 was not kept");
        assert_eq!(take(Set(u64::MAX)), Some((2, 5)));
        assert_eq!(take(Set(u64::MAX)), Some((40, 1)));
        assert_eq!(take(Set(u64::MAX)), Some((40, 3)));
        assert_eq!(take(Set(u64::MAX)), None);
        assert_eq!(pending.set(), Set::EMPTY);
    }

    #[test]
    fn what_is_removed_does_not_come() {
        let mut pending = Pending::new();
        for signal in [TSTP, CONT, 50, 50] {
            pending.add(Info::kernel(signal));
        }
        pending.remove(Set::STOPS.and(Set::of(&[50])));
        assert_eq!(pending.set(), Set::of(&[CONT]));
        assert_eq!(pending.take(Set(u64::MAX)), Some(Info::kernel(CONT)));
    }

    #[test]
    fn a_queue_has_an_end() {
        let mut pending = Pending::new();
        assert!((0..MOST_PENDING).all(|_| pending.add(Info::kernel(40))));
        assert!(!pending.add(Info::kernel(40)));
        assert!(pending.add(Info::kernel(KILL)), "what is not queued always fits");
    }

    #[test]
    fn an_action_keeps_its_words_but_never_holds_kill_back() {
        let words = [0x1234, flags::INFO | flags::RESTORER, 0x5678, 0x3, 0x4];
        assert_eq!(Action::from_words(words).words(), words);
        assert_eq!(Action::from_words([0, 0, 0, u32::MAX, u32::MAX]).mask, Set(!Set::UNSTOPPABLE.0));
    }

    #[test]
    fn the_defaults_are_those_of_posix() {
        assert_eq!(default(TERM), Consequence::End);
        assert_eq!(default(SEGV), Consequence::End);
        assert_eq!(default(TSTP), Consequence::Stop);
        assert_eq!(default(CHLD), Consequence::Nothing);
        assert_eq!(default(CONT), Consequence::Nothing);
        assert_eq!(default(33), Consequence::End);
        let caught = Action { handler: 0x1000, ..Action::default() };
        assert!(Action::default().ignores(CHLD) && !Action::default().ignores(TERM) && !caught.ignores(CHLD));
    }
}
