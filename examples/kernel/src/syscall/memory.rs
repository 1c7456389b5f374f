//! Calls about a program's memory.

use crate::errno::{Errno, Result};
use crate::memory::region::{Backing, FilePart, Protection, Region};
use crate::memory::{END_PAGE, FIRST_PAGE, MAP_END, PAGE, TRAMPOLINE, page_of, pages_for, pool, user};
use crate::process::Current;

/// Bytes of the heap that a change of regions may take.
const COST: usize = 16 << 10;

pub(super) fn brk(current: &mut Current, end: u32) -> u32 {
    let mut space = current.space.lock();
    if end == 0 || !pool::has_room(COST) { space.heap_end } else { space.set_heap_end(end) }
}

/// `MAP_*`.
const SHARED: u32 = 1;
const PRIVATE: u32 = 2;
const KIND: u32 = 0xf;
const SHARED_VALIDATE: u32 = 3;
const FIXED: u32 = 0x10;
const ANONYMOUS: u32 = 0x20;
const FIXED_NO_REPLACE: u32 = 0x10_0000;

/// The pages `first..end` of an address and a length; EINVAL if they are not a program's.
fn range(at: u32, length: u32) -> Result<(u32, u32)> {
    let pages = pages_for(length);
    if !at.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let first = page_of(at);
    let end = first.checked_add(pages).filter(|end| *end <= END_PAGE).ok_or(Errno::EINVAL)?;
    Ok((first, end))
}

