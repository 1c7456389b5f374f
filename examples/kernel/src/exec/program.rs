//! What of an ELF file goes where in memory. The file is not trusted: whatever its headers say ends in a plan for the
//! user half, or in an error.

use crate::errno::{Errno, Result};
use crate::memory::region::Protection;
use crate::memory::{END_PAGE, FIRST_PAGE, PAGE, page_of, pages_for};
use alloc::vec::Vec;
use elf::abi::{EM_386, ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_INTERP, PT_LOAD, PT_PHDR};
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::segment::SegmentTable;

/// How much of the beginning of a file says all about it: the headers must lie there.
pub const HEADERS: usize = 4096;
/// Bytes of the header itself.
const HEADER: usize = 52;
/// The most segments that are loaded.
const MOST_SEGMENTS: usize = 64;
/// Where a program goes that can go anywhere.
pub const BASE: u32 = 0x5655_5000;

/// Pages that come from the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The first page.
    pub first: u32,
    /// The page behind the last.
    pub end: u32,
    /// What may be done with them.
    pub protection: Protection,
    /// Where in the file the first of them begins.
    pub offset: u32,
    /// How many bytes from there on come from the file; what follows is zero.
    pub length: u32,
}

/// Where all of a program goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its first instruction.
    pub entry: u32,
    /// Its segments, disjoint and in ascending order.
    pub parts: Vec<Part>,
    /// Where its program headers are in memory, how long each is, and how many there are.
    pub headers: (u32, u32, u32),
    /// By how much it was moved.
    pub base: u32,
    /// The address behind the last of it: where its heap begins.
    pub end: u32,
    /// Where in the file the path of its interpreter lies, and how long that is.
    pub interpreter: Option<(u32, u32)>,
}

/// Reads the headers of a program, which are in `bytes`, the beginning of its file; it goes to `base` if it can go
/// anywhere.
///
/// # Errors
///
/// ENOEXEC.
pub fn plan(bytes: &[u8], base: u32) -> Result<Program> {
    let bad = |_| Errno::ENOEXEC;
    // The parser takes it for granted that there is a header.
    if bytes.len() < HEADER {
        return Err(Errno::ENOEXEC);
    }
    let ident = parse_ident::<LittleEndian>(bytes).map_err(bad)?;
    let header = FileHeader::parse_tail(ident, bytes.get(16..).ok_or(Errno::ENOEXEC)?).map_err(bad)?;
    if header.class != Class::ELF32 || header.e_machine != EM_386 || header.e_phentsize != 32 {
        return Err(Errno::ENOEXEC);
    }
    let base = match header.e_type {
        ET_EXEC => 0,
        ET_DYN => base,
        _ => return Err(Errno::ENOEXEC),
    };
    let count = u32::from(header.e_phnum);
    let start = usize::try_from(header.e_phoff).map_err(|_| Errno::ENOEXEC)?;
    let length = count as usize * usize::from(header.e_phentsize);
    let table = start.checked_add(length).and_then(|end| bytes.get(start..end)).ok_or(Errno::ENOEXEC)?;
    let segments = SegmentTable::new(LittleEndian, Class::ELF32, table);

    let mut parts = Vec::new();
    let (mut end, mut headers, mut interpreter) = (0u32, 0, None);
    for segment in segments.iter() {
        let word = |value: u64| u32::try_from(value).map_err(|_| Errno::ENOEXEC);
        let (at, offset) = (word(segment.p_vaddr)?, word(segment.p_offset)?);
        let (in_file, in_memory) = (word(segment.p_filesz)?, word(segment.p_memsz)?);
        match segment.p_type {
            PT_INTERP => interpreter = Some((offset, in_file)),
            PT_PHDR => headers = at.checked_add(base).ok_or(Errno::ENOEXEC)?,
            PT_LOAD if in_memory > 0 => {
                let at = at.checked_add(base).ok_or(Errno::ENOEXEC)?;
                let protection = protection(segment.p_flags);
                let part = part(at, offset, in_file, in_memory, protection)?;
                if parts.len() >= MOST_SEGMENTS
                    || parts.last().is_some_and(|last: &Part| last.end > part.first)
                {
                    return Err(Errno::ENOEXEC);
                }
                if headers == 0 && offset as usize <= start && start + length <= (offset + in_file) as usize {
                    headers = at.wrapping_add(start as u32).wrapping_sub(offset);
                }
                parts.push(part);
                end = at + in_memory;
            }
            _ => {}
        }
    }
    if parts.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let entry =
        u32::try_from(header.e_entry).ok().and_then(|entry| entry.checked_add(base)).ok_or(Errno::ENOEXEC)?;
    Ok(Program { entry, parts, headers: (headers, 32, count), base, end, interpreter })
}

fn protection(flags: u32) -> Protection {
    let mut protection = Protection::empty();
    protection.set(Protection::READ, flags & PF_R != 0);
    protection.set(Protection::WRITE, flags & PF_W != 0);
    protection.set(Protection::EXECUTE, flags & PF_X != 0);
    protection
}

