//! What a base address register says.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use super::*;

#[test]
fn ports() {
    for (value, ones, first, count) in [
        (0xc001, 0xffff_ffe1, 0xc000, 32),
        (0xc101, 0x0000_ff01, 0xc100, 256),
        (0x0401, 0xffff_fffd, 0x0400, 4),
    ] {
        assert_eq!(Bar::new(value, ones, 0), Some(Bar::Ports { first, count }));
        assert_eq!(Bar::first_port(value), Some(first.into()));
    }
    assert_eq!(Bar::new(1, 0xffff_ffe1, 0), Some(Bar::Unreachable), "not placed");
    assert_eq!(Bar::new(0x1_0001, 0xffff_ffe1, 0), Some(Bar::Unreachable), "beyond the last port");
}

#[test]
fn memory() {
    for (value, ones, start, length) in [
        (0xfd00_0008, 0xff00_0008, 0xfd00_0000, 1 << 24),
        (0xfebf_0000, 0xffff_f000, 0xfebf_0000, 0x1000),
        (0xfebf_0004, 0xffff_fff4, 0xfebf_0000, 0x10),
        (0xffff_f000, 0xffff_f000, 0xffff_f000, 0x1000),
    ] {
        assert_eq!(Bar::new(value, ones, 0), Some(Bar::Memory { start, length }));
        assert_eq!(Bar::first_port(value), None);
    }
    assert_eq!(Bar::new(0, 0xffff_f000, 0), Some(Bar::Unreachable), "not placed");
    assert_eq!(Bar::new(0xfebf_0004, 0xffff_fff4, 1), Some(Bar::Unreachable), "beyond 4 GiB");
    assert_eq!(
        Bar::new(0xfebf_0000, 0xffff_fff0, 1),
        Bar::new(0xfebf_0000, 0xffff_fff0, 0),
        "not a wide one"
    );
    assert!(Bar::is_wide(0xfebf_0004) && !Bar::is_wide(0xfebf_0000) && !Bar::is_wide(0x0000_c005));
}

#[test]
fn a_register_that_keeps_nothing_is_none() {
    assert_eq!(Bar::new(0, 0, 0), None);
}

#[test]
fn overlaps() {
    let ports = |first, count| Bar::Ports { first, count };
    let memory = |start, length| Bar::Memory { start, length };
    assert!(ports(0xc000, 32).overlaps(ports(0xc010, 4)));
    assert!(ports(0xc010, 4).overlaps(ports(0xc000, 32)));
    assert!(!ports(0xc000, 32).overlaps(ports(0xc020, 32)));
    assert!(!ports(0xc020, 32).overlaps(ports(0xc000, 32)));
    assert!(memory(0xf000_0000, 1 << 24).overlaps(memory(0xf0ff_fff0, 16)));
    assert!(!memory(0xf000_0000, 1 << 24).overlaps(memory(0xf100_0000, 16)));
    assert!(!memory(0xc000, 32).overlaps(ports(0xc000, 32)), "two kinds of addresses");
    assert!(!Bar::Unreachable.overlaps(Bar::Unreachable));
}
