//! What is used of QEMU's plugin API, version 1: that of QEMU 5.2 to 8.2 (`qemu-plugin.h`).

use std::ffi::{c_char, c_int, c_uint, c_void};

/// Of this API. QEMU refuses a plugin of one that it does not have.
#[unsafe(no_mangle)]
pub(crate) static qemu_plugin_version: c_int = 1;

/// A plugin, as QEMU calls it.
pub(crate) type Id = u64;
/// Called when a block has been decoded.
pub(crate) type Translated = extern "C" fn(Id, *const Block);
/// Called before an instruction is executed, with the number of the CPU and what it was registered with.
pub(crate) type Executed = extern "C" fn(c_uint, *mut c_void);
/// The callback reads no registers.
pub(crate) const NO_REGISTERS: c_int = 0;
/// Adds to 64 bits.
pub(crate) const ADD: c_int = 0;

/// Code of the guest that is translated. QEMU's.
#[repr(C)]
pub(crate) struct Block([u8; 0]);

/// An instruction in it. QEMU's.
#[repr(C)]
pub(crate) struct Instruction([u8; 0]);

unsafe extern "C" {
    pub(crate) fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: Translated);
    pub(crate) fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    /// The pointer holds until the callback returns.
    pub(crate) fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    pub(crate) fn qemu_plugin_insn_data(instruction: *const Instruction) -> *const c_void;
    pub(crate) fn qemu_plugin_insn_size(instruction: *const Instruction) -> usize;
    pub(crate) fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    pub(crate) fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: Executed,
        registers: c_int,
        data: *mut c_void,
    );
    /// From then on `data`, a `u64`, is changed each time the instruction is executed.
    pub(crate) fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut Instruction,
        operation: c_int,
        data: *mut c_void,
        operand: u64,
    );
    pub(crate) fn qemu_plugin_outs(text: *const c_char);
}
