//! What a broken loader leaves behind. The command line's last two bytes say what: `!` and a digit.

core::arch::global_asm!(
    r#"
    .section .boot.text, "ax", @progbits
    .global hostile_entry
hostile_entry:
    movl 16(%ebx), %edi
1:  cmpb $0, (%edi)
    je 2f
    incl %edi
    jmp 1b
2:  cmpb $'!', -2(%edi)
    jne 9f
    movb -1(%edi), %cl
    // What the kernel reads of the line is what stands before: ` !N` goes.
    movb $0, -3(%edi)

    cmpb $'1', %cl
    jne 2f
    xorl %eax, %eax                 // no magic number
2:  cmpb $'2', %cl
    jne 2f
    movl $0, (%ebx)                 // nothing is there, not even a memory map
2:  cmpb $'3', %cl
    jne 2f
    movl $0xfffffff0, 48(%ebx)      // a memory map that wraps
2:  cmpb $'4', %cl
    jne 2f
    movl 24(%ebx), %edi             // the second module begins where the first does
    movl (%edi), %edx
    movl %edx, 16(%edi)
2:  cmpb $'6', %cl
    jne 2f
    movl $0xf0000000, %ebx          // structures where nothing is
2:  cmpb $'7', %cl
    jne 9f
    // Registers as no kernel wants them.
    movl %eax, %ebp
    movl $0x98, %edx                // CR4: PGE, PSE, DE
    movl %edx, %cr4
    movl $0xffff, %edx              // DR7: every watchpoint on, for whatever is executed at 0
    movl %edx, %dr7
    movl $0x174, %ecx               // SYSENTER_CS
    movl $0x33, %eax
    xorl %edx, %edx
    wrmsr
    movl $0x277, %ecx               // PAT: everything uncached
    wrmsr
    movl $0xc0000080, %ecx          // EFER: SCE
    movl $0x1, %eax
    wrmsr
    movl %ebp, %eax
9:  jmp sva_os_boot_entry
"#,
    options(att_syntax)
);
