//! U5: copies of user memory that fault at every byte around the border of a page: how much is done is exact, and
//! nothing else is written.

use super::program::Program;
use super::raise::{self, raise};
use super::{Kernel, cpu, frames, preempted_copies, println};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::{Frame, Page, VirtAddr};
use sva_os::interrupt::{Exception, TrapFrame};
use sva_os::mmu::Rights;
use sva_os::{Progress, Violation};

/// Two pages that can be written, none, one that can be written, one that cannot.
const FIRST: u32 = 0x1_0000;
const ABSENT: u32 = (FIRST + 2) << 12;
const READ_ONLY: u32 = (FIRST + 4) << 12;
/// The last page of the user window.
const LAST: u32 = 0xb_ffff;
const END: u32 = 0xc000_0000;
/// What no copy brings.
const UNTOUCHED: u8 = 0xee;

/// The byte of user memory at `at`, when the kernel wrote it.
fn pattern(at: u32) -> u8 {
    (at.wrapping_mul(0x9e37_79b1) >> 24) as u8 | 1
}

struct Memory {
    sva: &'static Kernel,
    program: Program,
    frames: Vec<(u32, Frame)>,
}

impl Memory {
    fn new(sva: &'static Kernel) -> Self {
        let program = Program::new(sva, &[]);
        let pages = [
            (FIRST, Rights::ReadWrite),
            (FIRST + 1, Rights::ReadWrite),
            (FIRST + 3, Rights::ReadWrite),
            (FIRST + 4, Rights::Read),
            (LAST, Rights::ReadWrite),
        ];
        let frames =
            pages.map(|(page, rights)| (page, program.map(sva, Page::new(page).unwrap(), rights))).to_vec();
        let this = Self { sva, program, frames };
        sva.load_root(this.program.root()).unwrap();
        this.refill();
        this
    }

    /// Writes the pattern everywhere.
    fn refill(&self) {
        for (page, frame) in &self.frames {
            let bytes: Vec<u8> = (0..4096).map(|offset| pattern((page << 12) + offset)).collect();
            self.sva.write_bytes(*frame, 0, &bytes).unwrap();
        }
    }

    /// The `length` bytes at `at`, in one page, by way of its frame.
    fn bytes(&self, at: u32, length: usize) -> Vec<u8> {
        let (_, frame) = self.frames.iter().find(|(page, _)| *page == at >> 12).unwrap();
        let mut bytes = vec![0; length];
        self.sva.read_bytes(*frame, at & 0xfff, &mut bytes).unwrap();
        bytes
    }

    /// The bytes from `from` to `to` are `expected`, of each address; pages that are absent are passed over.
    fn check(&self, from: u32, to: u32, expected: impl Fn(u32) -> u8) {
        let mut at = from;
        while at < to {
            let length = (4096 - (at & 0xfff)).min(to - at);
            if self.frames.iter().any(|(page, _)| *page == at >> 12) {
                for (offset, byte) in (0..).zip(self.bytes(at, length as usize)) {
                    assert_eq!(byte, expected(at + offset), "at {:#x}", at + offset);
                }
            }
            at += length;
        }
    }
}

/// Lengths, and how many bytes of them lie before a border.
fn shapes() -> impl Iterator<Item = (u32, u32)> {
    let small = (0..=9).flat_map(|length| (0..=12).map(move |before| (length, before)));
    let pages = (4088..=4104).step_by(3).flat_map(|length| {
        [0, 1, 2, 3, 5, 4087, 4094, 4095, 4096, 4097, 4103].map(|before| (length, before))
    });
    let more = [(8192, 8191), (8192, 8192), (8192, 4099), (8193, 8192)];
    small.chain(pages).chain(more)
}

fn expected(border: u32, length: u32, before: u32, fault: fn(VirtAddr) -> Violation) -> Progress {
    let refused = (length > before).then(|| fault(VirtAddr::new(border)));
    Progress { done: length.min(before), refused }
}

/// How often the handler of page faults ran: of a copy's it is never called.
static FAULTS: AtomicU32 = AtomicU32::new(0);

fn on_page_fault(frame: &TrapFrame<'_>) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    raise::handler(frame);
}

pub(super) fn run(sva: &'static Kernel) {
    let free = frames::count_free(sva);
    sva.interrupts().register_exception(Exception::PageFault, &on_page_fault).unwrap();
    let memory = Memory::new(sva);
    println!("{} copies from user memory", from_user(&memory));
    println!("{} to user memory", to_user(&memory));
    println!("{} strings", strings(&memory));
    println!("{} ranges refused", refused(&memory));
    absent_first(&memory);
    assert_eq!(FAULTS.load(Ordering::Relaxed), 0);
    open_only_meanwhile(&memory);
    cpu::check_kernel_state();
    memory.program.destroy(sva);
    contents(sva);
    assert_eq!(frames::count_free(sva), free);
    preempted_copies::run(sva);
    assert_eq!(frames::count_free(sva), free);
}

