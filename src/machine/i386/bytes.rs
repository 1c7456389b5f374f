//! The functions by which the compiler moves bytes: `memcpy`, `memmove`, `memset`.
//!
//! Those of `compiler_builtins` are loops in Rust, several instructions for each word, and give way to these. A string
//! instruction does a word at a time, on every CPU. DF is clear on entry (System V ABI), and again on the way out.
//!
//! A kernel that boots itself may have its own, so they come with the feature `boot` alone.

use core::arch::global_asm;

global_asm!(
    ".pushsection .text.sva_os_bytes, \"ax\", @progbits",
    // memcpy(to, from, length) -> to
    ".globl memcpy",
    "memcpy:",
    "pushl %edi",
    "pushl %esi",
    "movl 12(%esp), %edi",
    "movl 16(%esp), %esi",
    "movl 20(%esp), %edx",
    "1: movl %edi, %eax",
    "movl %edx, %ecx",
    "shrl $2, %ecx",
    "rep movsl",
    "movl %edx, %ecx",
    "andl $3, %ecx",
    "rep movsb",
    "popl %esi",
    "popl %edi",
    "ret",
    // memmove(to, from, length) -> to
    ".globl memmove",
    "memmove:",
    "pushl %edi",
    "pushl %esi",
    "movl 12(%esp), %edi",
    "movl 16(%esp), %esi",
    "movl 20(%esp), %edx",
    // Forward does no harm unless the first byte of `to` is one of those at `from`.
    "movl %edi, %eax",
    "subl %esi, %eax",
    "cmpl %edx, %eax",
    "jae 1b",
    // The odd bytes at the end first, then words, each by its lowest address.
    "movl %edi, %eax",
    "leal -1(%edi,%edx), %edi",
    "leal -1(%esi,%edx), %esi",
    "std",
    "movl %edx, %ecx",
    "andl $3, %ecx",
    "rep movsb",
    "subl $3, %edi",
    "subl $3, %esi",
    "movl %edx, %ecx",
    "shrl $2, %ecx",
    "rep movsl",
    "cld",
    "popl %esi",
    "popl %edi",
    "ret",
    // memset(to, byte, length) -> to
    ".globl memset",
    "memset:",
    "pushl %edi",
    "movl 8(%esp), %edi",
    "movzbl 12(%esp), %eax",
    "imull $0x01010101, %eax, %eax",
    "movl 16(%esp), %edx",
    "movl %edx, %ecx",
    "shrl $2, %ecx",
    "rep stosl",
    "movl %edx, %ecx",
    "andl $3, %ecx",
    "rep stosb",
    "movl 8(%esp), %eax",
    "popl %edi",
    "ret",
    ".popsection",
    options(att_syntax),
);
