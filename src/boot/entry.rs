//! The first instructions, at the address where the loader put them.
//!
//! Paging is off, so they run at physical addresses, and the rest of the image is linked 3 GiB higher.
//! They fill four page tables with the first 16 MiB, link these at 0 and at 3 GiB, turn paging on
//! and go on there. Header, code and tables lie in sections of their own in front of the image,
//! which the library's init makes free frames.

core::arch::global_asm!(
    r#"
    .section .boot.header, "a", @progbits
    .balign 4
    // Multiboot 1 (specification, 3.1): magic, flags, checksum. Modules on page boundaries; memory map.
    .long 0x1badb002, 0x3, -(0x1badb002 + 0x3)

    .section .boot.text, "ax", @progbits
    .global sva_os_boot_entry
sva_os_boot_entry:
    cli
    cld
    movl %eax, %esi

    // Four tables, one behind the other: frames 0 to 4095, present and writable.
    movl $sva_os_boot_tables, %edi
    movl $0x3, %eax
    movl $4096, %ecx
1:  stosl
    addl $0x1000, %eax
    loop 1b

    // The directory, linked at 0 and at entry 768.
    movl $sva_os_boot_directory, %edi
    xorl %eax, %eax
    movl $1024, %ecx
    rep stosl
    movl $sva_os_boot_tables + 0x3, %eax
    movl $sva_os_boot_directory, %edi
    movl $4, %ecx
2:  movl %eax, (%edi)
    movl %eax, 768 * 4(%edi)
    addl $0x1000, %eax
    addl $4, %edi
    loop 2b

    movl $sva_os_boot_directory, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0

    movl $sva_os_stack_end, %esp
    xorl %ebp, %ebp
    pushl $0
    pushl $0
    pushl %ebx
    pushl %esi
    pushl $0
    movl $sva_os_boot_main, %eax
    jmpl *%eax

    .section .boot.tables, "aw", @nobits
    .balign 4096
sva_os_boot_directory:
    .skip 0x1000
sva_os_boot_tables:
    .skip 0x4000
"#,
    options(att_syntax)
);

/// How much physical memory the entry maps at 0, in bytes.
pub(super) const MAPPED_BYTES: u32 = 16 << 20;