fn from_user(memory: &Memory) -> u32 {
    let mut count = 0;
    for (length, before) in shapes() {
        for aligned in 0..4 {
            let from = ABSENT - before;
            let mut buffer = vec![UNTOUCHED; length as usize + 16];
            let to = &mut buffer[aligned..aligned + length as usize];
            let progress = memory.sva.copy_from_user(VirtAddr::new(from), to);
            assert_eq!(progress, expected(ABSENT, length, before, Violation::NotReadable));
            for (index, byte) in (0..).zip(buffer) {
                let offset = (index as u32).wrapping_sub(aligned as u32);
                let expected = if offset < progress.done { pattern(from + offset) } else { UNTOUCHED };
                assert_eq!(byte, expected, "{index} of {length}, {before} before, {aligned} aligned");
            }
            count += 1;
        }
    }
    cpu::check_kernel_state();
    count
}

fn to_user(memory: &Memory) -> u32 {
    let mut count = 0;
    for border in [ABSENT, READ_ONLY] {
        for (length, before) in shapes() {
            // Before the read-only page there is one that can be written, and then none.
            if border == READ_ONLY && before > 4096 {
                continue;
            }
            for aligned in 0..4 {
                let to = border - before;
                let wanted = expected(border, length, before, Violation::NotWritable);
                let buffer: Vec<u8> = (0..length + 4).map(|index| index as u8 | 0x80).collect();
                let bytes = &buffer[aligned..aligned + length as usize];
                assert_eq!(memory.sva.copy_to_user(VirtAddr::new(to), bytes), wanted);
                let copied = |at: u32| {
                    let offset = at.wrapping_sub(to);
                    if offset < wanted.done { bytes[offset as usize] } else { pattern(at) }
                };
                memory.check(to - 16, border + 32, copied);
                memory.refill();
                if aligned == 0 {
                    assert_eq!(memory.sva.zero_user(VirtAddr::new(to), length), wanted);
                    let zeroed = |at: u32| if at.wrapping_sub(to) < wanted.done { 0 } else { pattern(at) };
                    memory.check(to - 16, border + 32, zeroed);
                    memory.refill();
                }
                count += 1;
            }
        }
    }
    cpu::check_kernel_state();
    count
}

/// Strings of each length before a border, and buffers of each.
fn strings(memory: &Memory) -> u32 {
    let mut count = 0;
    // Behind the one is nothing; behind the other the window ends.
    for (border, past) in [(ABSENT, Violation::NotReadable as fn(_) -> _), (END, Violation::NotAUserRange)] {
        for before in 0..=9 {
            // Where it is `before`, there is no zero.
            for zero in 0..=before {
                let from = border - before;
                if zero < before {
                    assert_eq!(memory.sva.zero_user(VirtAddr::new(from + zero), 1).done, 1);
                }
                for room in 0..=12 {
                    let mut buffer = [UNTOUCHED; 16];
                    let progress =
                        memory.sva.copy_str_from_user(VirtAddr::new(from), &mut buffer[2..2 + room as usize]);
                    let wanted = if zero < before && zero < room {
                        Progress { done: zero, refused: None }
                    } else if room <= before && !(border == END && room == before) {
                        Progress { done: room, refused: Some(Violation::RangeTooLong(room)) }
                    } else {
                        let at = if border == END { from } else { border };
                        Progress { done: before, refused: Some(past(VirtAddr::new(at))) }
                    };
                    assert_eq!(progress, wanted, "{before} before, zero at {zero}, room {room}");
                    for (index, byte) in (0..).zip(buffer) {
                        let offset = u32::wrapping_sub(index, 2);
                        let copied = offset < progress.done;
                        assert_eq!(byte, if copied { pattern(from + offset) } else { UNTOUCHED });
                    }
                    count += 1;
                }
                memory.refill();
            }
        }
    }
    cpu::check_kernel_state();
    count
}

