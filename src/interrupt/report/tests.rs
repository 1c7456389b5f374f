//! The words, and when they say "stack overflow".

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

extern crate std;

use super::*;
use crate::address::Page;
use std::string::ToString;

fn report(esp: u32, fault: u32) -> DoubleFault {
    let left =
        TaskState { cs: 0x8, eip: 0xc010_1234, eflags: 0x46, esp, ebp: 0xc020_0080, ..TaskState::of_cpu() };
    let stacks = PageRange::new(Page::new(0xf_8000).unwrap(), 4 * SLOT_PAGES).unwrap();
    DoubleFault { left, fault: VirtAddr::new(fault), stacks }
}

#[test]
fn an_overflow_faults_near_the_stack_pointer() {
    let esp = 0xc020_0004_u32;
    let page = FRAME_BYTES;
    for (fault, expected) in [
        (esp, true),
        // A push, a probe, an exception frame, the far end of the guard.
        (esp.wrapping_sub(4), true),
        (esp.wrapping_sub(page), true),
        (esp.wrapping_sub(2 * page), true),
        (esp.wrapping_sub(2 * page + 1), false),
        (esp.wrapping_add(2 * page), true),
        (esp.wrapping_add(2 * page + 1), false),
        (0, false),
        (0xffff_fffc, false),
        (0x0804_8000, false),
    ] {
        assert_eq!(report(esp, fault).is_overflow(), expected, "{fault:#x}");
    }
}

/// Neither end of the address space is near the other's for a difference of signs.
#[test]
fn distances_go_round_the_end() {
    assert!(report(0, 0xffff_fffc).is_overflow());
    assert!(report(0xffff_fffc, 0).is_overflow());
    assert!(!report(0x8000_0000, 0).is_overflow());
}

#[test]
fn words() {
    assert_eq!(
        report(0xc020_0000, 0xc01f_fffc).to_string(),
        "#DF (double fault), stack overflow\n  \
         CS 0x0008 EIP 0xc0101234 EFLAGS 0x00000046 ESP 0xc0200000 EBP 0xc0200080\n  \
         CR2 0xc01ffffc"
    );
    assert!(report(0xc020_0000, 0).to_string().starts_with("#DF (double fault)\n"));
    for (esp, thread) in [
        (0xf7ff_fffc, None),
        (0xf800_0000, Some(0)),
        (0xf800_fffc, Some(0)),
        (0xf801_0000, Some(1)),
        (0xf803_fffc, Some(3)),
        (0xf804_0000, None),
    ] {
        let words = report(esp, esp - 4).to_string();
        match thread {
            Some(thread) => assert!(words.ends_with(&std::format!(", on the stack of thread {thread}"))),
            None => assert!(!words.contains("thread")),
        }
    }
}
