//! Output by way of COM1, past the library.

use core::arch::asm;
use core::fmt;

pub(super) struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the transmitter of a UART, which QEMU empties at once.
            unsafe { asm!("out dx, al", in("dx") 0x3f8_u16, in("al") byte) }
        }
        Ok(())
    }
}

macro_rules! println {
    ($($arguments:tt)*) => {{
        use core::fmt::Write;
        writeln!($crate::kernel::console::Console, $($arguments)*).unwrap()
    }};
}
pub(super) use println;
