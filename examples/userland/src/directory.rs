//! What is in a directory.

use alloc::string::String;
use alloc::vec::Vec;

/// The names in entries of a directory, as `getdents64` gives them: `struct linux_dirent64`, one after the other.
pub fn parse(mut entries: &[u8]) -> Vec<String> {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut names = Vec::new();
    while let Some([low, high]) = entries.get(LENGTH..LENGTH + 2) {
        let length = u16::from_le_bytes([*low, *high]).into();
        let Some((entry, rest)) = entries.split_at_checked(length) else { break };
        let Some(name) = entry.get(NAME..) else { break };
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        names.push(String::from_utf8_lossy(&name[..end]).into_owned());
        entries = rest;
    }
    names
}

/// The names in the directory at `path`, sorted, with `.` and `..`.
#[cfg(target_os = "none")]
pub fn names(path: &str) -> crate::sys::Result<Vec<String>> {
    use alloc::ffi::CString;

    use crate::sys::{Errno, File, mode};

    let path = CString::new(path).map_err(|_| Errno::NOENT)?;
    let directory = File::open(&path, mode::READ | mode::DIRECTORY)?;
    let mut buffer = alloc::vec![0; 4096];
    let mut names = Vec::new();
    let result = loop {
        match directory.entries(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(length) => names.append(&mut parse(&buffer[..length])),
            Err(error) => break Err(error),
        }
    };
    directory.close()?;
    result?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], length: u16) -> Vec<u8> {
        let mut entry = [0; 16].to_vec();
        entry.extend(length.to_le_bytes());
        entry.push(8);
        entry.extend(name);
        entry.resize(24, 0);
        entry
    }

    #[test]
    fn names_end_with_a_zero_or_with_their_entry() {
        let entries = [entry(b"one", 24), entry(b"three", 24)].concat();
        assert_eq!(parse(&entries), ["one", "three"]);
    }

    #[test]
    fn broken_entries_end_the_list() {
        for length in [0, 1, 18, 25, u16::MAX] {
            let entries = [entry(b"one", 24), entry(b"two", length)].concat();
            assert_eq!(parse(&entries), ["one"], "{length}");
        }
        assert!(parse(&[0; 17]).is_empty());
    }
}
