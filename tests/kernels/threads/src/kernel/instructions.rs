//! Instructions that a program may try, each one alone, and what comes of it.

use super::cpu;
use super::program::{CODE, DATA, STACK, program};
use alloc::vec;
use alloc::vec::Vec;
use sva_os::interrupt::Exception;

/// One instruction.
pub(super) struct Case<'a> {
    pub(super) name: &'static str,
    pub(super) code: &'a [u8],
    pub(super) expect: Expect,
}

/// What comes of an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// It is done, and nothing else.
    Harmless,
    /// It is not done, and reported with this error code.
    Fault(Exception, u32),
    /// It is not done: a page fault with this error code, at this address.
    PageFault(u32, u32),
    /// It is reported when it is done.
    Trap(Exception),
    /// It is a jump to this address, where the fetch is a page fault with this error code.
    Jump(u32, u32),
    /// CPUs differ: one or the other.
    Either(&'static Expect, &'static Expect),
    /// NT is clear, or set.
    ByNested(&'static Expect, &'static Expect),
}

use Exception::{GeneralProtection, InvalidOpcode};
use Expect::{ByNested, Either, Fault, Harmless, Jump, PageFault, Trap};

const PROTECTED: Expect = Fault(GeneralProtection, 0);
const UNDEFINED: Expect = Fault(InvalidOpcode, 0);
/// An instruction of ring 0 that some CPUs do not have.
const PRIVILEGED: Expect = Either(&PROTECTED, &UNDEFINED);
/// An instruction that some CPUs do not have.
const NEW: Expect = Either(&Harmless, &UNDEFINED);

/// The error code of a page fault (Intel SDM vol. 3, 4.7).
pub(super) const PRESENT: u32 = 1 << 0;
pub(super) const WRITE: u32 = 1 << 1;
pub(super) const USER: u32 = 1 << 2;

/// Offsets in the page of data.
pub(super) const ZERO: u32 = 0;
pub(super) const BOUNDS: u32 = 8;
pub(super) const KERNEL_TEXT: u32 = 16;
pub(super) const DATA_CODE: u32 = 20;
pub(super) const NOWHERE: u32 = 24;
pub(super) const KERNEL_SELECTOR: u32 = 28;
/// Code in the page of data.
pub(super) const CALL: u32 = 64;

unsafe extern "C" {
    safe static sva_os_text: u8;
    safe static sva_os_data: u8;
}

/// Where the kernel's text and data begin.
pub(super) fn text() -> u32 {
    (&raw const sva_os_text).addr() as u32
}

fn data() -> u32 {
    (&raw const sva_os_data).addr() as u32
}

/// Where UMIP is on, what tells where tables are is refused.
fn told() -> Expect {
    if cpu::has_umip() { PROTECTED } else { Harmless }
}

/// A far return to the kernel's code.
fn far_return() -> Expect {
    if cpu::has_smap() { NO_FAR_RETURN } else { Fault(GeneralProtection, 0x08) }
}

/// TCG reads the stack of a far return as ring 0 would, and with SMAP on that is refused.
const NO_FAR_RETURN: Expect =
    Either(&Fault(GeneralProtection, 0x08), &PageFault(STACK.get() - FAR_FRAME, PRESENT));
/// How far below the top of the stack a far return finds its address.
pub(super) const FAR_FRAME: u32 = 12;

/// Data that is executed: a fault with NX, else done.
fn executed() -> Expect {
    use super::Mode;
    use sva_os::mmu::PagingMode;
    let at = DATA.get() + CALL;
    if Mode::NO_EXECUTE { Jump(at, PRESENT | USER | cpu::fetch()) } else { Harmless }
}

macro_rules! cases {
    ($($name:ident [$($line:literal),*] $expect:expr;)*) => {
        $(program!($name: $($line),*);)*

        /// All of them.
        pub(super) fn cases() -> Vec<Case<'static>> {
            vec![$(Case { name: stringify!($name), code: $name(), expect: $expect }),*]
        }
    };
}

