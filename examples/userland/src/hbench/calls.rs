//! System calls that wait for nothing.

use core::sync::atomic::{AtomicU32, Ordering};

use super::{Bench, time};
use crate::sys::{self, Action, Errno, File, Poll, USER, mode};

/// A file in RAM that is opened.
const PLACE: &core::ffi::CStr = c"/tmp/hbench";

pub(super) fn measure(bench: &mut Bench) {
    bench.row("getpid", 1000, |count, counter| {
        time(count, counter, || {
            core::hint::black_box(sys::own_pid());
            Ok(())
        })
    });

    bench.row("open-close", 200, |count, counter| {
        File::open(PLACE, mode::CREATE | mode::WRITE)?.close()?;
        let ticks = time(count, counter, || File::open(PLACE, mode::READ)?.close());
        sys::unlink(PLACE)?;
        ticks
    });

    bench.row("write", 1000, |count, counter| {
        let null = File::open(c"/dev/null", mode::WRITE)?;
        let ticks = time(count, counter, || null.write(b"x").map(drop));
        null.close()?;
        ticks
    });

    bench.row("signal-install", 1000, |count, counter| {
        let ticks = time(count, counter, || sys::on_signal(USER, Action::Handle(handle)));
        sys::on_signal(USER, Action::Default)?;
        ticks
    });

    bench.row("signal-handler", 200, |count, counter| {
        sys::on_signal(USER, Action::Handle(handle))?;
        let own = sys::own_pid();
        let before = HANDLED.load(Ordering::Relaxed);
        let ticks = time(count, counter, || sys::kill(own, USER));
        sys::on_signal(USER, Action::Default)?;
        let handled = HANDLED.load(Ordering::Relaxed).wrapping_sub(before);
        if handled == count { ticks } else { Err(Errno::INVAL) }
    });

    for (name, call) in [("poll", poll as fn(_, _) -> _), ("select", sys::select)] {
        bench.row(name, 500, |count, counter| {
            let (read, write) = sys::pipe()?;
            write.write_all(b"x")?;
            let ticks = time(count, counter, || match call(read, write)? {
                2 => Ok(()),
                _ => Err(Errno::INVAL),
            });
            read.close()?;
            write.close()?;
            ticks
        });
    }
}

/// How often the handler was called.
static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn handle(_: i32) {
    // One thread, and a handler that does not interrupt itself: no locked instruction is needed.
    HANDLED.store(HANDLED.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

fn poll(read: File, write: File) -> sys::Result<usize> {
    sys::poll(&mut [Poll::read(read), Poll::write(write)])
}
