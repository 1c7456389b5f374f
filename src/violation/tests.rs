//! Every refusal: name, class and words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use std::borrow::ToOwned;
use std::string::{String, ToString};
use std::vec::Vec;

const FRAME: Frame = match Frame::new(0x12) {
    Some(frame) => frame,
    None => Frame::ZERO,
};
const PAGE: Page = match Page::new(0xc_0001) {
    Some(page) => page,
    None => Page::ZERO,
};

/// One of each, with what it must say. In the order of their definition.
fn all() -> Vec<(Violation, &'static str, Class, &'static str)> {
    macro_rules! all {
        ($($name:ident($value:expr) $class:ident $text:literal)*) => {
            [$((Violation::$name($value), stringify!($name), Class::$class, $text)),*].to_vec()
        };
    }
    all! {
        NoSuchFrame(FRAME) DeviceMemory "frame 0x00012000 is not RAM of this kernel"
        FrameBusy(FRAME) Mmu "frame 0x00012000 is changing its kind"
        FrameSealed(FRAME) Mmu "frame 0x00012000 is sealed"
        NotFree(FRAME) Mmu "frame 0x00012000 is not free"
        NotMappable(FRAME) Mmu "frame 0x00012000 may not be mapped for users"
        FrameInUse(FRAME) Mmu "frame 0x00012000 is mapped or being copied"
        NotRetypable(FRAME) Mmu "frame 0x00012000 is of a kind that is never retyped"
        FrameIsDma(FRAME) Dma "frame 0x00012000 is open to devices for ever"
        NoBytes(FRAME) Mmu "frame 0x00012000 is not one whose bytes may be copied"
        NotKept(FRAME) Mmu "frame 0x00012000 was not kept at init"
        TooManyMappings(FRAME) Mmu "frame 0x00012000 has as many mappings as can be counted"
        KindNotOffered(7) Mmu "no retype leads to kind 7"
        NotATable(FRAME) Mmu "frame 0x00012000 is not a user page table"
        WrongLevel(FRAME) Mmu "frame 0x00012000 is a page table of another level"
        NotARoot(FRAME) Mmu "frame 0x00012000 is not a root"
        NoSuchLevel(3) Mmu "the paging mode has no table of level 3"
        TableLinked(FRAME) Mmu "table 0x00012000 is linked"
        TableNotEmpty(FRAME) Mmu "table 0x00012000 is not empty"
        RootInUse(FRAME) Mmu "root 0x00012000 is loaded"
        RootNotEmpty(FRAME) Mmu "root 0x00012000 is not empty"
        NoSuchEntry(1024) Mmu "the table has no entry 1024"
        KernelEntry(768) Mmu "entry 768 of a root belongs to the kernel half"
        EntryPresent(9) Mmu "entry 9 is present"
        EntryEmpty(9) Mmu "entry 9 is empty"
        DeviceEntry(5) DeviceMemory "entry 5 leads to a device, whose rights do not change"
        EntryContended(9) Mmu "entry 9 was changed by another CPU meanwhile"
        EmptyRange(5) Mmu "the range from number 5 on is empty"
        RangeTooLong(4097) Mmu "the range of 4097 passes the end"
        NotAUserPage(PAGE) Mmu "page 0xc0001000 is not in the user window"
        NoTable(PAGE) Mmu "no page table serves page 0xc0001000"
        Unsupported(Feature::Pae) Mmu "the machine lacks physical address extension (PAE)"
        NotInImage(VirtAddr::new(0x9000)) Mmu "what init uses at 0x00009000 lies in no segment of the image for it"
        NoImage(1) Mmu "segment 1 of the image is empty or missing"
        TooManySegments(9) Mmu "9 segments are too many"
        StackWindow(17) Stack "a window of 17 pages for stacks is not whole slots, or too small"
        PagesOverlap(PAGE) Mmu "two parts of the layout use page 0xc0001000"
        FramesOverlap(FRAME) Mmu "two parts of the layout use frame 0x00012000"
        InUserWindow(PAGE) Mmu "page 0xc0001000 of the layout lies in the user window"
        UserWindow(PAGE) Mmu "the user window at 0xc0001000 is not made of whole root entries, or leaves none"
        NotRam(FRAME) DeviceMemory "frame 0x00012000 of the layout is not available RAM"
        NotDirectlyMapped(FRAME) Mmu "frame 0x00012000 lies beyond the direct map"
        BadRegion(3) Mmu "region 3 of the memory map wraps"
        NoRoom(6) Mmu "no 6 contiguous free frames for the library's tables"
        CpuCount(33) Mmu "33 CPUs are none or too many"
        AlreadyInitialised(PhysAddr::new(0x5000)) Mmu "the library was initialised before, at 0x00005000"
        NotAUserRange(VirtAddr::new(0xffff_fffc)) Mmu "the range from 0xfffffffc on is not in the user window"
        NoSuchVector(256) Entry "there is no vector 256"
        NotSoftware(14) Entry "vector 14 is not one of software interrupts"
        VectorReserved(8) Entry "vector 8 belongs to the library"
        VectorTaken(14) Entry "vector 14 has a handler"
        NotRegistered(14) Entry "vector 14 has no handler"
        InHandler(2) Entry "not inside a handler (2 deep)"
        NoSuchRate(18) Entry "the timer has no rate of 18 Hz"
        NoSuchDelay(0) Entry "the timer has no delay of 0 ticks"
        NoSuchStackSize(15) Stack "a stack of 15 pages is too small or too large"
        NoStackSlot(256) Stack "all 256 slots for stacks are taken"
        StackInUse(3) Stack "the stack of slot 3 is in use"
        NoSuchThread(300) SavedState "there is no thread 300"
        StaleThread(3) SavedState "the thread that was 3 is gone"
        ThreadRunning(3) SavedState "thread 3 is running"
        ThreadBusy(3) SavedState "thread 3 is not to be resumed now"
        ThreadEnded(3) SavedState "thread 3 has ended"
        EntryTooLarge(1025) Stack "an entry that captures 1025 bytes is too large"
        PerCpuBorrowed(2) SavedState "per-CPU data is borrowed (2 times)"
        NoSuchTlsSlot(3) Entry "there is no TLS slot 3"
        NotReadable(VirtAddr::new(0x8000)) Mmu "the user page at 0x00008000 cannot be read"
        NotWritable(VirtAddr::new(0x8000)) Mmu "the user page at 0x00008000 cannot be written"
        NoPorts(0x3f8) Dma "the range of ports from 0x03f8 on is empty"
        PastLastPort(0xffff) Dma "the range of ports from 0xffff on passes the last"
        PortNotOffered(0x20) Dma "port 0x0020 is not offered, or not with those before it"
        PortTaken(0x3f8) Dma "port 0x03f8 is taken"
        KeyboardCommand(0xfe) Entry "command 0xfe is not for the keyboard controller"
        NoSuchFunction(0x00f8) Dma "there is no PCI function 0x00f8"
        PciRegister(0x40) Dma "register 0x40 of a PCI function is not to be written so"
        MayHaveDma(0x0018) Dma "PCI function 0x0018 may reach RAM by itself"
        NoSuchBar(6) Dma "base address register 6 does not lead there"
        MessageTable(1) Dma "base address register 1 holds a table of message-signalled interrupts"
        NotDeviceMemory(FRAME) DeviceMemory "frame 0x00012000 is not a device's that may be had"
        DeviceTaken(FRAME) DeviceMemory "frame 0x00012000 of a device is taken"
        NoDevicePages(3) DeviceMemory "the window for devices has no 3 pages in a row left"
        NotLendable(FRAME) DeviceMemory "the registers from frame 0x00012000 on are not lent to programs"
        OutsideRegion(8) DeviceMemory "the access at offset 0x8 is not one of a register inside the region"
        OutsidePorts(8) Dma "the access at offset 0x8 passes the end of the claimed ports"
    }
}

