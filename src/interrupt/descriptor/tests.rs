//! Encodings against an independent reading of the manual's figures, field by field.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use core::mem::offset_of;
use proptest::prelude::*;
use std::vec::Vec;

/// Bits `first..=last` of the eight bytes, lowest address first, as the manual numbers them.
fn field(bytes: [u8; 8], first: usize, last: usize) -> u32 {
    (first..=last).rev().fold(0, |value, bit| value << 1 | u32::from(bytes[bit / 8] >> (bit % 8) & 1))
}

/// A segment descriptor (Intel SDM vol. 3, figure 3-8; figure 7-3 for a TSS).
#[derive(Debug, PartialEq)]
struct Segment {
    base: u32,
    /// The last byte, granularity applied.
    limit: u32,
    kind: u32,
    code_or_data: bool,
    dpl: u32,
    present: bool,
    available: bool,
    reserved: bool,
    bits_32: bool,
}

fn segment(descriptor: Descriptor) -> Segment {
    let bytes = descriptor.bits().to_le_bytes();
    let base = field(bytes, 16, 39) | field(bytes, 56, 63) << 24;
    let limit = field(bytes, 0, 15) | field(bytes, 48, 51) << 16;
    let in_pages = field(bytes, 55, 55) == 1;
    Segment {
        base,
        limit: if in_pages { limit << 12 | 0xfff } else { limit },
        kind: field(bytes, 40, 43),
        code_or_data: field(bytes, 44, 44) == 1,
        dpl: field(bytes, 45, 46),
        present: field(bytes, 47, 47) == 1,
        available: field(bytes, 52, 52) == 1,
        reserved: field(bytes, 53, 53) == 1,
        bits_32: field(bytes, 54, 54) == 1,
    }
}

#[test]
fn flat_segments() {
    for (contents, kind) in [(Contents::Code, 0b1011), (Contents::Data, 0b0011)] {
        for (ring, dpl) in [(Ring::Kernel, 0), (Ring::User, 3)] {
            let expected = Segment {
                base: 0,
                limit: u32::MAX,
                kind,
                code_or_data: true,
                dpl,
                present: true,
                available: false,
                reserved: false,
                bits_32: true,
            };
            assert_eq!(segment(Descriptor::flat(contents, ring)), expected);
        }
    }
}

fn is_task_at(descriptor: Descriptor, base: u32) -> bool {
    let expected = Segment {
        base,
        limit: 103,
        // 32-bit TSS, available.
        kind: 0b1001,
        code_or_data: false,
        dpl: 0,
        present: true,
        available: false,
        reserved: false,
        bits_32: false,
    };
    segment(descriptor) == expected
}

proptest! {
    #[test]
    fn task_states(base: u32) {
        prop_assert!(is_task_at(Descriptor::task(base), base));
    }

    #[test]
    fn interrupt_gates(stub: u32, number: u8) {
        gate_is(Vector::from_number(number), stub);
    }
}

#[test]
fn each_bit_of_a_base_has_its_place() {
    for base in (0..32).map(|bit| 1 << bit).chain([0, u32::MAX]) {
        assert!(is_task_at(Descriptor::task(base), base), "{base:#x}");
    }
}

/// A gate (Intel SDM vol. 3, figure 6-2).
fn gate_is(vector: Vector, stub: u32) {
    let gate = Gate::of(vector, stub).bits().to_le_bytes();
    let offset = field(gate, 0, 15) | field(gate, 48, 63) << 16;
    let (selector, kind, dpl) = (field(gate, 16, 31), field(gate, 40, 44), field(gate, 45, 46));
    assert_eq!(field(gate, 47, 47), 1, "{vector} is present");
    assert_eq!(field(gate, 32, 39), 0, "reserved, or the count of a call gate");
    if vector.number() == 8 {
        assert_eq!((offset, selector, kind, dpl), (0, 0x30, 0b00101, 0), "a task gate");
    } else {
        let open = matches!(vector.number(), 3 | 4 | 0x80);
        // A 32-bit interrupt gate. A trap gate would be 01111 and leave IF set.
        assert_eq!((offset, selector, kind), (stub, 0x08, 0b01110), "{vector}");
        assert_eq!(dpl, if open { 3 } else { 0 }, "{vector}");
    }
}

