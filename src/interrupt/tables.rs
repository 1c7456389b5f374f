//! The descriptor tables of this CPU.
//!
//! They lie in the image. The CPU writes to the GDT (busy bits) and the TSSs (the registers of a task
//! that it leaves), so these stay writable, as memory that no client can reach; with a read-only GDT the
//! task gate of the double fault ends in a triple fault. Nothing writes to the IDT once it is loaded: it has
//! a page of its own, which init maps read-only.

use super::descriptor::{Descriptor, FIRST_TLS, GDT_ENTRIES, Gate, TLS_SLOTS, TaskState, gdt};
use super::report::DoubleFault;
use super::stubs;
use super::vector::Vector;
use crate::address::{FRAME_BYTES, Page, PageRange, PhysAddr, VirtAddr, widen};
use crate::machine::i386::tables::{self as leaf, address};
use crate::machine::i386::{self, console::Console, registers};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};
use static_assertions::const_assert;

/// Memory of the library that the CPU reads, and partly writes.
#[repr(transparent)]
pub(crate) struct Shared<T>(UnsafeCell<T>);

// SAFETY: only `load` writes it, whose caller is alone; after that only the CPU does, and what reads it
// then is the last thing that runs.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    fn address(&self) -> VirtAddr {
        address(self.0.get())
    }

    /// # Safety
    ///
    /// No reference to the value exists, and nothing else reads or writes it now.
    unsafe fn write(&self, value: T) {
        // SAFETY: the caller's.
        unsafe { self.0.get().write_volatile(value) }
    }
}

const VECTORS: usize = widen(Vector::COUNT);

/// The IDT, alone on its page.
#[repr(C, align(4096))]
struct IdtPage {
    gates: [Gate; VECTORS],
}
const_assert!(size_of::<IdtPage>() == widen(FRAME_BYTES));

/// Does not cross a page, since its size is not more than its alignment: during a task switch the CPU
/// takes a task state as contiguous in physical memory (Intel SDM vol. 3, 7.2.1).
#[repr(C, align(128))]
pub(crate) struct OnOnePage<T>(T);
const_assert!(size_of::<OnOnePage<TaskState>>() == 128);
const_assert!(size_of::<OnOnePage<[Descriptor; GDT_ENTRIES]>>() == 128);

#[repr(C, align(16))]
struct Stack([u8; widen(STACK_BYTES)]);
const STACK_BYTES: u32 = 8192;

static IDT: Shared<IdtPage> = Shared::new(IdtPage { gates: [Gate::ABSENT; VECTORS] });
static GDT: Shared<OnOnePage<[Descriptor; GDT_ENTRIES]>> =
    Shared::new(OnOnePage([Descriptor::NULL; GDT_ENTRIES]));
pub(crate) static TASK: Shared<OnOnePage<TaskState>> = Shared::new(OnOnePage(TaskState::of_cpu()));
static DOUBLE_FAULT: Shared<OnOnePage<TaskState>> = Shared::new(OnOnePage(TaskState::of_cpu()));
static DOUBLE_FAULT_STACK: Shared<Stack> = Shared::new(Stack([0; widen(STACK_BYTES)]));

/// The window for stacks: its first page and how many there are. For the double fault's last words.
static STACKS: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

/// The last byte of a table, as GDTR and IDTR want it.
#[expect(clippy::as_conversions, reason = "asserted to fit")]
const fn limit_of<T>() -> u16 {
    const { assert!(0 < size_of::<T>() && size_of::<T>() <= 1 << 16) }
    size_of::<T>().wrapping_sub(1) as u16
}

/// The page of the IDT, to be mapped read-only.
pub(crate) fn idt_page() -> Page {
    IDT.address().containing()
}

/// Writes the tables and loads them: GDTR, IDTR, TR, LDTR and every segment register. `root` is CR3 of the
/// double fault's task, `stacks` the window for stacks.
///
/// # Safety
///
/// 1. The library's image is mapped, writable where it holds variables, the page of the IDT too, and stays
///    mapped where it is, in the tables in CR3 and in those at `root`.
/// 2. The segment registers are flat, base 0, limit 4 GiB. Nobody uses FS, GS or a local table.
/// 3. Interrupts are off, and NMI does not come. No other CPU runs this, or uses the tables.
pub(crate) unsafe fn load(root: PhysAddr, stacks: PageRange) {
    for (place, value) in STACKS.iter().zip([stacks.first().number(), stacks.count()]) {
        place.store(value, Ordering::Relaxed);
    }
    let top = DOUBLE_FAULT_STACK.address().get().wrapping_add(STACK_BYTES);
    let entry: unsafe extern "C" fn() = stubs::double_fault_entry;
    #[expect(clippy::as_conversions, reason = "a function's address")]
    let entry = address(entry as *const ());
    for vector in Vector::all() {
        let gate = Gate::of(vector, stubs::stub(vector).get());
        let place = IDT.0.get().cast::<Gate>().wrapping_add(usize::from(vector.number()));
        // SAFETY: one of the 256 gates that the page begins with; 1. and 3. of the caller.
        unsafe { place.write_volatile(gate) }
    }
    // SAFETY: 1. and 3. of the caller.
    unsafe { TASK.write(OnOnePage(TaskState::of_cpu())) }
    // SAFETY: as before.
    unsafe { DOUBLE_FAULT.write(OnOnePage(TaskState::beginning(entry.get(), top, root.get()))) }
    // SAFETY: as before.
    unsafe { GDT.write(OnOnePage(gdt(TASK.address().get(), DOUBLE_FAULT.address().get()))) }
    // SAFETY: a static, just written, with the selectors' descriptors; 2. of the caller.
    unsafe { leaf::load_gdt(GDT.address(), limit_of::<[Descriptor; GDT_ENTRIES]>()) }
    // SAFETY: a static, just written; the GDT has the code segment and the task that its gates name.
    unsafe { leaf::load_idt(IDT.address(), limit_of::<[Gate; VECTORS]>()) }
    // SAFETY: the GDT was just written, so the descriptor is not busy; the task state is a static.
    unsafe { leaf::load_task() }
}

/// Writes the descriptor of a TLS slot of this CPU.
///
/// # Safety
///
/// It is a data segment of ring 3, or null. Interrupts are off.
pub(crate) unsafe fn set_tls(slot: u32, segment: Descriptor) {
    if slot < TLS_SLOTS {
        let place = GDT.0.get().cast::<Descriptor>().wrapping_add(widen(FIRST_TLS.wrapping_add(slot)));
        // SAFETY: an entry of the table, which the CPU reads only when it loads a selector, and writes never: its
        // accessed bit is set. Only this CPU uses the table, and its kernel no such selector.
        unsafe { place.write_volatile(segment) }
    }
}

/// What the task of the double fault does: it says what the CPU was doing, and stops the machine.
///
/// It takes no lock, and nothing that was interrupted goes on: the overflow of a stack may have struck in the
/// midst of an intrinsic.
pub(super) extern "C" fn double_fault() -> ! {
    let fault = registers::fault_address();
    let left: *const TaskState = TASK.0.get().cast();
    // SAFETY: the CPU wrote there the registers of the task that it left, and does not go back to it.
    let left = unsafe { left.read_volatile() };
    let [first, count] = STACKS.each_ref().map(|place| place.load(Ordering::Relaxed));
    let stacks = Page::new(first).and_then(|first| PageRange::new(first, count)).unwrap_or(PageRange::EMPTY);
    let why = DoubleFault { left, fault, stacks };
    // The console answers Ok.
    _ = writeln!(Console, "sva-os: {why}");
    i386::end()
}
