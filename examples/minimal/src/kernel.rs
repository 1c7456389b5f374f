use sva_os::boot::{Boot, Status, entry};
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;

entry!(main);

fn main(boot: &'static Boot<Mode>) -> Status {
    assert!(boot.sva().audit().is_ok());
    Status::OK
}
