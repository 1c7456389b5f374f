//! What a program finds on its stack when it begins (System V ABI, Intel386 supplement, "Process Initialization").
//!
//! ```text
//! ESP -> argc
//!        addresses of the arguments, 0
//!        addresses of the environment's strings, 0
//!        auxiliary vector, ended by a pair of zeroes
//!        sixteen random bytes, strings
//! ```

use crate::errno::{Errno, Result};
use alloc::vec::Vec;

/// Kinds of the auxiliary vector's entries: `AT_*`.
pub mod auxiliary {
    /// `AT_PHDR`
    pub const HEADERS: u32 = 3;
    /// `AT_PHENT`
    pub const HEADER_BYTES: u32 = 4;
    /// `AT_PHNUM`
    pub const HEADER_COUNT: u32 = 5;
    /// `AT_PAGESZ`
    pub const PAGE_BYTES: u32 = 6;
    /// `AT_BASE`
    pub const INTERPRETER: u32 = 7;
    /// `AT_FLAGS`
    pub const FLAGS: u32 = 8;
    /// `AT_ENTRY`
    pub const ENTRY: u32 = 9;
    /// `AT_UID`
    pub const USER: u32 = 11;
    /// `AT_EUID`
    pub const EFFECTIVE_USER: u32 = 12;
    /// `AT_GID`
    pub const GROUP: u32 = 13;
    /// `AT_EGID`
    pub const EFFECTIVE_GROUP: u32 = 14;
    /// `AT_CLKTCK`
    pub const TICKS: u32 = 17;
    /// `AT_SECURE`
    pub const SECURE: u32 = 23;
    /// `AT_RANDOM`, whose value is filled in here.
    pub const RANDOM: u32 = 25;
    /// `AT_EXECFN`, whose value is filled in here.
    pub const NAME: u32 = 31;
}

/// The most bytes that arguments and environment take together.
pub const MOST_BYTES: usize = 256 << 10;

/// What a program is given.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Its path.
    pub name: Vec<u8>,
    /// Its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Its environment.
    pub environment: Vec<Vec<u8>>,
}

impl Given {
    /// How many bytes it all takes, with the addresses.
    pub fn bytes(&self) -> usize {
        let strings = self.arguments.iter().chain(&self.environment).map(|string| string.len() + 5);
        strings.sum::<usize>() + self.name.len() + 1
    }
}

/// The stack of a program that begins, whose highest address is `top`: where ESP points, and all from there to `top`.
///
/// # Errors
///
/// E2BIG.
pub fn build(top: u32, given: &Given, auxiliary: &[(u32, u32)], random: [u8; 16]) -> Result<(u32, Vec<u8>)> {
    if given.bytes() > MOST_BYTES {
        return Err(Errno::E2BIG);
    }
    let strings: usize = given.bytes() - 4 * (given.arguments.len() + given.environment.len());
    let words = 1 + given.arguments.len() + 1 + given.environment.len() + 1 + 2 * (auxiliary.len() + 1);
    // Strings end at the top, what is in front of them is aligned to 16.
    let size = u32::try_from(strings + random.len() + 4 * words).map_err(|_| Errno::E2BIG)?;
    let esp = top.checked_sub(size).ok_or(Errno::E2BIG)? & !15;
    let random_at = esp + 4 * words as u32;
    let mut string_at = random_at + random.len() as u32;

    let mut bytes = Vec::new();
    bytes.try_reserve_exact((top - esp) as usize).map_err(|_| Errno::ENOMEM)?;
    let mut word = |value: u32| bytes.extend_from_slice(&value.to_le_bytes());
    let mut place = |string: &Vec<u8>| {
        let at = string_at;
        string_at += string.len() as u32 + 1;
        at
    };
    word(given.arguments.len() as u32);
    given.arguments.iter().for_each(|string| word(place(string)));
    word(0);
    given.environment.iter().for_each(|string| word(place(string)));
    word(0);
    let name_at = place(&given.name);
    for (kind, value) in auxiliary {
        word(*kind);
        word(match *kind {
            auxiliary::RANDOM => random_at,
            auxiliary::NAME => name_at,
            _ => *value,
        });
    }
    word(0);
    word(0);
    bytes.extend_from_slice(&random);
    for string in given.arguments.iter().chain(&given.environment).chain([&given.name]) {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes.resize((top - esp) as usize, 0);
    Ok((esp, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: u32 = 0xbfff_0000;

    fn given(arguments: &[&str], environment: &[&str]) -> Given {
        let strings = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        Given { name: b"/bin/x".to_vec(), arguments: strings(arguments), environment: strings(environment) }
    }

    #[test]
    fn every_address_leads_to_its_string() {
        let given = given(&["x", "", "two words"], &["A=1", "B="]);
        let pairs = [(auxiliary::PAGE_BYTES, 4096), (auxiliary::RANDOM, 0), (auxiliary::NAME, 0)];
        let (esp, bytes) = build(TOP, &given, &pairs, [7; 16]).unwrap();
        assert_eq!((esp % 16, esp as usize + bytes.len()), (0, TOP as usize));
        let word = |place: usize| u32::from_le_bytes(bytes[4 * place..4 * place + 4].try_into().unwrap());
        let text = |at: u32| {
            let rest = &bytes[(at - esp) as usize..];
            core::str::from_utf8(rest.split(|byte| *byte == 0).next().unwrap()).unwrap()
        };
        assert_eq!(word(0), 3);
        assert_eq!([1, 2, 3].map(|place| text(word(place))), ["x", "", "two words"]);
        assert_eq!(word(4), 0);
        assert_eq!([5, 6].map(|place| text(word(place))), ["A=1", "B="]);
        assert_eq!(word(7), 0);
        assert_eq!((word(8), word(9)), (auxiliary::PAGE_BYTES, 4096));
        assert_eq!(word(10), auxiliary::RANDOM);
        assert_eq!(bytes[(word(11) - esp) as usize..][..16], [7; 16]);
        assert_eq!((word(12), text(word(13))), (auxiliary::NAME, "/bin/x"));
        assert_eq!((word(14), word(15)), (0, 0));
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = "x".repeat(MOST_BYTES);
        assert_eq!(build(TOP, &given(&[&long], &[]), &[], [0; 16]), Err(Errno::E2BIG));
        let many = vec![""; MOST_BYTES / 5 + 1];
        assert_eq!(build(TOP, &given(&many, &[]), &[], [0; 16]), Err(Errno::E2BIG));
        assert_eq!(build(48, &given(&["x"], &[]), &[], [0; 16]), Err(Errno::E2BIG));
    }
}
