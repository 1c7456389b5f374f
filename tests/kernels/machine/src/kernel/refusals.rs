//! What the library refuses, with its own tables and handlers of this machine: nothing changes.

use super::console::println;
use super::{Boot, Mode};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::{Frame, FrameRange, Page, PageRange, PhysAddr};
use sva_os::frame::Kind;
use sva_os::interrupt::{Exception, Line};
use sva_os::layout::{DirectMap, Layout};
use sva_os::machine::I386;
use sva_os::mmu::{KernelPages, Rights};
use sva_os::{Sva, Violation};

/// The kernel half begins here, and the image behind it as it does in RAM.
const KERNEL_HALF: u32 = 0xc000_0000;

pub(super) fn run(boot: &'static Boot<Mode>) {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    assert!(boot.sva().observe_refusals(&|_| _ = TOLD.fetch_add(1, Ordering::Relaxed)));
    let before = boot.sva().audit().unwrap();
    let refused = tables(boot) + vectors(boot) + twice(boot);
    assert_eq!(boot.sva().audit().unwrap(), before);
    println!("{refused} refused, {} told", TOLD.load(Ordering::Relaxed));
    // Of the two calls of init nobody is told: they are no handle's.
    assert_eq!(TOLD.load(Ordering::Relaxed), refused - 2);
}

/// Where the CPU's own tables are: IDT, GDT, and the task state that TR names.
fn own_tables() -> [u32; 3] {
    let table = |register: [u16; 3]| u32::from(register[2]) << 16 | u32::from(register[1]);
    let (mut idt, mut gdt, task): (_, _, u16) = ([0u16; 3], [0u16; 3], 0);
    let mut task = task;
    // SAFETY: writes six bytes each.
    unsafe {
        asm!("sidt [{}]", in(reg) idt.as_mut_ptr());
        asm!("sgdt [{}]", in(reg) gdt.as_mut_ptr());
        asm!("str {0:x}", inout(reg) task);
    }
    let descriptor = (table(gdt) + u32::from(task & !7)) as *const u64;
    // SAFETY: the descriptor that TR names.
    let descriptor = unsafe { descriptor.read() };
    let task = (descriptor >> 16 & 0xff_ffff | descriptor >> 32 & 0xff00_0000) as u32;
    [table(idt), table(gdt), task]
}

/// D1: nobody maps, declares, retypes, reads or owns them.
fn tables(boot: &'static Boot<Mode>) -> u32 {
    let sva = boot.sva();
    let table = (1..sva.frame_count())
        .rev()
        .filter_map(Frame::new)
        .find(|frame| sva.kind(*frame) == Kind::Free)
        .unwrap();
    sva.declare_table(table, 1).unwrap();
    let mut refused = 0;
    for at in own_tables() {
        let frame = PhysAddr::new(at - KERNEL_HALF).containing();
        println!("{at:#010x} lies in {frame}, {:?}", sva.kind(frame));
        assert_eq!(sva.kind(frame), Kind::Image);
        for rights in Rights::ALL {
            assert_eq!(sva.map(table, 0, frame, rights), Err(Violation::NotMappable(frame)));
            refused += 1;
        }
        assert_eq!(sva.declare_table(frame, 1), Err(Violation::NotFree(frame)));
        assert_eq!(sva.declare_root(frame), Err(Violation::NotFree(frame)));
        assert_eq!(sva.retype(frame, Kind::UserData), Err(Violation::FrameSealed(frame)));
        assert_eq!(sva.write_bytes(frame, 0, &[0]), Err(Violation::NoBytes(frame)));
        let frames = FrameRange::new(frame, 1).unwrap();
        assert_eq!(KernelPages::new(sva, frames).err(), Some(Violation::NotFree(frame)));
        assert_eq!(sva.grant_memory(frames).err(), Some(Violation::NotFree(frame)));
        refused += 6;
    }
    sva.remove_table(table).unwrap();
    refused
}

/// D2, with the library's gates loaded.
fn vectors(boot: &'static Boot<Mode>) -> u32 {
    let interrupts = boot.sva().interrupts();
    let mut refused = 0;
    let mut refuse = |result: Result<(), Violation>, expected| {
        assert_eq!(result, Err(expected));
        refused += 1;
    };
    for vector in (0..48).chain([256, 1000, u32::MAX]) {
        let expected =
            if vector < 48 { Violation::NotSoftware(vector) } else { Violation::NoSuchVector(vector) };
        refuse(interrupts.register_software(vector, &|_| ()), expected);
    }
    for exception in [Exception::DoubleFault, Exception::MachineCheck] {
        let vector = exception.vector().number().into();
        refuse(interrupts.register_exception(exception, &|_| ()), Violation::VectorReserved(vector));
    }
    interrupts.register_line(Line::TIMER, &|_| ()).unwrap();
    refuse(interrupts.register_line(Line::TIMER, &|_| ()), Violation::VectorTaken(32));
    interrupts.unregister(32).unwrap();
    refuse(interrupts.unregister(32), Violation::NotRegistered(32));
    refuse(interrupts.unmask(Line::TIMER), Violation::NotRegistered(32));
    refused
}

/// B1: init again, in this mode and with other layouts.
fn twice(_: &'static Boot<Mode>) -> u32 {
    let root: u32;
    // SAFETY: reads CR3.
    unsafe { asm!("mov {}, cr3", out(reg) root) }
    let layout = Layout {
        image: &[],
        user: PageRange::new(Page::ZERO, 0xc_0000).unwrap(),
        direct_map: DirectMap { first: Page::new(0xc_0000).unwrap(), frames: FrameRange::EMPTY },
        stacks: PageRange::EMPTY,
        devices: PageRange::EMPTY,
        in_use: &[],
    };
    // SAFETY: it is refused before it looks at the layout any further.
    let again = unsafe { Sva::<I386<Mode>>::init(&layout, &[]) };
    println!("init again: {}", again.as_ref().err().unwrap());
    assert!(again.is_err());
    // SAFETY: refused, since the tables are loaded.
    let tables = unsafe { I386::<Mode>::adopt_interrupts() }.map(drop);
    assert_eq!(tables, Err(Violation::AlreadyInitialised(PhysAddr::new(root & !0xfff))));
    2
}

/// X5: a panic in a handler, in the midst of a call of the library's, ends with its message.
pub(super) fn panic(boot: &'static Boot<Mode>) {
    let sva = boot.sva();
    sva.interrupts().register_line(Line::TIMER, &|_| panic!("on purpose, in a handler")).unwrap();
    sva.interrupts().unmask(Line::TIMER).unwrap();
    sva.timer().start_periodic(1000).unwrap();
    sva.interrupts().enable().unwrap();
    loop {
        let ports = sva.io().claim(0x2f8, 8).unwrap();
        ports.read::<u8>(5).unwrap();
    }
}
