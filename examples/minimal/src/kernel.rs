use sva_os::boot::{Boot, Status, entry};
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;

entry!(main);

fn main(boot: &'static Boot<Mode>) -> Status {
    boot.sva().audit().unwrap();
    Status::OK
}
