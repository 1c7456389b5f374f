//! What a frame says of the words that the CPU and a stub pushed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::interrupt::vector::{PageFaultCode, SelectorCode, Table};
use core::mem::offset_of;
use std::string::ToString;

/// The order of `pushal` (Intel SDM vol. 2), with what the stub pushes around it, from the top down.
#[test]
fn words_lie_as_they_are_pushed() {
    let pushed = [
        offset_of!(Saved, eflags),
        offset_of!(Saved, cs),
        offset_of!(Saved, eip),
        offset_of!(Saved, error_code),
        offset_of!(Saved, vector),
        offset_of!(Saved, eax),
        offset_of!(Saved, ecx),
        offset_of!(Saved, edx),
        offset_of!(Saved, ebx),
        offset_of!(Saved, esp),
        offset_of!(Saved, ebp),
        offset_of!(Saved, esi),
        offset_of!(Saved, edi),
        offset_of!(Saved, ds),
        offset_of!(Saved, es),
    ];
    let size = size_of::<Saved>();
    assert_eq!(size, 4 * pushed.len());
    for (nth, offset) in pushed.into_iter().enumerate() {
        assert_eq!(offset, size - 4 * (nth + 1));
    }
    // The CPU pushes SS before ESP.
    assert_eq!((offset_of!(OuterStack, esp), offset_of!(OuterStack, ss)), (0, 4));
}

fn saved(vector: u8, cs: u32) -> Saved {
    Saved {
        es: 0x23,
        ds: 0x23,
        edi: 1,
        esi: 2,
        ebp: 3,
        esp: 0xc010_0fe8,
        ebx: 5,
        edx: 6,
        ecx: 7,
        eax: 8,
        vector: vector.into(),
        error_code: 0x7,
        eip: 0xc012_3456,
        cs,
        eflags: 0x246,
    }
}

const OUTER: OuterStack = OuterStack { esp: 0x0804_9000, ss: 0x23 };

#[test]
fn from_the_kernel() {
    let saved = saved(14, 0x08);
    let frame = TrapFrame::new(&saved, OUTER, 0xdead_b000);
    assert_eq!(frame.vector().number(), 14);
    assert_eq!(frame.exception(), Some(Exception::PageFault));
    let code = PageFaultCode::PRESENT | PageFaultCode::WRITE | PageFaultCode::USER;
    assert_eq!(frame.error_code(), ErrorCode::PageFault(code));
    assert_eq!(frame.fault_address(), Some(VirtAddr::new(0xdead_b000)));
    assert!(!frame.is_from_user());
    assert_eq!((frame.instruction().get(), frame.code_segment(), frame.flags()), (0xc012_3456, 8, 0x246));
    // The vector, the error code, EIP, CS and EFLAGS lie above what `pushal` saw, and no more.
    let expected = Registers { eax: 8, ebx: 5, ecx: 7, edx: 6, esi: 2, edi: 1, ebp: 3, esp: 0xc010_0ffc };
    assert_eq!(frame.registers(), expected);
}

/// Whatever else is in CS: privilege is its low two bits.
#[test]
fn from_a_user_program() {
    for cs in [0x1b, 0x1b | 0xffff_0000, 0x09, 0x0a, 0x0b, 0x03] {
        let saved = saved(0x80, cs);
        let frame = TrapFrame::new(&saved, OUTER, 0xdead_b000);
        assert!(frame.is_from_user(), "{cs:#x}");
        assert_eq!(frame.registers().esp, OUTER.esp);
        assert_eq!(frame.code_segment(), cs as u16);
        assert_eq!(frame.fault_address(), None, "CR2 is another's");
        assert_eq!((frame.exception(), frame.error_code()), (None, ErrorCode::None));
    }
    for cs in [0x08, 0x08 | 0xffff_0000, 0] {
        assert!(!TrapFrame::new(&saved(0x80, cs), OUTER, 0).is_from_user(), "{cs:#x}");
    }
}

#[test]
fn only_a_page_fault_has_an_address() {
    for vector in Vector::all() {
        let saved = saved(vector.number(), 0x08);
        let frame = TrapFrame::new(&saved, OUTER, 0);
        assert_eq!(frame.vector(), vector);
        assert_eq!(frame.fault_address().is_some(), vector.number() == 14);
    }
}

#[test]
fn a_selector_is_decoded() {
    let saved = Saved { error_code: 0x1234, ..saved(13, 0x08) };
    let code = SelectorCode { external: false, table: Table::Ldt, index: 0x246 };
    assert_eq!(TrapFrame::new(&saved, OUTER, 0).error_code(), ErrorCode::Selector(code));
}

#[test]
fn words() {
    let fault = saved(14, 0x08);
    assert_eq!(
        TrapFrame::new(&fault, OUTER, 0x10).to_string(),
        "#PF (page fault), vector 14, error code 0x7, at address 0x00000010\n  \
         CS 0x0008 EIP 0xc0123456 EFLAGS 0x00000246 ESP 0xc0100ffc EBP 0x00000003\n  \
         EAX 0x00000008 EBX 0x00000005 ECX 0x00000007 EDX 0x00000006 ESI 0x00000002 EDI 0x00000001"
    );
    let other = saved(0x80, 0x1b);
    assert!(TrapFrame::new(&other, OUTER, 0).to_string().starts_with("vector 128, error code 0x7\n"));
}

/// All that a handler may look at.
#[test]
fn a_frame_is_shown_whole() {
    let saved = saved(14, 0x1b);
    let shown = std::format!("{:?}", TrapFrame::new(&saved, OUTER, 0xdead_b000));
    for part in [
        "TrapFrame { vector: ",
        "error_code: PageFault(PageFaultCode(PRESENT | WRITE | USER))",
        "fault_address: Some(VirtAddr(0xdeadb000))",
        "instruction: VirtAddr(0xc0123456)",
        "is_from_user: true",
        "flags: 582",
        "esp: 134516736",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}
