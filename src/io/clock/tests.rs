//! Every index.

extern crate std;

use super::*;
use crate::machine::Emulated;
use crate::machine::emulated::{Config, DeviceAccess, Direction, Register};
use crate::mmu::Pae;
use std::vec::Vec;

#[test]
fn attack_p03_no_index_holds_nmi_back() {
    let machine = Emulated::<Pae>::new(&Config::new(1, 1));
    for index in 0..=u8::MAX {
        machine.devices().inject(Register::Port(0x71), 0x59);
        assert_eq!(Io::new(&machine).cmos(index), 0x59);
        let log = core::mem::take(&mut machine.devices().log);
        let seen: Vec<_> = log
            .iter()
            .map(|DeviceAccess { register, direction, value, .. }| (*register, *direction, *value))
            .collect();
        let selected = (Register::Port(0x70), Direction::Write, u64::from(index % 128));
        assert_eq!(seen, [selected, (Register::Port(0x71), Direction::Read, 0x59)]);
    }
}
