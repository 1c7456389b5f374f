//! Copies go as far as the program itself would come, and never out of the user window.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::address::{Frame, PhysAddr};
use crate::context::fixture::{at, in_both_modes, refused, space, threads};
use crate::frame::Kind;
use crate::frame::word::{Uses, Word};
use crate::init::tests::world::{World, frame};
use crate::mmu::{PagingMode, Rights};
use std::boxed::Box;
use std::sync::Mutex;
use std::vec;
use std::vec::Vec;

const ROOT: u32 = 28;
/// The first page and the last of the window, two writable ones with a read-only one behind them, then nothing.
const PAGES: [(u32, Rights); 5] = [
    (0, Rights::ReadWrite),
    (5, Rights::ReadWrite),
    (6, Rights::ReadWrite),
    (7, Rights::Read),
    (0xb_ffff, Rights::ReadWrite),
];
const SPLIT: u32 = 0xc000_0000;

struct Space<P: PagingMode> {
    sva: &'static World<P>,
    frames: Vec<Frame>,
}

impl<P: PagingMode> Space<P> {
    /// The pages mapped on this CPU, every byte of theirs one that says where it is.
    fn new() -> Self {
        let sva = threads::<P>();
        let frames = space(sva, ROOT, ROOT + 1, &PAGES);
        sva.load_root(frame(ROOT)).unwrap();
        let this = Self { sva, frames };
        for place in 0..PAGES.len() as u32 {
            (0..FRAME_BYTES).for_each(|offset| this.set(place, offset, Self::byte(place, offset)));
        }
        this
    }

    /// Never zero.
    fn byte(place: u32, offset: u32) -> u8 {
        (1 + (offset * 7 + place * 50) % 255) as u8
    }

    fn set(&self, place: u32, offset: u32, value: u8) {
        self.sva.machine().poke(self.frames[place as usize].start().plus(offset), value);
    }

    fn get(&self, place: u32, offset: u32) -> u8 {
        self.sva.machine().peek(self.frames[place as usize].start().plus(offset))
    }

    /// The bytes of the pages from the `place`-th of [`PAGES`] on, as they were at the beginning.
    fn original(place: u32, offset: u32, length: u32) -> Vec<u8> {
        (offset..offset + length).map(|at| Self::byte(place + at / FRAME_BYTES, at % FRAME_BYTES)).collect()
    }

    /// All bytes but those of the range are as they were.
    #[track_caller]
    fn only_changed(&self, place: u32, offset: u32, length: u32) {
        let first = place * FRAME_BYTES + offset;
        for at in 0..PAGES.len() as u32 * FRAME_BYTES {
            let (place, offset) = (at / FRAME_BYTES, at % FRAME_BYTES);
            let inside = at >= first && at < first + length;
            assert!(
                inside || self.get(place, offset) == Self::byte(place, offset),
                "page {place}, {offset:#x}"
            );
        }
    }
}

const fn address(at: u32) -> VirtAddr {
    VirtAddr::new(at)
}

const fn done(done: u32) -> Progress {
    Progress { done, refused: None }
}

const fn stopped(done: u32, violation: Violation) -> Progress {
    Progress { done, refused: Some(violation) }
}