// SS is flat in every state of a program's registers, DS may be null; so memory is reached through SS.
cases! {
    none ["nop"] Harmless;
    // AC means nothing, since CR0.AM is clear.
    misaligned ["movl %ss:0x09000001, %eax"] Harmless;
    // The first use of the registers is the library's to serve.
    float ["fnop"] Harmless;
    vector ["xorps %xmm0, %xmm0"] NEW;
    undefined ["ud2"] UNDEFINED;
    no_opcode [".byte 0x0f, 0xff, 0xc0"] UNDEFINED;
    locked_nop [".byte 0xf0, 0x90"] UNDEFINED;
    locked_increment [".byte 0xf0, 0xff, 0xc0"] UNDEFINED;
    // TCG does not mind.
    locked_move [".byte 0xf0, 0x89, 0xc0"] NEW;
    too_long [".fill 15, 1, 0x66", "nop"] PROTECTED;
    divide ["divl %ss:0x09000000"] Fault(Exception::DivideError, 0);
    divide_by_constant ["aam $0"] Fault(Exception::DivideError, 0);
    bound ["bound %eax, %ss:0x09000008"] Fault(Exception::BoundRange, 0);
    // INT1. TCG does not know it.
    icebp [".byte 0xf1"] Either(&Trap(Exception::Debug), &UNDEFINED);
    overflow ["into"] Trap(Exception::Overflow);
    breakpoint ["int3"] Trap(Exception::Breakpoint);

    unmapped_read ["movl %ss:0x0a000000, %eax"] PageFault(0x0a00_0000, USER);
    unmapped_write ["movl %eax, %ss:0x0a000000"] PageFault(0x0a00_0000, USER | WRITE);
    null_read ["movl %ss:0, %eax"] PageFault(0, USER);
    code_write ["movl %eax, %ss:0x08048000"] PageFault(CODE.get(), PRESENT | USER | WRITE);
    kernel_read ["movl %ss:sva_os_text, %eax"] PageFault(text(), PRESENT | USER);
    kernel_write ["movl %eax, %ss:sva_os_data"] PageFault(data(), PRESENT | USER | WRITE);
    kernel_last ["movl %ss:0xfffffffc, %eax"] PageFault(0xffff_fffc, USER);
    kernel_execute ["jmpl *%ss:0x09000010"] Jump(text(), PRESENT | USER | cpu::fetch());
    unmapped_execute ["jmpl *%ss:0x09000018"] Jump(0x0a00_0000, USER | cpu::fetch());
    data_execute ["jmpl *%ss:0x09000014"] executed();

    port_in ["inb $0x60, %al"] PROTECTED;
    port_out ["outb %al, $0x80"] PROTECTED;
    port_in_dx ["inl %dx, %eax"] PROTECTED;
    port_out_dx ["outl %eax, %dx"] PROTECTED;
    port_in_string ["insb"] PROTECTED;
    port_out_string ["rep outsb"] Either(&PROTECTED, &Harmless);
    clear_interrupt ["cli"] PROTECTED;
    set_interrupt ["sti"] PROTECTED;
    halt ["hlt"] PROTECTED;

    load_gdt ["lgdt %ss:0x09000000"] PROTECTED;
    load_idt ["lidt %ss:0x09000000"] PROTECTED;
    load_ldt ["lldt %ax"] PROTECTED;
    load_task ["ltr %ax"] PROTECTED;
    load_machine_status ["lmsw %ax"] PROTECTED;
    clear_task_switched ["clts"] PROTECTED;
    store_gdt ["sgdt %ss:0x09000020"] told();
    store_idt ["sidt %ss:0x09000020"] told();
    store_ldt ["sldt %ss:0x09000020"] told();
    store_task ["str %ss:0x09000020"] told();
    store_machine_status ["smsw %ss:0x09000020"] told();
    access_rights ["lar %ax, %ecx"] Harmless;
    limit ["lsl %ax, %ecx"] Harmless;
    verify_read ["verr %ax"] Harmless;
    verify_write ["verw %ax"] Harmless;
    invalidate ["invd"] PROTECTED;
    write_back ["wbinvd"] PROTECTED;
    invalidate_page ["invlpg %ss:0x09000000"] PROTECTED;
    read_cr0 ["movl %cr0, %eax"] PROTECTED;
    read_cr2 ["movl %cr2, %eax"] PROTECTED;
    read_cr3 ["movl %cr3, %eax"] PROTECTED;
    read_cr4 ["movl %cr4, %eax"] PRIVILEGED;
    write_cr0 ["movl %eax, %cr0"] PROTECTED;
    write_cr3 ["movl %eax, %cr3"] PROTECTED;
    write_cr4 ["movl %eax, %cr4"] PRIVILEGED;
    read_dr0 ["movl %db0, %eax"] PROTECTED;
    read_dr7 ["movl %db7, %eax"] PROTECTED;
    write_dr0 ["movl %eax, %db0"] PROTECTED;
    write_dr7 ["movl %eax, %db7"] PROTECTED;
    read_msr ["rdmsr"] PRIVILEGED;
    write_msr ["wrmsr"] PRIVILEGED;
    read_counter ["rdpmc"] PRIVILEGED;
    read_time ["rdtsc"] NEW;
    identify ["cpuid"] NEW;
    resume ["rsm"] UNDEFINED;
    enter_by_sysenter ["sysenter"] PRIVILEGED;
    leave_by_sysexit ["sysexit"] PRIVILEGED;
    enter_by_syscall [".byte 0x0f, 0x05"] UNDEFINED;
    leave_by_sysret [".byte 0x0f, 0x07"] PRIVILEGED;
    monitor [".byte 0x0f, 0x01, 0xc8"] PRIVILEGED;
    wait_for_monitor [".byte 0x0f, 0x01, 0xc9"] PRIVILEGED;
    call_hypervisor [".byte 0x0f, 0x01, 0xc1"] UNDEFINED;
    call_hypervisor_of_amd [".byte 0x0f, 0x01, 0xd9"] UNDEFINED;
    write_extended [".byte 0x0f, 0x01, 0xd1"] PRIVILEGED;
    clear_alignment_check [".byte 0x0f, 0x01, 0xca"] UNDEFINED;
    set_alignment_check [".byte 0x0f, 0x01, 0xcb"] UNDEFINED;
    swap_gs [".byte 0x0f, 0x01, 0xf8"] UNDEFINED;

    jump_null ["ljmp $0, $0"] PROTECTED;
    jump_kernel_code ["ljmp $0x08, $0"] Fault(GeneralProtection, 0x08);
    jump_kernel_code_as_user ["ljmp $0x0b, $0"] Fault(GeneralProtection, 0x08);
    jump_kernel_data ["ljmp $0x10, $0"] Fault(GeneralProtection, 0x10);
    jump_data ["ljmp $0x23, $0"] Fault(GeneralProtection, 0x20);
    jump_task ["ljmp $0x28, $0"] Fault(GeneralProtection, 0x28);
    jump_task_as_user ["ljmp $0x2b, $0"] Fault(GeneralProtection, 0x28);
    jump_double_fault_task ["ljmp $0x30, $0"] Fault(GeneralProtection, 0x30);
    jump_empty ["ljmp $0x3b, $0"] Fault(GeneralProtection, 0x38);
    jump_past_end ["ljmp $0x53, $0"] Fault(GeneralProtection, 0x50);
    jump_local ["ljmp $0x0f, $0"] Fault(GeneralProtection, 0x0c);
    call_null ["lcall $0, $0"] PROTECTED;
    call_kernel_code ["lcall $0x08, $0"] Fault(GeneralProtection, 0x08);
    call_task ["lcall $0x28, $0"] Fault(GeneralProtection, 0x28);
    call_double_fault_task ["lcall $0x33, $0"] Fault(GeneralProtection, 0x30);
    call_local ["lcall $0x07, $0"] Fault(GeneralProtection, 0x04);
    // The stack holds an address and the selector of the kernel's code.
    return_to_kernel ["lret"] far_return();
    return_from_interrupt ["iretl"] ByNested(
        if cpu::has_smap() { &NO_FAR_RETURN } else { &Fault(GeneralProtection, 0x08) },
        // The link of the task state is null, which names no task.
        &Fault(Exception::InvalidTss, 0)
    );
    null_stack ["movl %eax, %ss"] PROTECTED;
    kernel_stack ["movw %ss:0x0900001c, %ss"] Fault(GeneralProtection, 0x10);
    kernel_data ["movw %ss:0x0900001c, %ds"] Fault(GeneralProtection, 0x10);
    kernel_data_in_gs ["movw %ss:0x0900001c, %gs"] Fault(GeneralProtection, 0x10);
}
