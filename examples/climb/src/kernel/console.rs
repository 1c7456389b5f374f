//! Output on COM1: first by the kernel's own instructions, then by ports that were claimed.

use super::Machine;
use core::arch::asm;
use core::fmt;
use sva_os::io::Uart;

/// The claimed port, from level 0 on.
static mut CLAIMED: Option<Uart<'static, Machine>> = None;

pub(super) struct Console;

/// Goes over to `uart`.
pub(super) fn take_over(uart: Uart<'static, Machine>) {
    // SAFETY: one CPU, and no handler writes.
    unsafe { CLAIMED = Some(uart) }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: one CPU, and no handler writes.
        match unsafe { &mut *&raw mut CLAIMED } {
            Some(uart) => uart.send_bytes_exact(text.as_bytes()),
            None => text.bytes().for_each(|byte| {
                // SAFETY: the transmitter of a UART.
                unsafe { asm!("out dx, al", in("dx") 0x3f8_u16, in("al") byte) }
            }),
        }
        Ok(())
    }
}

macro_rules! println {
    ($($arguments:tt)*) => {{
        use core::fmt::Write;
        let _ = writeln!($crate::kernel::console::Console, $($arguments)*);
    }};
}
pub(super) use println;
