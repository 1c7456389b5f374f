mod rows;
mod world;

use core::fmt::{self, Write};
use sva_os::Sva;
use sva_os::boot::{Boot, Status, entry};
use sva_os::io::Uart;
use sva_os::machine::I386;
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;

entry!(main);

type Machine = I386<Mode>;
type Kernel = Sva<Machine>;

struct Console(Uart<'static, Machine>);

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.send_bytes_exact(text.as_bytes());
        Ok(())
    }
}

fn main(boot: &'static Boot<Mode>) -> Status {
    let mut console = Console(boot.sva().io().uart(0x3f8).unwrap());
    rows::run(boot.sva(), |name, count| writeln!(console, "count {count} {name}").unwrap());
    Status::OK
}
