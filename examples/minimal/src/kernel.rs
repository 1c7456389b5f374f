use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::Frame;
use sva_os::boot::{Boot, Status, entry};
use sva_os::frame::Kind;
use sva_os::interrupt::Line;
use sva_os::io::Uart;
use sva_os::machine::I386;
#[cfg(feature = "pae")]
use sva_os::mmu::Pae as Mode;
use sva_os::mmu::Rights;
#[cfg(not(feature = "pae"))]
use sva_os::mmu::TwoLevel as Mode;
use sva_os::{Sva, Violation};

type Machine = I386<Mode>;

// The library's boot calls `main` when paging is on, every frame typed and every interrupt line masked.
entry!(main);

fn main(boot: &'static Boot<Mode>) -> Status {
    match run(boot) {
        Ok(()) => Status::OK,
        Err(_) => Status::FAILED,
    }
}

fn run(boot: &'static Boot<Mode>) -> Result<(), Violation> {
    let sva = boot.sva();

    // The first serial port. To claim ports is exclusive; dropping `console` gives them back.
    let mut console = Console(sva.io().uart(0x3f8)?);
    let mut print = |text: fmt::Arguments<'_>| _ = console.write_fmt(text);
    print(format_args!("hello from {} frames of RAM\n", sva.frame_count()));

    // A page table and a page of user data, mapped in it. Each is a free frame that becomes something else.
    let [table, data] = free_frames(sva);
    sva.declare_table(table, 1)?;
    sva.retype(data, Kind::UserData)?;
    sva.map(table, 0, data, Rights::ReadWrite)?;
    print(format_args!("frame {data} is mapped in table {table}\n"));

    // What would give user programs a page table to write is refused, and nothing has changed.
    match sva.map(table, 1, table, Rights::ReadWrite) {
        Ok(()) => print(format_args!("a page table is mapped for user programs!\n")),
        Err(violation) => print(format_args!("refused: {violation}\n")),
    }

    // Ticks of the timer, a hundred a second.
    static TICKS: AtomicU32 = AtomicU32::new(0);
    sva.interrupts().register_line(Line::TIMER, &|_| _ = TICKS.fetch_add(1, Ordering::Relaxed))?;
    sva.interrupts().unmask(Line::TIMER)?;
    sva.timer().start_periodic(100)?;
    sva.interrupts().enable()?;
    while TICKS.load(Ordering::Relaxed) < 3 {
        core::hint::spin_loop();
    }
    sva.interrupts().disable();
    print(format_args!("{} ticks\n", TICKS.load(Ordering::Relaxed)));

    // The invariants, recounted from RAM.
    match sva.audit() {
        Ok(summary) => print(format_args!("{summary:?}\n")),
        Err(finding) => print(format_args!("{finding}\n")),
    }
    Ok(())
}

struct Console<'m>(Uart<'m, Machine>);

impl fmt::Write for Console<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.send_bytes_exact(text.as_bytes());
        Ok(())
    }
}

/// The two free frames with the highest numbers.
fn free_frames(sva: &Sva<Machine>) -> [Frame; 2] {
    let numbers = (1..sva.frame_count()).rev();
    let mut free = numbers.filter_map(Frame::new).filter(|frame| sva.kind(*frame) == Kind::Free);
    [free.next().unwrap_or(Frame::ZERO), free.next().unwrap_or(Frame::ZERO)]
}
