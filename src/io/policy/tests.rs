//! The tables as a reader sees them. What they allow is tested from outside, port by port.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

#[test]
fn every_row_has_a_device_and_a_reason() {
    for row in OFFERED.iter().chain(SENSITIVE) {
        assert!(row.device.len() > 2 && row.reason.len() > 5, "{row:?}");
        assert!(!row.reason.ends_with('.'), "{row:?}");
    }
}

/// "As the first", "as 0x400": what is named is there, and earlier or later gives its own reason.
#[test]
fn a_reason_that_names_another_row_finds_it() {
    for row in OFFERED.iter().chain(SENSITIVE).filter(|row| row.reason.starts_with("as 0x")) {
        let number = row.reason.trim_start_matches("as 0x").split(',').next().unwrap();
        let first = u16::from_str_radix(number, 16).unwrap();
        let other = SENSITIVE.iter().find(|other| other.first == first).unwrap();
        assert!(!other.reason.starts_with("as "), "{row:?}");
    }
}

/// The assertions on the tables can fail.
#[test]
fn unsound_tables_are_found() {
    let a = |first, last| row(first, last, "", "");
    assert!(is_sorted(&[]) && is_sorted(&[a(5, 5)]) && is_sorted(&[a(5, 5), a(6, 9), a(10, 10)]));
    assert!(!is_sorted(&[a(6, 5)]));
    assert!(!is_sorted(&[a(5, 6), a(6, 7)]));
    assert!(!is_sorted(&[a(5, 6), a(3, 4)]));
    assert!(!is_sorted(&[a(1, 2), a(5, 6), a(9, 8)]));
    let rows = [a(10, 20), a(30, 40)];
    for (first, last) in [(0, 9), (21, 29), (41, 50)] {
        assert!(is_apart(&a(first, last), &rows));
    }
    for (first, last) in [(0, 10), (10, 10), (15, 16), (20, 21), (0, 50), (40, 41), (25, 35)] {
        assert!(!is_apart(&a(first, last), &rows), "{first} to {last}");
    }
}

#[test]
fn the_refused_port_is_the_first_that_is_not_offered() {
    let check = |first, count| check(Ports::new(first, count).unwrap());
    assert_eq!(check(0x3f8, 8), Ok(()));
    assert_eq!(check(0x3f8, 9), Err(Violation::PortNotOffered(0x400)));
    assert_eq!(check(0x3f7, 9), Err(Violation::PortNotOffered(0x3f7)));
    assert_eq!(check(0x2f8, 9), Err(Violation::PortNotOffered(0x300)), "two rows that touch");
    assert_eq!(check(0, 0x1_0000), Err(Violation::PortNotOffered(0)));
    assert_eq!(check(0xffff, 1), Err(Violation::PortNotOffered(0xffff)));
}
