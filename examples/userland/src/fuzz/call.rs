//! System calls with arguments that no program would use.

use oorandom::Rand32;

/// The last number that is called.
pub const LAST: u32 = 450;
/// The only process a call may name, beside one that does not exist: the group of whoever calls.
const NOBODY: u32 = 0x3fff_fff0;

/// Calls that are left out, each for what it would do to more than the process that makes it.
const LEFT_OUT: [(u32, &str); 14] = [
    (26, "ptrace: writes other processes"),
    (88, "reboot: ends the run"),
    (97, "setpriority: of the process that counts"),
    (111, "vhangup: takes the terminal of the process that counts"),
    (178, "rt_sigqueueinfo: any process"),
    (238, "tkill: any thread"),
    (270, "tgkill: any thread"),
    (283, "kexec_load: another kernel"),
    (320, "kexec_file_load: another kernel"),
    (335, "rt_tgsigqueueinfo: any thread"),
    (340, "prlimit64: of any process"),
    (348, "process_vm_writev: writes other processes"),
    (424, "pidfd_send_signal: any process"),
    (440, "process_madvise: of any process"),
];
const KILL: u32 = 37;

/// Addresses that are worth to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The start of memory that can be written, and its length; behind it is nothing.
    pub memory: u32,
    /// See `memory`.
    pub length: u32,
    /// Somewhere in the program.
    pub code: u32,
    /// Somewhere in the stack.
    pub stack: u32,
    /// Paths, with a zero at the end of each, and the address of a socket.
    pub names: [u32; 5],
}

/// A system call: its number and six arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// In EAX.
    pub number: u32,
    /// In EBX, ECX, EDX, ESI, EDI and EBP.
    pub arguments: [u32; 6],
}

impl Call {
    /// Some call, or one with this number.
    pub fn any(random: &mut Rand32, places: &Places, number: Option<u32>) -> Self {
        let number = number.unwrap_or_else(|| {
            loop {
                let number = random.rand_range(0..LAST + 1);
                if LEFT_OUT.iter().all(|(left_out, _)| *left_out != number) {
                    break number;
                }
            }
        });
        let mut arguments = [0; 6].map(|_| value(random, places));
        if number == KILL {
            arguments[0] = if random.rand_range(0..2) == 0 { 0 } else { NOBODY };
        }
        Self { number, arguments }
    }

    /// Whether it may make a copy of the process that makes it.
    pub fn may_fork(&self) -> bool {
        const FORK: [u32; 4] = [2, 120, 190, 435];
        FORK.contains(&self.number)
    }
}

/// An argument, or a word of memory that one may point to.
pub fn value(random: &mut Rand32, places: &Places) -> u32 {
    const EDGES: [u32; 21] = [
        0,
        1,
        2,
        7,
        16,
        0xfff,
        0x1000,
        0x1001,
        0xffff,
        0x1_0000,
        0x7fff_ffff,
        0x8000_0000,
        0xbfff_f000,
        0xbfff_fffc,
        0xbfff_ffff,
        0xc000_0000,
        0xc000_0ffc,
        0xc010_0000,
        0xffff_f000,
        0xffff_fffc,
        0xffff_ffff,
    ];
    let mut pick = |from: &[u32]| {
        let index = random.rand_range(0..u32::try_from(from.len()).unwrap_or(1));
        from.get(index as usize).copied().unwrap_or_default()
    };
    let end = places.memory.wrapping_add(places.length);
    match pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) {
        // Open files, small counts, signals.
        0..=2 => random.rand_range(0..16),
        3 => pick(&EDGES),
        4 => places.memory.wrapping_add(random.rand_range(0..places.length.max(1))),
        // Right before nothing.
        5 => end.wrapping_sub(random.rand_range(0..24)),
        6 => pick(&places.names),
        7 => pick(&[places.code, places.stack, end, places.memory | 1]),
        8 => 1 << random.rand_range(0..32),
        _ => random.rand_u32(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    const PLACES: Places = Places {
        memory: 0x4000_0000,
        length: 0x2000,
        code: 0x804_9000,
        stack: 0xbfff_0000,
        names: [0x4000_0100, 0x4000_0200, 0x4000_0300, 0x4000_0400, 0x4000_0500],
    };

    fn calls(seed: u64, number: Option<u32>, count: usize) -> Vec<Call> {
        let mut random = Rand32::new(seed);
        (0..count).map(|_| Call::any(&mut random, &PLACES, number)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_calls_again() {
        assert_eq!(calls(7, None, 100), calls(7, None, 100));
        assert_ne!(calls(7, None, 100), calls(8, None, 100));
    }

    #[test]
    fn all_numbers_are_called_but_those_left_out() {
        let called: BTreeSet<_> = calls(1, None, 50_000).iter().map(|call| call.number).collect();
        for number in 0..=LAST {
            let left_out = LEFT_OUT.iter().any(|(left_out, _)| *left_out == number);
            assert_ne!(called.contains(&number), left_out, "{number}");
        }
        assert!(called.iter().all(|number| *number <= LAST));
    }

    #[test]
    fn no_other_process_is_signalled() {
        for call in calls(3, Some(KILL), 1000) {
            assert!([0, NOBODY].contains(&call.arguments[0]), "{call:?}");
        }
    }

    #[test]
    fn arguments_are_of_all_kinds() {
        let values: BTreeSet<_> = calls(5, None, 20_000).iter().flat_map(|call| call.arguments).collect();
        for wanted in [0, 5, 0xc000_0000, 0xffff_ffff, PLACES.memory + 0x1fff, PLACES.names[2], 1 << 31] {
            assert!(values.contains(&wanted), "{wanted:#x}");
        }
    }
}
