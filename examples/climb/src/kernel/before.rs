//! What the kernel had before: entry, GDT, IDT, page tables, a heap.

use super::console::{Console, println};
use core::alloc::{GlobalAlloc, Layout};
use core::arch::{asm, global_asm};
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};
use sva_os::address::{Frame, FrameRange, Page};
use sva_os::layout::{Role, Segment};
use sva_os::memory_map::{Region, Usage};

global_asm!(
    r#"
    .section .header, "a", @progbits
    .balign 4
    .long 0x1badb002, 0x2, -(0x1badb002 + 0x2)
    .text
    .global entry
entry:
    cli
    cld
    movl $stack_end, %esp
    xorl %ebp, %ebp
    // The kernel's own GDT: flat, at other selectors than the loader's.
    lgdt 1f
    ljmp $0x10, $2f
2:  movw $0x18, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    pushl $0
    pushl $0
    pushl %ebx
    call begin
    .balign 8
gdt: .quad 0, 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
1:  .word 31
    .long gdt
    // An interrupt by the kernel's own IDT: it should not come any more.
    .global own_gate
own_gate:
    movb $'!', %al
    movw $0x3f8, %dx
    outb %al, %dx
    hlt
"#,
    options(att_syntax)
);

/// How the machine is when the climb begins.
pub(super) struct Start {
    pub(super) regions: [Region; 2],
}

unsafe extern "C" {
    safe static text: u8;
    safe static text_end: u8;
    safe static constants: u8;
    safe static constants_end: u8;
    safe static variables: u8;
    safe static variables_end: u8;
    safe static stack: u8;
    safe static stack_end: u8;
    fn own_gate();
}

#[unsafe(no_mangle)]
extern "C" fn begin(information: *const u32) -> ! {
    // SAFETY: multiboot: the words of the loader's structure; this loader is trusted.
    let (upper, line) = unsafe { (information.add(2).read(), information.add(4).read()) };
    // SAFETY: as before: text that ends with a zero.
    let line = unsafe { core::ffi::CStr::from_ptr(line as *const _) }.to_bytes();
    load_idt();
    match line.rsplit(|byte| *byte == b' ').next() {
        Some(b"two-level") => paging(false),
        Some(b"pae") => paging(true),
        _ => println!("begins with paging off"),
    }
    let region = |start, length, usage| Region { start, length, usage };
    let regions =
        [region(0, 0x9_f000, Usage::Available), region(1 << 20, u64::from(upper) << 10, Usage::Available)];
    super::climb(&Start { regions });
    end(0)
}

/// The kernel's own IDT: each gate leads to `own_gate`.
fn load_idt() {
    static mut IDT: [[u32; 2]; 256] = [[0; 2]; 256];
    let gate = own_gate as unsafe extern "C" fn() as usize as u32;
    // SAFETY: one CPU, interrupts off.
    unsafe {
        IDT = [[0x10 << 16 | gate & 0xffff, gate & 0xffff_0000 | 0x8e00]; 256];
        let pointer = [(256 * 8 - 1) << 16, (&raw const IDT) as u32];
        asm!("lidt [{}]", in(reg) pointer.as_ptr().cast::<u8>().add(2));
    }
}

#[repr(C, align(4096))]
struct Tables([u64; 512 * 5]);

/// The kernel's own page tables: the first GiB, mapped to itself, in pages of 4 MiB or 2 MiB; global, and
/// writable all.
fn paging(pae: bool) {
    static mut TABLES: Tables = Tables([0; 512 * 5]);
    let tables = &raw mut TABLES;
    // SAFETY: one CPU; the tables are not in use yet, and map what runs.
    unsafe {
        if pae {
            let pointers = tables.cast::<u64>();
            pointers.write(pointers.add(512) as u64 | 1);
            for number in 0..512 {
                pointers.add(512 + number as usize).write(number << 21 | 0x183);
            }
        } else {
            let directory = tables.cast::<u32>();
            for number in 0..256 {
                directory.add(number as usize).write(number << 22 | 0x183);
            }
        }
        let control = if pae { 0xa0 } else { 0x90 };
        asm!("mov cr3, {root}", "mov cr4, {control}", "mov {root}, cr0", "or {root}, 0x80000000", "mov cr0, {root}",
            root = inout(reg) tables as u32 => _, control = in(reg) control);
    }
    println!("begins with paging on, PAE {}", if pae { "on" } else { "off" });
}

/// The segments of the image, by the linker's symbols.
pub(super) fn image() -> &'static [Segment] {
    static mut IMAGE: Option<[Segment; 4]> = None;
    let segment = |start: *const u8, end: *const u8, role| {
        let (first, end) = (start as u32 >> 12, end as u32 >> 12);
        Segment {
            first: Page::new(first).unwrap(),
            frames: FrameRange::new(Frame::new(first).unwrap(), end - first).unwrap(),
            role,
        }
    };
    // SAFETY: one CPU, no handler calls it.
    let image = unsafe { &mut *&raw mut IMAGE };
    image.get_or_insert_with(|| {
        [
            segment(&raw const text, &raw const text_end, Role::Text),
            segment(&raw const constants, &raw const constants_end, Role::ReadOnly),
            segment(&raw const variables, &raw const variables_end, Role::Data),
            segment(&raw const stack, &raw const stack_end, Role::Stack),
        ]
    })
}

/// The heap: a MiB from 8 MiB on, given out and never taken back.
pub(super) const HEAP: FrameRange = FrameRange::new(Frame::new(0x800).unwrap(), 0x100).unwrap();

struct Heap {
    used: AtomicU32,
}

#[global_allocator]
static ALLOCATOR: Heap = Heap { used: AtomicU32::new(0) };

// SAFETY: every answer is memory of its own, for ever.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = (layout.size() + layout.align()) as u32;
        let offset = self.used.fetch_add(size, Ordering::Relaxed);
        if offset + size > HEAP.count() << 12 {
            return core::ptr::null_mut();
        }
        let start = (HEAP.first().start().get() + offset) as usize;
        start.next_multiple_of(layout.align()) as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// Says how the kernel ends, and ends.
fn end(status: u8) -> ! {
    println!("\nstatus {status}");
    // SAFETY: QEMU's exit port.
    unsafe { asm!("out 0xf4, al", in("al") status) }
    loop {
        // SAFETY: nothing is left to do.
        unsafe { asm!("cli", "hlt") }
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Console, "{info}");
    end(101)
}