/// The pages of a segment at `at`, whose place in the file and in its page must agree.
fn part(at: u32, offset: u32, in_file: u32, in_memory: u32, protection: Protection) -> Result<Part> {
    let within = at % PAGE;
    let end = at.checked_add(in_memory).filter(|end| *end <= END_PAGE * PAGE - PAGE).ok_or(Errno::ENOEXEC)?;
    let is_sound = offset % PAGE == within
        && in_file <= in_memory
        && offset.checked_add(in_file).is_some()
        && page_of(at) >= FIRST_PAGE;
    if !is_sound {
        return Err(Errno::ENOEXEC);
    }
    let length = if in_file == 0 { 0 } else { in_file + within };
    Ok(Part { first: page_of(at), end: pages_for(end), protection, offset: offset - within, length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header and these segments: type, offset, address, bytes in the file and in memory, flags.
    fn file(kind: u16, entry: u32, segments: &[[u32; 6]]) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', 1, 1, 1];
        bytes.resize(16, 0);
        bytes.extend(kind.to_le_bytes());
        bytes.extend(EM_386.to_le_bytes());
        for word in [1, entry, 52, 0, 0u32] {
            bytes.extend(word.to_le_bytes());
        }
        for half in [52, 32, segments.len() as u16, 40, 0, 0u16] {
            bytes.extend(half.to_le_bytes());
        }
        for [kind, offset, at, in_file, in_memory, flags] in segments {
            for word in [*kind, *offset, *at, *at, *in_file, *in_memory, *flags, 0x1000] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes
    }

    const TEXT: [u32; 6] = [PT_LOAD, 0, 0x804_8000, 0x1234, 0x1234, PF_R | PF_X];
    const DATA: [u32; 6] = [PT_LOAD, 0x1f00, 0x804_af00, 0x180, 0x3000, PF_R | PF_W];

    #[test]
    fn text_and_data_go_to_their_pages_and_the_heap_behind() {
        let program = plan(&file(ET_EXEC, 0x804_8100, &[TEXT, DATA]), BASE).unwrap();
        assert_eq!(program.entry, 0x804_8100);
        assert_eq!(
            program.parts[0],
            Part {
                first: 0x8048,
                end: 0x804a,
                protection: Protection::READ | Protection::EXECUTE,
                offset: 0,
                length: 0x1234
            }
        );
        assert_eq!(
            program.parts[1],
            Part {
                first: 0x804a,
                end: 0x804e,
                protection: Protection::READ | Protection::WRITE,
                offset: 0x1000,
                length: 0x1080
            }
        );
        assert_eq!(program.end, 0x804_df00);
        assert_eq!(program.headers, (0x804_8034, 32, 2));
        assert_eq!((program.base, program.interpreter), (0, None));
    }

    #[test]
    fn what_can_go_anywhere_goes_to_the_base() {
        let text = [PT_LOAD, 0, 0, 0x1234, 0x1234, PF_R];
        let program =
            plan(&file(ET_DYN, 0x100, &[[PT_INTERP, 0x200, 0x200, 19, 19, PF_R], text]), BASE).unwrap();
        assert_eq!((program.entry, program.base), (BASE + 0x100, BASE));
        assert_eq!(program.parts[0].first, BASE / PAGE);
        assert_eq!(program.interpreter, Some((0x200, 19)));
    }

    #[test]
    fn a_file_that_lies_is_no_program() {
        let with = |place: usize, value: u32| {
            let mut segment = TEXT;
            segment[place] = value;
            file(ET_EXEC, 0x804_8100, &[segment, DATA])
        };
        let kernel = with(2, 0xc000_0000);
        let over_the_edge = with(4, 0xb7fb_8000);
        let wrapping = with(4, 0xffff_ffff);
        let misaligned = with(1, 0x10);
        let more_in_file = with(3, 0x1235);
        let null = with(2, 0);
        let overlapping = with(4, 0x4000);
        let beyond_file_end = with(1, 0xffff_f000);
        let bad =
            [kernel, over_the_edge, wrapping, misaligned, more_in_file, null, overlapping, beyond_file_end];
        for (place, bytes) in bad.iter().enumerate() {
            assert_eq!(plan(bytes, BASE), Err(Errno::ENOEXEC), "{place}");
        }
        assert_eq!(plan(&file(ET_EXEC, 0, &[]), BASE), Err(Errno::ENOEXEC), "nothing to load");
        assert_eq!(plan(&file(4, 0, &[TEXT]), BASE), Err(Errno::ENOEXEC), "a core");
        assert_eq!(plan(&file(ET_EXEC, 0, &[TEXT])[..60], BASE), Err(Errno::ENOEXEC), "cut short");
        assert_eq!(plan(b"#!/bin/sh\n", BASE), Err(Errno::ENOEXEC));
        assert_eq!(plan(&[], BASE), Err(Errno::ENOEXEC));
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(cfg!(target_arch = "x86") || plan(&own[..HEADERS], BASE) == Err(Errno::ENOEXEC), "64 bits");
    }

    proptest! {
        #[test]
        fn whatever_the_headers_say_the_plan_is_sound(
            place in 0usize..116,
            bytes in proptest::collection::vec(any::<u8>(), 1..8),
            base in any::<u32>(),
        ) {
            let mut file = file(ET_DYN, 0x804_8100, &[TEXT, DATA]);
            for (to, from) in file.iter_mut().skip(place).zip(&bytes) {
                *to = *from;
            }
            if let Ok(program) = plan(&file, base & !0xfff) {
                let mut last = FIRST_PAGE;
                for part in &program.parts {
                    prop_assert!(part.first >= last && part.end > part.first && part.end < END_PAGE);
                    prop_assert!(part.length <= (part.end - part.first) * PAGE);
                    prop_assert!(part.offset.is_multiple_of(PAGE));
                    last = part.end;
                }
            }
        }
    }
}