in_both_modes! {
    fn bytes_are_copied_over_pages<P>() {
        for (offset, length) in [(0, 1), (0xfff, 1), (0xff0, 0x20), (1, 0x1ffe), (0, 0x2000), (0x10, 0)] {
            let space = Space::<P>::new();
            let from = at(5).get() + offset;
            let mut bytes = vec![0; length as usize];
            assert_eq!(space.sva.copy_from_user(address(from), &mut bytes), done(length));
            assert_eq!(bytes, Space::<P>::original(1, offset, length));
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            assert_eq!(space.sva.copy_to_user(address(from), &bytes), done(length));
            space.only_changed(1, offset, length);
            let mut again = vec![0; length as usize];
            assert_eq!(space.sva.copy_from_user(address(from), &mut again), done(length));
            assert_eq!(again, bytes);
            assert_eq!(space.sva.zero_user(address(from), length), done(length));
            space.only_changed(1, offset, length);
            assert_eq!(space.sva.copy_from_user(address(from), &mut again), done(length));
            assert!(again.iter().all(|byte| *byte == 0));
        }
    }

    /// To the last byte of the window, from its first on, and not one more.
    fn the_window_ends_where_it_ends<P>() {
        for length in [0_u32, 1, 16, 4096] {
            let sva = Space::<P>::new().sva;
            let mut bytes = vec![0; length as usize];
            assert_eq!(sva.copy_from_user(address(SPLIT - length), &mut bytes), done(length));
            assert_eq!(bytes, Space::<P>::original(4, 4096 - length, length));
            assert_eq!(sva.copy_to_user(address(SPLIT - length), &bytes), done(length));
            assert_eq!(sva.copy_from_user(address(0), &mut bytes), done(length));
            assert_eq!(bytes, Space::<P>::original(0, 0, length));
            assert_eq!(sva.copy_to_user(address(0), &bytes), done(length));
            assert_eq!(sva.zero_user(address(SPLIT - length), length), done(length));
            let mut more = vec![9; length as usize + 1];
            let from = address(SPLIT - length);
            let refused = stopped(0, Violation::NotAUserRange(from));
            assert_eq!(sva.copy_from_user(from, &mut more), refused);
            assert!(more.iter().all(|byte| *byte == 9));
            let before = sva.machine().digest();
            assert_eq!(sva.copy_to_user(from, &more), refused);
            assert_eq!(sva.zero_user(from, length + 1), refused);
            assert_eq!(sva.machine().digest(), before);
        }
    }

    /// What begins outside, ends outside or wraps is refused as a whole.
    fn no_range_outside_the_window_is_touched<P>() {
        let space = Space::<P>::new();
        let sva = space.sva;
        let ranges = [
            (SPLIT, 1), (SPLIT - 1, 2), (SPLIT - 4, 8), (0xc000_4000, 4), (0xd000_0000, 4), (0xffff_f000, 0x1000),
            (u32::MAX, 1), (u32::MAX, 2), (0xffff_fffc, 8), (0xffff_f000, 0x2000), (0xffff_0000, 0x2_0000),
        ];
        for (from, length) in ranges {
            let refused = stopped(0, Violation::NotAUserRange(address(from)));
            let mut bytes = vec![7; length];
            let before = sva.machine().digest();
            assert_eq!(sva.copy_from_user(address(from), &mut bytes), refused, "{from:#x}");
            assert!(bytes.iter().all(|byte| *byte == 7));
            assert_eq!(sva.copy_to_user(address(from), &bytes), refused);
            assert_eq!(sva.zero_user(address(from), length as u32), refused);
            if from >= SPLIT {
                assert_eq!(sva.copy_str_from_user(address(from), &mut bytes), refused);
                assert!(bytes.iter().all(|byte| *byte == 7));
            }
            assert_eq!(sva.machine().digest(), before);
        }
        for (from, length) in [(1, u32::MAX), (0, u32::MAX), (0, SPLIT + 1), (at(5).get(), SPLIT)] {
            let before = sva.machine().digest();
            let refused = stopped(0, Violation::NotAUserRange(address(from)));
            assert_eq!(sva.zero_user(address(from), length), refused);
            assert_eq!(sva.machine().digest(), before);
        }
    }

    /// The first address that faults is told, and all before it is done.
    fn a_fault_in_the_middle_is_where_it_stops<P>() {
        let space = Space::<P>::new();
        let sva = space.sva;
        // Page 8 is not mapped; 7 can be read.
        for before in [0, 1, 100, 0x1000, 0x1800] {
            let from = address(at(8).get() - before);
            let mut bytes = vec![0; before as usize + 0x20];
            let progress = sva.copy_from_user(from, &mut bytes);
            assert_eq!(progress, stopped(before, Violation::NotReadable(at(8))));
            let (copied, rest) = bytes.split_at(before as usize);
            assert_eq!(copied, Space::<P>::original(1, 0x3000 - before, before));
            assert!(rest.iter().all(|byte| *byte == 0));
        }
        // 7 cannot be written.
        for (before, zeroes) in [(0, false), (1, true), (100, false), (0x1000, true), (0x1800, false)] {
            let space = Space::<P>::new();
            let to = address(at(7).get() - before);
            let progress = if zeroes {
                space.sva.zero_user(to, before + 0x20)
            } else {
                space.sva.copy_to_user(to, &vec![0; before as usize + 0x20])
            };
            assert_eq!(progress, stopped(before, Violation::NotWritable(at(7))));
            space.only_changed(1, 0x2000 - before, before);
            let mut bytes = vec![1; before as usize];
            assert_eq!(space.sva.copy_from_user(to, &mut bytes), done(before));
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
        // With nothing mapped at all.
        sva.load_root(sva.sealed_root()).unwrap();
        assert_eq!(sva.copy_from_user(at(5), &mut [0; 4]), stopped(0, Violation::NotReadable(at(5))));
        assert_eq!(sva.copy_to_user(at(5), &[0; 4]), stopped(0, Violation::NotWritable(at(5))));
        assert_eq!(sva.copy_str_from_user(at(5), &mut [0; 4]), stopped(0, Violation::NotReadable(at(5))));
    }

    fn strings_end_at_their_zero<P>() {
        let space = Space::<P>::new();
        let sva = space.sva;
        space.set(2, 5, 0);
        let string = Space::<P>::original(1, 0xff0, 0x15);
        for room in [0x16, 0x17, 0x40, 0x4000] {
            let mut bytes = vec![0xee; room];
            assert_eq!(sva.copy_str_from_user(address(at(5).get() + 0xff0), &mut bytes), done(0x15));
            assert_eq!(bytes[..0x15], string);
            assert!(bytes[0x15..].iter().all(|byte| *byte == 0xee), "the zero is not copied");
        }
        // Full before there is a zero: also when the zero would be the next.
        for room in [0, 1, 0x14, 0x15] {
            let mut bytes = vec![0xee; room as usize];
            let progress = sva.copy_str_from_user(address(at(5).get() + 0xff0), &mut bytes);
            assert_eq!(progress, stopped(room, Violation::RangeTooLong(room)));
            assert_eq!(bytes, string[..room as usize]);
        }
        // Empty.
        assert_eq!(sva.copy_str_from_user(address(at(6).get() + 5), &mut [1; 4]), done(0));
        // Without a zero before the fault.
        let mut bytes = vec![0; 0x100];
        let progress = sva.copy_str_from_user(address(at(8).get() - 0x30), &mut bytes);
        assert_eq!(progress, stopped(0x30, Violation::NotReadable(at(8))));
        assert_eq!(bytes[..0x30], Space::<P>::original(3, 0xfd0, 0x30));
    }

    /// A string that reaches the end of the window passes it, or ends with its last byte.
    fn strings_at_the_end_of_the_window<P>() {
        let space = Space::<P>::new();
        let sva = space.sva;
        let from = address(SPLIT - 0x20);
        for room in [0x21, 0x1000, 0x10_0000] {
            let mut bytes = vec![0; room];
            let progress = sva.copy_str_from_user(from, &mut bytes);
            assert_eq!(progress, stopped(0x20, Violation::NotAUserRange(from)));
            assert_eq!(bytes[..0x20], Space::<P>::original(4, 0xfe0, 0x20));
            assert!(bytes[0x20..].iter().all(|byte| *byte == 0));
        }
        // Less room than that is what ends it.
        let progress = sva.copy_str_from_user(from, &mut [0; 0x1f]);
        assert_eq!(progress, stopped(0x1f, Violation::RangeTooLong(0x1f)));
        space.set(4, 0xfff, 0);
        assert_eq!(sva.copy_str_from_user(from, &mut [0; 0x40]), done(0x1f));
        assert_eq!(sva.copy_str_from_user(address(SPLIT - 1), &mut [0; 1]), done(0));
        for outside in [SPLIT, SPLIT + 1, 0xf000_0000, u32::MAX] {
            let refused = stopped(0, Violation::NotAUserRange(address(outside)));
            assert_eq!(sva.copy_str_from_user(address(outside), &mut [0; 4]), refused);
            assert_eq!(sva.copy_str_from_user(address(outside), &mut []), refused);
        }
    }

    /// The observer is told what the library refuses; where a program's page ends is none of its business.
    fn refusals_are_told_and_faults_are_not<P>() {
        let space = Space::<P>::new();
        let sva = space.sva;
        let told: &Mutex<Vec<Violation>> = Box::leak(Box::default());
        assert!(sva.observe_refusals(Box::leak(Box::new(|violation| told.lock().unwrap().push(violation)))));
        let outside = Violation::NotAUserRange(address(SPLIT));
        let mut bytes = [0; 4];
        let refusals = [
            sva.copy_from_user(address(SPLIT), &mut bytes).refused,
            sva.copy_to_user(address(SPLIT), &bytes).refused,
            sva.zero_user(address(SPLIT), 4).refused,
            sva.copy_str_from_user(address(SPLIT), &mut bytes).refused,
        ];
        assert_eq!(refusals, [Some(outside); 4]);
        assert_eq!(core::mem::take(&mut *told.lock().unwrap()), [outside; 4]);
        let from = address(SPLIT - 2);
        assert_eq!(sva.copy_str_from_user(from, &mut bytes), stopped(2, Violation::NotAUserRange(from)));
        assert_eq!(core::mem::take(&mut *told.lock().unwrap()), [Violation::NotAUserRange(from)]);
        let mut context = UserContext::new(address(0), address(8));
        let refusal = sva.push_call(&mut context, address(0), &[1], |_| [0; 4]).unwrap_err();
        assert_eq!(core::mem::take(&mut *told.lock().unwrap()), [refusal]);
        sva.copy_frame(frame(1), frame(1)).unwrap_err();
        assert_eq!(core::mem::take(&mut *told.lock().unwrap()), [Violation::NoBytes(frame(1))]);
        sva.copy_from_user(at(8), &mut bytes).complete().unwrap_err();
        sva.copy_to_user(at(7), &bytes).complete().unwrap_err();
        sva.zero_user(at(7), 4).complete().unwrap_err();
        sva.copy_str_from_user(at(8), &mut bytes).complete().unwrap_err();
        assert_eq!(*told.lock().unwrap(), []);
    }

    /// Frames of user data, kernel data and for DMA, in any pair; each keeps its kind and loses its uses.
    fn frames_are_copied_by_kind<P>() {
        let sva = threads::<P>();
        let kinds = [Kind::UserData, Kind::KernelData, Kind::Dma];
        let frames: Vec<_> = (20..26).map(frame).collect();
        for (number, frame) in (0..).zip(&frames) {
            sva.retype(*frame, kinds[number % 3]).unwrap();
        }
        let word = |frame: Frame, offset: u32| PhysAddr::new(frame.start().get() + offset);
        for from in &frames[..3] {
            for to in &frames[3..] {
                for offset in [0, 0x800, 0xffc] {
                    sva.machine().poke(word(*from, offset), from.number() << 16 | offset);
                    sva.machine().poke(word(*to, offset), 0_u32);
                }
                sva.copy_frame(*from, *to).unwrap();
                for offset in [0, 0x800, 0xffc] {
                    assert_eq!(sva.machine().peek::<u32>(word(*to, offset)), from.number() << 16 | offset);
                }
                assert!([from, to].iter().all(|frame| sva.mappings(**frame).total == 0));
            }
            // Itself.
            let before = sva.machine().digest();
            sva.copy_frame(*from, *from).unwrap();
            assert_eq!(sva.machine().digest(), before);
        }
    }

    fn frames_of_other_kinds_are_not_copied<P>() {
        let sva = threads::<P>();
        let (data, busy, full) = (frame(20), frame(21), frame(22));
        for frame in [data, busy, full] {
            sva.retype(frame, Kind::UserData).unwrap();
        }
        sva.declare_root(frame(23)).unwrap();
        sva.declare_table(frame(24), 1).unwrap();
        sva.force(busy, Word::busy(Kind::UserData));
        let most = (0..0x7ff).fold(Word::unused(Kind::UserData), |word, _| word.with(Uses::WRITE));
        sva.force(full, most);
        let own = [sva.sealed_root(), sva.kernel_tables().first(), sva.half.threads.idle().first()];
        let others = [0, 1, 3, 4, 8, 10, 11, 23, 24, 30].map(frame).into_iter().chain(own);
        let others = others.map(Violation::NoBytes);
        let missing = [12, 64, 0xf_ffff].map(|number| Violation::NoSuchFrame(frame(number)));
        for violation in others.chain(missing).chain([Violation::FrameBusy(busy)]) {
            let (Violation::NoBytes(other) | Violation::NoSuchFrame(other) | Violation::FrameBusy(other)) = violation
            else {
                panic!("{violation:?}")
            };
            refused(sva, || sva.copy_frame(other, data), violation);
            refused(sva, || sva.copy_frame(data, other), violation);
            refused(sva, || sva.copy_frame(other, other), violation);
        }
        // It may be read once more, and not written.
        refused(sva, || sva.copy_frame(data, full), Violation::TooManyMappings(full));
        refused(sva, || sva.copy_frame(full, full), Violation::TooManyMappings(full));
        sva.copy_frame(full, data).unwrap();
    }

    /// By the i386 ABI: ESP + 4 is a multiple of 16 where the callee begins, its arguments lie from there on.
    fn a_call_is_pushed_as_the_abi_says<P>() {
        let space = Space::<P>::new();
        let sva = space.sva;
        let before = UserContext::new(address(0x1234), address(0));
        for esp in at(6).get() + 0x400..at(6).get() + 0x411 {
            for length in [0, 1, 15, 16, 17, 100] {
                let data: Vec<_> = (0..length).map(|n| n as u8 | 0x80).collect();
                let mut context = before;
                context.registers.esp = esp;
                let mut told = None;
                let words = |data: VirtAddr| {
                    told = Some(data);
                    [0x1111_1111, data.get(), 0x3333_3333]
                };
                let data_at = sva.push_call(&mut context, address(0x8048), &data, words).unwrap();
                assert_eq!(told, Some(data_at));
                let stack = context.registers.esp;
                assert_eq!((stack + 4) % 16, 0, "from {esp:#x} with {length} bytes");
                assert_eq!(data_at.get() % 16, 0);
                assert!(stack + 12 <= data_at.get() && data_at.get() + length <= esp);
                let mut bytes = vec![0; length as usize];
                assert_eq!(sva.copy_from_user(data_at, &mut bytes), done(length));
                assert_eq!(bytes, data);
                let mut words = [0; 12];
                assert_eq!(sva.copy_from_user(address(stack), &mut words), done(12));
                let words = words.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
                assert!(words.eq([0x1111_1111, data_at.get(), 0x3333_3333]));
                // Nothing else of the context is touched.
                let mut expected = before;
                (expected.instruction, expected.registers.esp) = (0x8048, stack);
                assert_eq!(context, expected);
                // Nor anything from the old ESP on.
                assert!((esp % 0x1000..0x1000).all(|offset| space.get(2, offset) == Space::<P>::byte(2, offset)));
            }
        }
    }

    /// As many words as are wanted: one is the return address alone, four fill the line, five need another.
    fn a_call_has_any_number_of_arguments<P>() {
        fn push<P: PagingMode, const WORDS: usize>(space: &Space<P>) {
            let mut context = UserContext::new(address(0), address(at(6).get() + 0x400));
            let words = core::array::from_fn(|n| n as u32 + 1);
            let data = space.sva.push_call::<WORDS>(&mut context, address(0x8048), &[9], |_| words).unwrap();
            let stack = context.registers.esp;
            assert_eq!((stack + 4) % 16, 0);
            for (n, word) in (0..).zip(words) {
                let mut bytes = [0; 4];
                space.sva.copy_from_user(address(stack + 4 * n), &mut bytes).complete().unwrap();
                assert_eq!(u32::from_le_bytes(bytes), word);
            }
            assert!(stack + 4 * (WORDS as u32) <= data.get());
        }
        let space = Space::<P>::new();
        push::<P, 1>(&space);
        push::<P, 2>(&space);
        push::<P, 4>(&space);
        push::<P, 5>(&space);
        push::<P, 6>(&space);
        push::<P, 9>(&space);
    }

    /// Near 0, near the split, in the kernel half, on pages that are not mapped or read-only.
    fn a_call_that_does_not_fit_changes_no_context<P>() {
        let space = Space::<P>::new();
        let sva = space.sva;
        let outside = |at: u32| Violation::NotAUserRange(address(at));
        let cannot = |at: u32| Violation::NotWritable(address(at));
        // ESP, bytes of data, and what is refused; three words are pushed.
        let cases: [(u32, usize, Violation); 16] = [
            (0, 0, outside(0)),
            (0, 1, outside(0)),
            (3, 4, outside(3)),
            (15, 0, outside(15)),
            (16, 1, outside(16)),
            (16, 100, outside(16)),
            (31, 32, outside(31)),
            (SPLIT + 0x10, 4, outside(SPLIT)),
            (SPLIT + 0x20, 0, outside(SPLIT + 0xc)),
            (SPLIT + 0x1000, 16, outside(SPLIT + 0xfdc)),
            (u32::MAX, 0, outside(0xffff_ffdc)),
            (u32::MAX, 4096, outside(0xffff_efdc)),
            (at(4).get() + 0x100, 0, cannot(at(4).get() + 0xec)),
            (at(8).get(), 0, cannot(at(8).get() - 0x14)),
            (at(9).get() + 0x100, 16, cannot(at(9).get() + 0xdc)),
            // The words lie below the data's page, which is read-only.
            (at(7).get() + 0x10, 16, cannot(at(7).get())),
        ];
        for (esp, length, violation) in cases {
            let mut context = UserContext::new(address(0x1234), address(esp));
            let before = context;
            let answer = sva.push_call(&mut context, address(0x8048), &vec![1; length], |_| [1, 2, 3]);
            assert_eq!(answer, Err(violation), "ESP {esp:#x}, {length} bytes");
            assert_eq!(context, before);
        }
        // Nothing but what lay below ESP was written: in the last case, and at the split.
        for place in [0, 1, 3] {
            assert!((0..FRAME_BYTES).all(|offset| space.get(place, offset) == Space::<P>::byte(place, offset)));
        }
        // The whole window is one's own.
        let mut context = UserContext::new(address(0), address(SPLIT));
        assert_eq!(sva.push_call(&mut context, address(0), &[1], |_| [1]), Ok(address(SPLIT - 16)));
        let mut context = UserContext::new(address(0), address(16));
        assert_eq!(sva.push_call(&mut context, address(0), &[], |_| [1]), Ok(address(16)));
        assert_eq!(context.registers.esp, 12);
    }
}

/// A length that does not fit 32 bits is no shorter for that.
#[cfg(target_pointer_width = "64")]
#[test]
fn lengths_of_more_than_32_bits() {
    let space = Space::<crate::mmu::TwoLevel>::new();
    let sva = space.sva;
    // Pages of it that nobody touches take no memory.
    let mut bytes = vec![0; (1 << 32) + 4];
    let refused = stopped(0, Violation::NotAUserRange(at(5)));
    let before = sva.machine().digest();
    assert_eq!(sva.copy_from_user(at(5), &mut bytes), refused);
    assert_eq!(sva.copy_to_user(at(5), &bytes), refused);
    let mut context = UserContext::new(address(0), at(6));
    let answer = sva.push_call(&mut context, address(0), &bytes, |_| [0]);
    assert_eq!(answer, Err(Violation::NotAUserRange(at(6))));
    assert_eq!(sva.machine().digest(), before);
    // A string that long may be short.
    space.set(1, 3, 0);
    assert_eq!(sva.copy_str_from_user(at(5), &mut bytes), done(3));
}