/// Ranges that wrap, or touch the kernel half: nothing is copied.
fn refused(memory: &Memory) -> u32 {
    let sva = memory.sva;
    let local = 0_u32;
    let kernel = [(&raw const local).addr() as u32, super::instructions::text(), END, 0xffff_f000];
    let ranges = [
        (END - 1, 2),
        (END - 4096, 4097),
        (END, 1),
        (END - 3, 4),
        (u32::MAX, 1),
        (u32::MAX, 2),
        (u32::MAX - 15, 17),
        (u32::MAX - 15, 8192),
    ];
    let mut count = 0;
    for (at, length) in ranges.into_iter().chain(kernel.map(|at| (at, 4))) {
        let at = VirtAddr::new(at);
        let wanted = Progress { done: 0, refused: Some(Violation::NotAUserRange(at)) };
        let mut buffer = vec![UNTOUCHED; length];
        assert_eq!(sva.copy_from_user(at, &mut buffer), wanted);
        assert!(buffer.iter().all(|byte| *byte == UNTOUCHED));
        assert_eq!(sva.copy_to_user(at, &buffer), wanted);
        assert_eq!(sva.zero_user(at, length as u32), wanted);
        if at.get() >= END {
            assert_eq!(sva.copy_str_from_user(at, &mut buffer), wanted);
            assert!(buffer.iter().all(|byte| *byte == UNTOUCHED));
        }
        count += 1;
    }
    for (at, length) in [(0, u32::MAX), (0, END + 1), (1, END), (FIRST << 12, 0xffff_ffff - (FIRST << 12))] {
        let at = VirtAddr::new(at);
        let wanted = Progress { done: 0, refused: Some(Violation::NotAUserRange(at)) };
        assert_eq!(sva.zero_user(at, length), wanted);
        count += 1;
    }
    memory.check(FIRST << 12, ABSENT, pattern);
    memory.check(END - 4096, END, pattern);
    // To the last byte, and not past it.
    let mut last = vec![0; 4096];
    assert_eq!(sva.copy_from_user(VirtAddr::new(END - 4096), &mut last).complete(), Ok(4096));
    count
}

/// Where nothing is at the beginning, it stops there, whatever follows.
fn absent_first(memory: &Memory) {
    for before in 1..=8 {
        let at = VirtAddr::new(ABSENT + 4096 - before);
        let mut buffer = [UNTOUCHED; 24];
        let stopped = |violation| Progress { done: 0, refused: Some(violation) };
        assert_eq!(memory.sva.copy_from_user(at, &mut buffer), stopped(Violation::NotReadable(at)));
        assert_eq!(memory.sva.copy_to_user(at, &buffer), stopped(Violation::NotWritable(at)));
        assert_eq!(memory.sva.zero_user(at, 24), stopped(Violation::NotWritable(at)));
        assert_eq!(memory.sva.copy_str_from_user(at, &mut buffer), stopped(Violation::NotReadable(at)));
        assert_eq!(buffer, [UNTOUCHED; 24]);
    }
    memory.check((FIRST + 3) << 12, READ_ONLY, pattern);
    // With no address space loaded nothing is there.
    memory.sva.load_root(memory.sva.sealed_root()).unwrap();
    let at = VirtAddr::new(FIRST << 12);
    assert_eq!(memory.sva.copy_from_user(at, &mut [0; 4]).refused, Some(Violation::NotReadable(at)));
    memory.sva.load_root(memory.program.root()).unwrap();
}

/// Where SMAP is on, user pages are open to ring 0 in copies alone.
fn open_only_meanwhile(memory: &Memory) {
    let at = FIRST << 12;
    assert_eq!(memory.sva.copy_from_user(VirtAddr::new(at), &mut [0; 4]).done, 4);
    // SAFETY: reads user memory, which is there.
    let (seen, _) = unsafe { raise!([], "movl ({at_}), %eax", at_ = in(reg) at, out("eax") _) };
    let refused = seen.map(|seen| (seen.exception, seen.error_code, seen.fault));
    assert_eq!(refused, cpu::has_smap().then_some((Exception::PageFault, 1, at)));
    println!("{}", if refused.is_some() { "SMAP" } else { "no SMAP" });
}

/// Whole frames.
fn contents(sva: &'static Kernel) {
    use sva_os::frame::Kind;
    let frames = frames::free(sva, 4);
    let [from, to, other, free] = frames[..] else { unreachable!() };
    sva.retype(from, Kind::UserData).unwrap();
    sva.retype(to, Kind::UserData).unwrap();
    sva.retype(other, Kind::KernelData).unwrap();
    let bytes: Vec<u8> = (0..4096).map(pattern).collect();
    sva.write_bytes(from, 0, &bytes).unwrap();
    for (from, to) in [(from, to), (to, other), (other, from), (from, from)] {
        sva.copy_frame(from, to).unwrap();
        let mut read = vec![0; 4096];
        sva.read_bytes(to, 0, &mut read).unwrap();
        assert_eq!(read, bytes);
    }
    let no_frame = Frame::new(sva.frame_count()).unwrap();
    for (bad, violation) in [
        (free, Violation::NoBytes(free)),
        (sva.sealed_root(), Violation::NoBytes(sva.sealed_root())),
        (no_frame, Violation::NoSuchFrame(no_frame)),
    ] {
        assert_eq!(sva.copy_frame(bad, to), Err(violation));
        assert_eq!(sva.copy_frame(from, bad), Err(violation));
    }
    for frame in [from, to, other] {
        sva.retype(frame, Kind::Free).unwrap();
    }
}
