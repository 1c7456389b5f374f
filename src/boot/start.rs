//! From the loader's jump to the kernel's main function, and the end.

use super::entry::MAPPED_BYTES;
use super::loader::{self, Bytes, List, Loader, MOST_MODULES, Refusal};
use super::memory::{self, KERNEL_HALF};
use super::status::Status;
use crate::address::{Frame, FrameRange, widen};
use crate::layout::{Layout, Role, Segment};
use crate::machine::I386;
use crate::machine::i386::console::Console;
use crate::machine::i386::{port, registers, tables::address};
use crate::mmu::PagingMode;
use crate::sva::Sva;
use core::fmt::Write;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

/// What a kernel begins with: the library's handle, and what the loader brought.
pub struct Boot<P: PagingMode> {
    sva: Sva<I386<P>>,
    command_line: &'static [u8],
    modules: List<Module, MOST_MODULES>,
}

/// A boot module: a file that the loader put into memory beside the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    bytes: &'static [u8],
    text: &'static [u8],
}

impl Module {
    const EMPTY: Self = Self { bytes: &[], text: &[] };

    /// The file.
    pub const fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// What the loader says of it: mostly its path, then its arguments.
    pub const fn text(&self) -> &'static [u8] {
        self.text
    }
}

impl<P: PagingMode> Boot<P> {
    /// The intrinsics.
    pub const fn sva(&self) -> &Sva<I386<P>> {
        &self.sva
    }

    /// The kernel's command line; empty if the loader gave none.
    pub const fn command_line(&self) -> &'static [u8] {
        self.command_line
    }

    /// The boot modules, in the loader's order; at most 16.
    pub fn modules(&self) -> &[Module] {
        self.modules.as_slice()
    }
}

/// Boots, calls `main` and ends with what it answers.
///
/// # Safety
///
/// Only for [`entry!`](super::entry): the entry calls it as the kernel's first act, and maps what it
/// promises.
pub unsafe fn start<P: PagingMode>(magic: u32, information: u32, main: fn(&'static Boot<P>) -> Status) -> ! {
    match boot::<P>(magic, information) {
        Ok(boot) => {
            let boot: *const Boot<P> = &raw const boot;
            // SAFETY: this function never returns, and nothing unwinds (`panic = "abort"`), so its
            // frame is never left; nothing else has a reference to `boot`.
            let boot = unsafe { &*boot };
            let status = main(boot);
            registers::interrupts_off();
            say(status);
            boot.sva().io().power_off()
        }
        Err(refusal) => {
            _ = writeln!(Console, "sva-os: boot refused: {refusal}");
            exit(refusal.status())
        }
    }
}

fn boot<P: PagingMode>(magic: u32, information: u32) -> Result<Boot<P>, Refusal> {
    let loader = loader::read(magic, information, at_boot)?;
    let kept = memory::kept(&loader)?;
    let image = image();
    let layout = Layout {
        image: &image,
        user: memory::user_window(),
        direct_map: memory::direct_map(&loader, &image)?,
        stacks: memory::stacks(),
        devices: memory::devices(),
        in_use: kept.as_slice(),
    };
    // SAFETY: 1. the linker script and the entry put the image where `image` says, the stack in it; all
    // values lie there, or in what the loader brought. The loader's memory map is the best there
    // is. 2. Multiboot (3.2): the segments are flat. 3. This is the kernel's first act, and the kernel has
    // no other way. 4. Nobody has started another CPU.
    let sva = unsafe { Sva::<I386<P>>::take_over(&layout, loader.regions.as_slice()) }?;
    Ok(lend(sva, &loader))
}

/// Memory as the entry maps it, before init.
fn at_boot(start: u32, length: u32) -> Option<&'static [u8]> {
    let end = start.checked_add(length)?;
    if start == 0 || end > MAPPED_BYTES {
        return None;
    }
    let bytes = core::ptr::with_exposed_provenance(widen(start));
    // SAFETY: the entry maps it at its own address (`start`). No Rust value that is ever written lies in
    // memory that is read before init; what is made of it is read before that ends.
    Some(unsafe { slice::from_raw_parts(bytes, widen(length)) })
}

/// Lends what the loader brought, now through the direct map.
fn lend<P: PagingMode>(sva: Sva<I386<P>>, loader: &Loader) -> Boot<P> {
    let bytes = |bytes: Bytes| sva.kept_bytes(bytes.start, bytes.length).unwrap_or(&[]);
    let command_line = bytes(loader.command_line);
    let mut modules = List::new(Module::EMPTY);
    for module in loader.modules.as_slice() {
        _ = modules.push(Module { bytes: bytes(module.bytes), text: bytes(module.text) });
    }
    Boot { sva, command_line, modules }
}

/// The segments of the image, by the linker's symbols.
fn image() -> [Segment; 4] {
    unsafe extern "C" {
        safe static sva_os_text: u8;
        safe static sva_os_text_end: u8;
        safe static sva_os_constants: u8;
        safe static sva_os_constants_end: u8;
        safe static sva_os_data: u8;
        safe static sva_os_data_end: u8;
        safe static sva_os_stack: u8;
        safe static sva_os_stack_end: u8;
    }
    let segment = |start: *const u8, end: *const u8, role| {
        let (first, end) = (address(start).containing(), address(end).containing());
        let number = first.number().wrapping_sub(KERNEL_HALF);
        let count = end.number().wrapping_sub(first.number());
        let frames = Frame::new(number).and_then(|first| FrameRange::new(first, count));
        Segment { first, frames: frames.unwrap_or(FrameRange::EMPTY), role }
    };
    [
        segment(&raw const sva_os_text, &raw const sva_os_text_end, Role::Text),
        segment(&raw const sva_os_constants, &raw const sva_os_constants_end, Role::ReadOnly),
        segment(&raw const sva_os_data, &raw const sva_os_data_end, Role::Data),
        segment(&raw const sva_os_stack, &raw const sva_os_stack_end, Role::Stack),
    ]
}

/// QEMU's `isa-debug-exit`, where the runner puts it.
const DEBUG_EXIT: u16 = 0xf4;

/// Whether the kernel has said how it ends.
static SAID: AtomicBool = AtomicBool::new(false);

/// Says `status N` in a line of its own on the first serial port, once: what comes later is part of the end.
fn say(status: Status) {
    if !SAID.swap(true, Ordering::Relaxed) {
        // The console answers Ok.
        _ = writeln!(Console, "\nstatus {}", status.number());
        // SAFETY: QEMU's exit port, unused on a PC. What the write makes the machine do is to end.
        unsafe { port::write(DEBUG_EXIT, status.number()) };
    }
}

/// Ends the kernel: says `status N` in a line of its own on the first serial port, and halts.
pub fn exit(status: Status) -> ! {
    registers::interrupts_off();
    say(status);
    registers::halt_for_ever()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    registers::interrupts_off();
    _ = writeln!(Console, "{info}");
    exit(Status::PANIC)
}