/// Attack R2: of all gates one is a task gate, that of the double fault; all others clear IF.
#[test]
fn every_vector_has_its_gate() {
    for vector in Vector::all() {
        for stub in [0, 0xffff, 0x1_0000, 0xc010_1230, u32::MAX] {
            gate_is(vector, stub);
        }
    }
    assert_eq!(Gate::ABSENT.bits(), 0);
}

/// Attack R2: no local table, no call gate, no task but two; nothing for ring 3 but two flat segments.
#[test]
fn the_gdt() {
    let (task, double_fault) = (0xc012_3480, 0xc023_4500);
    let gdt = gdt(task, double_fault);
    let at = |selector: Selector| {
        assert_eq!(selector.bits() >> 2 & 1, 0, "TI: the GDT");
        (segment(gdt[usize::from(selector.bits() >> 3)]), u32::from(selector.bits() & 3))
    };
    for (selector, kind, ring) in [
        (Selector::KERNEL_CODE, 0b1011, 0),
        (Selector::KERNEL_DATA, 0b0011, 0),
        (Selector::USER_CODE, 0b1011, 3),
        (Selector::USER_DATA, 0b0011, 3),
    ] {
        let (segment, rpl) = at(selector);
        assert_eq!((segment.kind, segment.dpl, rpl), (kind, ring, ring));
        assert!(segment.present && segment.code_or_data && segment.base == 0 && segment.limit == u32::MAX);
    }
    assert!(is_task_at(gdt[usize::from(Selector::TASK.bits() >> 3)], task));
    assert!(is_task_at(gdt[usize::from(Selector::DOUBLE_FAULT.bits() >> 3)], double_fault));
    let system: Vec<_> = gdt.iter().filter(|d| d.bits() != 0 && !segment(**d).code_or_data).collect();
    assert_eq!(system.len(), 2);
    assert_eq!(gdt[0], Descriptor::NULL);
    let first_tls = widen(FIRST_TLS);
    assert_eq!(gdt[first_tls..], [Descriptor::NULL; widen(TLS_SLOTS)]);
    // The values that user programs and debuggers see.
    let selectors = [Selector::KERNEL_CODE, Selector::KERNEL_DATA, Selector::USER_CODE, Selector::USER_DATA];
    assert_eq!(selectors.map(Selector::bits), [0x08, 0x10, 0x1b, 0x23]);
    assert_eq!(
        [Selector::NULL.bits(), Selector::TASK.bits(), Selector::DOUBLE_FAULT.bits()],
        [0, 0x28, 0x30]
    );
}

/// Offsets of Intel SDM vol. 3, figure 7-2.
#[test]
fn a_task_state_is_laid_out_as_the_manual_says() {
    let offsets = [
        (offset_of!(TaskState, link), 0),
        (offset_of!(TaskState, esp0), 4),
        (offset_of!(TaskState, ss0), 8),
        (offset_of!(TaskState, outer_stacks), 12),
        (offset_of!(TaskState, cr3), 28),
        (offset_of!(TaskState, eip), 32),
        (offset_of!(TaskState, eflags), 36),
        (offset_of!(TaskState, eax), 40),
        (offset_of!(TaskState, ecx), 44),
        (offset_of!(TaskState, edx), 48),
        (offset_of!(TaskState, ebx), 52),
        (offset_of!(TaskState, esp), 56),
        (offset_of!(TaskState, ebp), 60),
        (offset_of!(TaskState, esi), 64),
        (offset_of!(TaskState, edi), 68),
        (offset_of!(TaskState, es), 72),
        (offset_of!(TaskState, cs), 76),
        (offset_of!(TaskState, ss), 80),
        (offset_of!(TaskState, ds), 84),
        (offset_of!(TaskState, fs), 88),
        (offset_of!(TaskState, gs), 92),
        (offset_of!(TaskState, ldt), 96),
        (offset_of!(TaskState, io_map), 100),
    ];
    for (ours, manual) in offsets {
        assert_eq!(ours, manual);
    }
}

