//! What QEMU calls.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::slice;
use std::sync::atomic::AtomicU64;

use crate::api::{
    ADD, Block, Id, Instruction, NO_REGISTERS, qemu_plugin_insn_data, qemu_plugin_insn_size,
    qemu_plugin_insn_vaddr, qemu_plugin_outs, qemu_plugin_register_vcpu_insn_exec_cb,
    qemu_plugin_register_vcpu_insn_exec_inline, qemu_plugin_register_vcpu_tb_trans_cb,
    qemu_plugin_tb_get_insn, qemu_plugin_tb_n_insns,
};
use crate::counts::{CR3, CR4, INSTRUCTIONS, INVLPG, line};
use crate::kind::Kind;

/// Where both kernels begin: below are programs, and what runs before paging is on.
const KERNEL: u64 = 0xc000_0000;

/// Called once, when QEMU has loaded the plugin. Returns 0 for success.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_install(id: Id, _: *const c_void, _: c_int, _: *const *const c_char) -> c_int {
    // SAFETY: the number is the one that QEMU gave, and the plugin is never unloaded.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    0
}

extern "C" fn translated(_: Id, block: *const Block) {
    // SAFETY: the block is QEMU's, for as long as this runs.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..count {
        // SAFETY: as above, and it has so many instructions.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        add_to(&INSTRUCTIONS, instruction);
        match kind(instruction) {
            Some(Kind::LoadCr3) => add_to(&CR3, instruction),
            Some(Kind::LoadCr4) => add_to(&CR4, instruction),
            Some(Kind::Invlpg) => add_to(&INVLPG, instruction),
            Some(Kind::ReadCounter) if address(instruction) < KERNEL => show_before(instruction),
            Some(Kind::ReadCounter) | None => {}
        }
    }
}

/// What an instruction is counted as.
fn kind(instruction: *const Instruction) -> Option<Kind> {
    // SAFETY: the instruction is one of the block that is being translated.
    let data = unsafe { qemu_plugin_insn_data(instruction) };
    // SAFETY: the same.
    let size = unsafe { qemu_plugin_insn_size(instruction) };
    // SAFETY: so many bytes are there, and QEMU leaves them alone as long as the callback runs.
    let bytes = unsafe { slice::from_raw_parts(data.cast(), size) };
    Kind::of(bytes)
}

fn address(instruction: *const Instruction) -> u64 {
    // SAFETY: the instruction is one of the block that is being translated.
    unsafe { qemu_plugin_insn_vaddr(instruction) }
}

/// Has `count` incremented whenever the instruction is executed.
fn add_to(count: &'static AtomicU64, instruction: *mut Instruction) {
    // SAFETY: the instruction is one of the block that is being translated. The count is there for ever, and as there is
    // one CPU it is changed and read by one thread.
    unsafe { qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, count.as_ptr().cast(), 1) };
}

/// Has the counts written to the log whenever the instruction is executed.
fn show_before(instruction: *mut Instruction) {
    // SAFETY: the instruction is one of the block that is being translated, and the callback uses no data.
    unsafe { qemu_plugin_register_vcpu_insn_exec_cb(instruction, show, NO_REGISTERS, null_mut()) };
}

extern "C" fn show(_: c_uint, _: *mut c_void) {
    let line = CString::new(line()).unwrap_or_default();
    // SAFETY: QEMU copies the text.
    unsafe { qemu_plugin_outs(line.as_ptr()) };
}
