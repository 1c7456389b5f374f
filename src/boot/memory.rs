//! From what the loader says to the layout: which frames are kept, where RAM is mapped.

use super::loader::{Bytes, List, Loader, MOST_MODULES, Refusal};
use crate::address::{Frame, FrameRange, Page, PageRange};
use crate::context::SLOT_PAGES;
use crate::layout::{DirectMap, InUse, Segment};
use crate::memory_map::MemoryMap;
use crate::violation::Violation;

/// The first page of the kernel half, and of the direct map: 3 GiB.
pub(crate) const KERNEL_HALF: u32 = 0xc_0000;
/// How many frames the direct map reaches at most: 896 MiB. What is left of the kernel half is for stacks
/// and devices.
const DIRECT_FRAMES: u32 = 0x3_8000;
/// The window for stacks: behind the longest direct map, room for 256 threads.
const STACKS: u32 = KERNEL_HALF + DIRECT_FRAMES;
const MOST_STACKS: u32 = 256;
/// The window for devices: behind that for stacks. A frame buffer of 16 MiB and then some.
const DEVICES: u32 = STACKS + MOST_STACKS * SLOT_PAGES;
const DEVICE_PAGES: u32 = 0x1400;
/// Each module, its text, and the command line.
pub(crate) const MOST_KEPT: usize = 2 * MOST_MODULES + 1;

/// The user window: all below the kernel half.
pub(crate) fn user_window() -> PageRange {
    PageRange::new(Page::ZERO, KERNEL_HALF).unwrap_or(PageRange::EMPTY)
}

/// Where stacks are mapped.
pub(crate) fn stacks() -> PageRange {
    Page::new(STACKS)
        .and_then(|first| PageRange::new(first, MOST_STACKS.wrapping_mul(SLOT_PAGES)))
        .unwrap_or(PageRange::EMPTY)
}

/// Where devices are mapped.
pub(crate) fn devices() -> PageRange {
    Page::new(DEVICES).and_then(|first| PageRange::new(first, DEVICE_PAGES)).unwrap_or(PageRange::EMPTY)
}

/// The direct map: all RAM that there is, as far as it reaches. Refuses RAM that ends before the image.
pub(crate) fn direct_map(loader: &Loader, image: &[Segment]) -> Result<DirectMap, Refusal> {
    let frames = MemoryMap::new(loader.regions.as_slice())?.end().min(DIRECT_FRAMES);
    let needed = image.iter().map(|segment| segment.frames.end()).max().unwrap_or(0);
    if needed > frames {
        return Err(Violation::NoRoom(needed.saturating_sub(frames)).into());
    }
    Ok(DirectMap {
        first: Page::new(KERNEL_HALF).unwrap_or(Page::ZERO),
        frames: FrameRange::new(Frame::ZERO, frames).unwrap_or(FrameRange::EMPTY),
    })
}

/// The frames that hold what the loader left for the kernel: disjoint, and rounded out.
pub(crate) fn kept(loader: &Loader) -> Result<List<InUse, MOST_KEPT>, Refusal> {
    let mut parts = [FrameRange::EMPTY; MOST_KEPT];
    let modules = loader.modules.as_slice().iter().flat_map(|module| [module.bytes, module.text]);
    for (place, bytes) in parts.iter_mut().zip(modules.chain([loader.command_line])) {
        *place = frames(bytes)?;
    }
    parts.sort_unstable_by_key(|part| part.first());
    let mut kept = List::new(InUse::Kept(FrameRange::EMPTY));
    let mut last = FrameRange::EMPTY;
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !last.is_empty() && part.first().number() <= last.end() {
            let end = part.end().max(last.end());
            last = FrameRange::new(last.first(), end.saturating_sub(last.first().number())).unwrap_or(last);
        } else {
            if !last.is_empty() {
                _ = kept.push(InUse::Kept(last));
            }
            last = part;
        }
    }
    if !last.is_empty() {
        _ = kept.push(InUse::Kept(last));
    }
    Ok(kept)
}

/// The frames that `bytes` touch.
fn frames(bytes: Bytes) -> Result<FrameRange, Refusal> {
    FrameRange::of_bytes(bytes.start, bytes.length).ok_or(Refusal::BadStructure(bytes.start))
}

#[cfg(test)]
mod tests;
