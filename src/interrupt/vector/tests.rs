//! Vectors against the manual's table, and error codes bit by bit.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use std::collections::HashSet;
use std::vec::Vec;

/// Intel SDM vol. 3, table 6-1: vector, mnemonic, whether there is an error code.
const TABLE_6_1: &[(u8, &str, bool)] = &[
    (0, "#DE", false),
    (1, "#DB", false),
    (2, "NMI", false),
    (3, "#BP", false),
    (4, "#OF", false),
    (5, "#BR", false),
    (6, "#UD", false),
    (7, "#NM", false),
    (8, "#DF", true),
    (10, "#TS", true),
    (11, "#NP", true),
    (12, "#SS", true),
    (13, "#GP", true),
    (14, "#PF", true),
    (16, "#MF", false),
    (17, "#AC", true),
    (18, "#MC", false),
    (19, "#XM", false),
    (20, "#VE", false),
    (21, "#CP", true),
];

#[test]
fn exceptions_are_those_of_the_manual() {
    let ours: Vec<_> = Exception::ALL
        .iter()
        .map(|exception| (exception.vector().number(), exception.mnemonic(), exception.has_error_code()))
        .collect();
    assert_eq!(ours, TABLE_6_1);
    for vector in Vector::all() {
        let listed = TABLE_6_1.iter().any(|(number, ..)| *number == vector.number());
        let exception = Exception::new(vector);
        assert_eq!(exception.is_some(), listed, "{vector}");
        assert!(exception.is_none_or(|exception| exception.vector() == vector));
        assert!(exception.is_none_or(|exception| exception as u8 == vector.number()));
    }
    let names: HashSet<_> = Exception::ALL.iter().map(|exception| exception.name()).collect();
    assert_eq!(names.len(), TABLE_6_1.len());
}

#[test]
fn there_are_256_vectors() {
    for number in (0..600).chain([u32::MAX, 1 << 8, 1 << 16 | 14, 1 << 31]) {
        let vector = Vector::new(number);
        assert_eq!(vector.is_some(), number < 256, "{number}");
        assert!(vector.is_none_or(|vector| u32::from(vector) == number));
    }
    assert!(Vector::all().map(u32::from).eq(0..256));
}

#[test]
fn each_vector_has_one_source() {
    for vector in Vector::all() {
        let number = vector.number();
        let expected = match number {
            34 => Source::Nothing,
            32..=47 => Source::Line(Line::new(u32::from(number) - 32).unwrap()),
            48..=239 => Source::Software,
            240..=255 => Source::Nothing,
            _ => Exception::new(vector).map_or(Source::Nothing, Source::Exception),
        };
        assert_eq!(vector.source(), expected, "{vector}");
    }
    for line in Line::all() {
        assert_eq!(Vector::of_line(line).source(), Source::Line(line));
    }
}

/// The system call's vector is one of software, so it can be registered.
#[test]
fn three_vectors_are_open_to_users() {
    let open: Vec<_> = Vector::all().filter(|vector| vector.is_open_to_users()).map(u32::from).collect();
    assert_eq!(open, [3, 4, 0x80]);
    assert_eq!(Vector::SYSTEM_CALL.source(), Source::Software);
}

#[test]
fn four_exceptions_are_the_library_s() {
    let reserved: Vec<_> =
        Exception::ALL.iter().filter(|e| e.is_reserved()).map(|e| e.vector().number()).collect();
    assert_eq!(reserved, [1, 2, 8, 18]);
}

/// Intel SDM vol. 3, figure 6-7, read from the low end: EXT, IDT, TI, then 13 bits of index.
#[test]
fn a_selector_code_is_three_flags_and_an_index() {
    for raw in 0..=0xffff_u32 {
        let bits: Vec<_> = (0..16).map(|bit| raw >> bit & 1 == 1).collect();
        let table = match (bits[1], bits[2]) {
            (true, _) => Table::Idt,
            (false, true) => Table::Ldt,
            (false, false) => Table::Gdt,
        };
        let index = bits[3..].iter().rev().fold(0, |index, bit| index * 2 + u32::from(*bit));
        let expected = SelectorCode { external: bits[0], table, index };
        assert_eq!(SelectorCode::new(raw), expected);
        assert_eq!(SelectorCode::new(raw | 0xabcd_0000), expected, "the high half is reserved");
    }
}

/// Intel SDM vol. 3, figure 4-12.
#[test]
fn a_page_fault_code_is_five_flags() {
    let names = [
        PageFaultCode::PRESENT,
        PageFaultCode::WRITE,
        PageFaultCode::USER,
        PageFaultCode::RESERVED,
        PageFaultCode::FETCH,
    ];
    for raw in 0..64 {
        let ErrorCode::PageFault(code) = ErrorCode::new(Exception::PageFault.vector(), raw) else {
            panic!("{raw} is not the code of a page fault");
        };
        assert_eq!(code.bits(), raw);
        for (bit, name) in names.iter().enumerate() {
            assert_eq!(code.contains(*name), raw >> bit & 1 == 1);
        }
    }
}

#[test]
fn each_exception_says_what_its_code_means() {
    for vector in Vector::all() {
        let code = ErrorCode::new(vector, 0x1b);
        let expected = match vector.number() {
            8 | 17 | 21 => ErrorCode::Word(0x1b),
            10..=13 => ErrorCode::Selector(SelectorCode { external: true, table: Table::Idt, index: 3 }),
            14 => ErrorCode::PageFault(
                PageFaultCode::PRESENT
                    | PageFaultCode::WRITE
                    | PageFaultCode::RESERVED
                    | PageFaultCode::FETCH,
            ),
            _ => ErrorCode::None,
        };
        assert_eq!(code, expected, "{vector}");
    }
}
