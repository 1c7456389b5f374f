//! Pages that come and go.

use super::{Bench, time};
use crate::sys::{PAGE, Pages};

pub(super) fn measure(bench: &mut Bench) {
    bench.row("mmap", 50, |count, counter| {
        time(count, counter, || {
            let mut pages = Pages::map(64 << 10)?;
            pages.touch();
            pages.unmap();
            Ok(())
        })
    });

    // The first touch of each page, and nothing else.
    bench.row("page-fault", 256, |count, counter| {
        let mut pages = Pages::map(count as usize * PAGE)?;
        time(1, counter, || {
            pages.touch();
            Ok(())
        })
    });
}