#[test]
fn each_has_its_name_class_and_words() {
    let all = all();
    for (violation, name, class, text) in &all {
        assert_eq!(violation.name(), *name);
        assert_eq!(violation.class(), *class, "{name}");
        assert_eq!(violation.to_string(), *text);
        let error: &dyn core::error::Error = violation;
        assert!(error.source().is_none());
    }
    let names: Vec<_> = all.iter().map(|(_, name, ..)| *name).collect();
    assert_eq!(names, Violation::NAMES, "one of each is tested here");
    let different: std::collections::HashSet<_> = all.iter().map(|(violation, ..)| *violation).collect();
    assert_eq!(different.len(), all.len());
}

/// The definition as a reader sees it: every variant has a sentence of documentation.
#[test]
fn names_are_those_that_are_documented() {
    let mut documented: Vec<String> = Vec::new();
    let mut described = false;
    let body = include_str!("../violation.rs").split("\nviolations! {").nth(1).unwrap();
    for line in body.lines().map(str::trim).take_while(|line| *line != "}") {
        if let Some(sentence) = line.strip_prefix("/// ") {
            described = sentence.len() > 10;
        } else if let Some((name, _)) = line.split_once('(').filter(|_| !line.starts_with("//")) {
            assert!(described, "{name} is documented");
            documented.push(name.to_owned());
            described = false;
        }
    }
    assert_eq!(documented, Violation::NAMES);
}

#[test]
fn it_fits_two_registers() {
    assert_eq!(size_of::<Violation>(), 8);
    assert_eq!(size_of::<Result<(), Violation>>(), 8);
}

#[test]
fn progress() {
    let done = Progress { done: 7, refused: None };
    assert_eq!(done.complete(), Ok(7));
    let refused = Progress { done: 7, refused: Some(Violation::EntryPresent(7)) };
    assert_eq!(refused.complete(), Err(Violation::EntryPresent(7)));
}
