//! Which selectors a program can have (U1), by a model of the GDT: 1 and 2 are the kernel's code and data, 3 and
//! 4 the program's, 5 and 6 task states, 7 to 9 segments for thread-local storage.

use super::Kernel;
use sva_os::context::{TLS_SLOTS, TlsLimit, TlsSegment};

const USER_CODE: u32 = 3;
const USER_DATA: u32 = 4;
const FIRST_TLS: u32 = 7;

/// The segments that a program can name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments {
    installed: [bool; TLS_SLOTS as usize],
}

impl Segments {
    /// Gives the running thread flat segments in these TLS slots, and in no other.
    pub(super) fn install(sva: &Kernel, installed: [bool; TLS_SLOTS as usize]) -> Self {
        for (slot, installed) in (0..).zip(installed) {
            let segment = TlsSegment { base: 0, limit: TlsLimit::Pages(0xf_ffff) };
            let selector = sva.set_tls(slot, installed.then_some(segment)).unwrap();
            assert_eq!(u32::from(selector), (FIRST_TLS + slot) << 3 | 3);
        }
        Self { installed }
    }

    /// Whether it names a null segment, whose index is 0.
    pub(super) fn is_null(selector: u16) -> bool {
        selector & !3 == 0
    }

    fn index(selector: u16) -> Option<u32> {
        (selector & 4 == 0).then_some(u32::from(selector) >> 3)
    }

    /// Whether it names writable data of ring 3.
    pub(super) fn is_data(self, selector: u16) -> bool {
        match Self::index(selector) {
            Some(USER_DATA) => true,
            Some(index) => {
                index.checked_sub(FIRST_TLS).and_then(|slot| self.installed.get(slot as usize)) == Some(&true)
            }
            None => false,
        }
    }

    /// Whether it names code of ring 3.
    pub(super) fn is_code(selector: u16) -> bool {
        Self::index(selector) == Some(USER_CODE)
    }
}