/// Attack D4: the I/O bitmap lies past the limit, and so opens nothing.
#[test]
fn no_task_state_opens_a_port() {
    let limit = segment(Descriptor::task(0)).limit;
    for state in [TaskState::of_cpu(), TaskState::beginning(1, 2, 3)] {
        let offset = state.io_map >> 16;
        assert!(offset > limit);
        assert_eq!(state.io_map & 1, 0, "T: no debug trap on a switch");
    }
}

#[test]
fn what_a_task_begins_with() {
    let task = TaskState::beginning(0xc010_0000, 0xc020_2000, 0x0030_0000);
    assert_eq!((task.eip, task.esp, task.cr3), (0xc010_0000, 0xc020_2000, 0x0030_0000));
    assert_eq!((task.esp0, task.ss0), (0xc020_2000, 0x10));
    assert_eq!((task.cs, task.ss, task.ds, task.es), (0x08, 0x10, 0x10, 0x10));
    assert_eq!((task.fs, task.gs, task.ldt, task.link), (0, 0, 0, 0));
    // IF, DF, TF, IOPL, NT and VM are clear.
    assert_eq!(task.eflags, 0x2);
    let cpu = TaskState::of_cpu();
    assert_eq!((cpu.ss0, cpu.esp0, cpu.outer_stacks), (0x10, 0, [0; 4]));
}

/// Whatever base and limit: present, writable data of ring 3 that grows up, 32 bits, and nothing else (attack U1).
fn tls_is(segment: TlsSegment) {
    let descriptor = Descriptor::tls(segment);
    let (last, in_pages) = match segment.limit {
        TlsLimit::Bytes(last) => (last & 0xf_ffff, false),
        TlsLimit::Pages(last) => (last & 0xf_ffff, true),
    };
    let expected = Segment {
        base: segment.base,
        limit: if in_pages { last << 12 | 0xfff } else { last },
        kind: 0b0011,
        code_or_data: true,
        dpl: 3,
        present: true,
        available: false,
        reserved: false,
        bits_32: true,
    };
    assert_eq!(self::segment(descriptor), expected);
    assert_eq!(field(descriptor.bits().to_le_bytes(), 55, 55) == 1, in_pages);
    let (low, high) = descriptor.halves();
    assert_eq!(u64::from(high) << 32 | u64::from(low), descriptor.bits());
    assert_eq!(Descriptor::from_halves(low, high), descriptor);
}

proptest! {
    #[test]
    fn segments_for_thread_local_storage(base: u32, last: u32) {
        tls_is(TlsSegment { base, limit: TlsLimit::Bytes(last) });
        tls_is(TlsSegment { base, limit: TlsLimit::Pages(last) });
    }
}

/// Attack U1: of all selectors a program has null, the flat data segment, and the three slots; in any ring, in the GDT.
#[test]
fn every_selector() {
    for selector in 0..=u16::MAX {
        let (index, is_local) = (selector >> 3, selector >> 2 & 1 == 1);
        let expected = match index {
            _ if is_local => None,
            0 | 4 => Some(None),
            7..=9 => Some(Some(usize::from(index) - 7)),
            _ => None,
        };
        assert_eq!(user_selector_slot(selector), expected, "{selector:#x}");
    }
    for slot in 0..TLS_SLOTS {
        let selector = Selector::tls(slot);
        assert_eq!(u32::from(selector.bits()), (7 + slot) << 3 | 3);
        assert_eq!(user_selector_slot(selector.bits()), Some(Some(widen(slot))));
    }
}