pub(super) fn map(
    current: &mut Current,
    at: u32,
    length: u32,
    protection: u32,
    flags: u32,
    descriptor: u32,
    offset: u64,
) -> Result<u32> {
    let pages = pages_for(length);
    let protection = Protection::from_bits_truncate(protection);
    if pages == 0 || length > END_PAGE * PAGE {
        return Err(if length == 0 { Errno::EINVAL } else { Errno::ENOMEM });
    }
    if !pool::has_room(COST) {
        return Err(Errno::ENOMEM);
    }
    let is_shared = match flags & KIND {
        PRIVATE => false,
        SHARED | SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    let file = if flags & ANONYMOUS == 0 {
        let file = current.file(descriptor)?;
        if !file.flags().reads() {
            return Err(Errno::EACCES);
        }
        let is_regular = file.inode().is_some_and(|inode| inode.is_regular());
        // What is written to memory does not come to the file.
        if !is_regular || is_shared && protection.contains(Protection::WRITE) {
            return Err(Errno::ENODEV);
        }
        Some(file)
    } else {
        None
    };
    let mut space = current.space.lock();
    let first = if flags & (FIXED | FIXED_NO_REPLACE) != 0 {
        let (first, end) = range(at, length)?;
        if first < FIRST_PAGE || end > TRAMPOLINE {
            return Err(if first < FIRST_PAGE { Errno::EPERM } else { Errno::ENOMEM });
        }
        if flags & FIXED_NO_REPLACE != 0 && !space.regions().is_free(first, end) {
            return Err(Errno::EEXIST);
        }
        first
    } else {
        let wanted = page_of(at);
        let fits = at != 0
            && wanted >= FIRST_PAGE
            && wanted.checked_add(pages).is_some_and(|end| end <= MAP_END)
            && space.regions().is_free(wanted, wanted + pages);
        if fits { wanted } else { space.gap(pages).ok_or(Errno::ENOMEM)? }
    };
    let backing = match file {
        // What lies behind the end of the file in its last page is zero; what lies behind that cannot be had.
        Some(file) => Backing::File(FilePart { file, page: first, offset, length: pages * PAGE }),
        None if is_shared => Backing::Shared,
        None => Backing::Anonymous,
    };
    if is_shared && pages > pool::unused() {
        return Err(Errno::ENOMEM);
    }
    // More than there is, of what is surely written, is not promised.
    let is_written = matches!(backing, Backing::Anonymous) && protection.contains(Protection::WRITE);
    if is_written && flags & NO_RESERVE == 0 && pages > pool::total() {
        return Err(Errno::ENOMEM);
    }
    if flags & FIXED != 0 {
        space.remove(first, first + pages);
    }
    space.add(first, Region { end: first + pages, protection, backing })?;
    Ok(first * PAGE)
}

/// `MAP_NORESERVE`
const NO_RESERVE: u32 = 0x4000;

pub(super) fn old_map(current: &mut Current, at: u32) -> Result<u32> {
    let [address, length, protection, flags, descriptor, offset] = user::words(&current.space, at)?;
    if !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    map(current, address, length, protection, flags, descriptor, offset.into())
}

pub(super) fn unmap(current: &mut Current, at: u32, length: u32) -> Result<u32> {
    let (first, end) = range(at, length)?;
    if first == end {
        return Err(Errno::EINVAL);
    }
    if !pool::has_room(COST) {
        return Err(Errno::ENOMEM);
    }
    current.space.lock().remove(first, end.min(TRAMPOLINE));
    Ok(0)
}

pub(super) fn protect(current: &mut Current, at: u32, length: u32, protection: u32) -> Result<u32> {
    /// `PROT_GROWSDOWN` and `PROT_GROWSUP`, which nothing here does.
    const GROWS: u32 = 0x0300_0000;
    let (first, end) = range(at, length)?;
    if protection & GROWS != 0 {
        return Err(Errno::EINVAL);
    }
    if !pool::has_room(COST) {
        return Err(Errno::ENOMEM);
    }
    current.space.lock().protect(first, end, Protection::from_bits_truncate(protection))?;
    Ok(0)
}

/// `MREMAP_MAYMOVE`, `MREMAP_FIXED`.
const MAY_MOVE: u32 = 1;
const MOVE_TO: u32 = 2;

pub(super) fn remap(current: &mut Current, at: u32, old: u32, new: u32, flags: u32, to: u32) -> Result<u32> {
    if flags & !(MAY_MOVE | MOVE_TO) != 0 || flags == MOVE_TO || old == 0 || new == 0 {
        return Err(Errno::EINVAL);
    }
    if !pool::has_room(COST) {
        return Err(Errno::ENOMEM);
    }
    let (first, end) = range(at, old)?;
    let pages = pages_for(new);
    let mut space = current.space.lock();
    let region = space.regions().find(first).ok_or(Errno::EFAULT)?;
    if region.end < end {
        return Err(Errno::EFAULT);
    }
    let grown = Region { end: 0, ..region.clone() };
    if matches!(grown.backing, Backing::Shared) && pages > end - first {
        return Err(Errno::EINVAL);
    }
    if flags & MOVE_TO != 0 {
        let (target, target_end) = range(to, new)?;
        if target < FIRST_PAGE || target_end > TRAMPOLINE || target < end && first < target_end {
            return Err(Errno::EINVAL);
        }
        space.remove(target, target_end);
        return move_pages(&mut space, first, end, pages, target, grown);
    }
    let fits = first.checked_add(pages).is_some_and(|new_end| new_end <= MAP_END);
    if pages <= end - first {
        space.remove(first + pages, end);
        Ok(at)
    } else if fits && space.regions().is_free(end, first + pages) {
        space.add(end, Region { end: first + pages, ..grown })?;
        Ok(at)
    } else if flags & MAY_MOVE != 0 {
        let target = space.gap(pages).ok_or(Errno::ENOMEM)?;
        move_pages(&mut space, first, end, pages, target, grown)
    } else {
        Err(Errno::ENOMEM)
    }
}

fn move_pages(
    space: &mut crate::memory::space::Space,
    first: u32,
    end: u32,
    pages: u32,
    target: u32,
    mut grown: Region<crate::memory::space::File>,
) -> Result<u32> {
    let kept = pages.min(end - first);
    space.remove(first + kept, end);
    space.relocate(first, kept, target)?;
    if pages > kept {
        if let Backing::File(part) = &mut grown.backing {
            part.page = part.page.wrapping_add(target).wrapping_sub(first);
        }
        space.add(target + kept, Region { end: target + pages, ..grown })?;
    }
    Ok(target * PAGE)
}

/// `MADV_DONTNEED`: the pages are as if they had never been touched. All other advice is taken as said.
pub(super) fn advise(current: &mut Current, at: u32, length: u32, advice: u32) -> Result<u32> {
    const DONT_NEED: u32 = 4;
    let (first, end) = range(at, length)?;
    if advice == DONT_NEED {
        current.space.lock().forget(first, end)?;
    }
    Ok(0)
}

/// `msync`: nothing is shared with a file.
pub(super) fn sync(current: &mut Current, at: u32, length: u32) -> Result<u32> {
    let (first, end) = range(at, length)?;
    if current.space.lock().regions().cover(first, end, |_| true) { Ok(0) } else { Err(Errno::ENOMEM) }
}
