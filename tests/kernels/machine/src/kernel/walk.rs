//! Walks the page tables by itself, from CR3 on, and counts what the audit counts.

use super::console::println;
use super::{Boot, Mode};
use core::arch::asm;
use sva_os::address::{Frame, Page};
use sva_os::frame::Kind;
use sva_os::mmu::{AddressSpace, PagingMode, Rights};

/// The direct map: 3 GiB.
const DIRECT: u32 = 0xc000_0000;
const NO_EXECUTE: u64 = 1 << 63;

/// What a walk finds.
#[derive(Default, PartialEq, Eq, Debug)]
struct Walk {
    /// Present entries below 3 GiB, and above.
    user: u32,
    kernel: u32,
    user_leaves: u32,
}

pub(super) fn run(boot: &'static Boot<Mode>) {
    let sva = boot.sva();
    let summary = sva.audit().unwrap();
    let walk = Walk::from_cr3();
    println!("{summary:?}\n{walk:?}");
    assert_eq!((walk.user, walk.kernel), (0, summary.kernel_entries));

    // The same with an address space in use.
    let mut free =
        (1..sva.frame_count()).rev().filter_map(Frame::new).filter(|frame| sva.kind(*frame) == Kind::Free);
    let root = free.next().unwrap();
    let space = AddressSpace::new(sva, root).unwrap();
    let mut tables: [Option<Frame>; 8] = core::array::from_fn(|_| free.next());
    for (number, rights) in [(0x10, Rights::Read), (0x11, Rights::ReadWrite), (0x8_0000, Rights::ReadExecute)]
    {
        let data = free.next().unwrap();
        sva.retype(data, Kind::UserData).unwrap();
        let mut source = Source(&mut tables);
        space.map(Page::new(number).unwrap(), data, rights, &mut source).unwrap();
    }
    sva.load_root(root).unwrap();
    let summary = sva.audit().unwrap();
    let walk = Walk::from_cr3();
    println!("{summary:?}\n{walk:?}");
    assert_eq!(walk, Walk { user: summary.user_entries, kernel: summary.kernel_entries, user_leaves: 3 });
    assert_eq!(summary.user_leaves, 3);
}

struct Source<'a>(&'a mut [Option<Frame>; 8]);

impl sva_os::mmu::FrameSource for Source<'_> {
    fn take(&mut self) -> Option<Frame> {
        self.0.iter_mut().find_map(Option::take)
    }

    fn give_back(&mut self, frame: Frame) {
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some(frame);
        }
    }
}

impl Walk {
    fn from_cr3() -> Self {
        let root: u32;
        // SAFETY: reads CR3.
        unsafe { asm!("mov {}, cr3", out(reg) root) }
        let mut walk = Self::default();
        walk.table(root, Mode::LEVELS, 0);
        walk
    }

    /// Counts the table at `table`, whose first entry serves `start`, and all below.
    fn table(&mut self, table: u32, level: u8, start: u32) {
        let (width, bits, entries) = match (Mode::LEVELS, level) {
            (2, _) => (4, 12 + 10 * (u32::from(level) - 1), 1024),
            (_, 3) => (8, 30, 4),
            _ => (8, 12 + 9 * (u32::from(level) - 1), 512),
        };
        for index in 0..entries {
            let at = (DIRECT + table + index * width) as *const u32;
            // SAFETY: an entry of a table, through the direct map.
            let raw = unsafe {
                let high = if width == 8 { at.add(1).read_volatile() } else { 0 };
                u64::from(high) << 32 | u64::from(at.read_volatile())
            };
            if raw & 1 == 0 {
                assert_eq!(raw, 0);
                continue;
            }
            let serves = start + (index << bits);
            match serves < DIRECT {
                true => self.user += 1,
                false => self.kernel += 1,
            }
            let target = raw as u32 & !0xfff;
            if level > 1 {
                self.table(target, level - 1, serves);
                continue;
            }
            let (write, user) = (raw & 2 != 0, raw & 4 != 0);
            assert_eq!(user, serves < DIRECT, "U at {serves:#010x}");
            if Mode::NO_EXECUTE && !user {
                assert!(!write || raw & NO_EXECUTE != 0, "written and executed at {serves:#010x}");
            }
            self.user_leaves += u32::from(user);
        }
    }
}
