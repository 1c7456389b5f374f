//! `int 0x80`: the number in EAX, arguments in EBX, ECX, EDX, ESI, EDI, EBP; the answer in EAX.

use core::arch::asm;
use core::fmt::{self, Display, Formatter};

/// Why a system call was refused, as Linux numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// Named as Linux names them.
impl Errno {
    pub const NOENT: Self = Self(2);
    pub const INTR: Self = Self(4);
    pub const NOEXEC: Self = Self(8);
    pub const CHILD: Self = Self(10);
    pub const AGAIN: Self = Self(11);
    pub const NOMEM: Self = Self(12);
    pub const EXIST: Self = Self(17);
    pub const INVAL: Self = Self(22);
    pub const NOSYS: Self = Self(38);

    /// What it means, in words.
    fn words(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "Operation not permitted",
            2 => "No such file or directory",
            3 => "No such process",
            4 => "Interrupted system call",
            5 => "Input/output error",
            7 => "Argument list too long",
            8 => "Exec format error",
            9 => "Bad file descriptor",
            10 => "No child processes",
            11 => "Resource temporarily unavailable",
            12 => "Cannot allocate memory",
            13 => "Permission denied",
            14 => "Bad address",
            17 => "File exists",
            20 => "Not a directory",
            21 => "Is a directory",
            22 => "Invalid argument",
            24 => "Too many open files",
            28 => "No space left on device",
            29 => "Illegal seek",
            30 => "Read-only file system",
            32 => "Broken pipe",
            36 => "File name too long",
            38 => "Function not implemented",
            39 => "Directory not empty",
            40 => "Too many levels of symbolic links",
            _ => return None,
        })
    }
}

impl Display for Errno {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.words() {
            Some(words) => f.write_str(words),
            None => write!(f, "error {}", self.0),
        }
    }
}

/// What a call answers.
pub type Result<T> = core::result::Result<T, Errno>;

/// The answer in EAX: from -4095 to -1 it is an error.
pub(super) fn answer(eax: usize) -> Result<usize> {
    let signed = eax.cast_signed();
    if (-4095..0).contains(&signed) { Err(Errno(-(signed as i32))) } else { Ok(eax) }
}

/// A system call with up to three arguments.
///
/// # Safety
///
/// What the call does to this process's memory must be what Rust expects: it writes only where the caller may, and
/// takes nothing away that is in use.
#[inline(always)]
pub(super) unsafe fn call3(number: usize, arguments: [usize; 3]) -> Result<usize> {
    let [b, c, d] = arguments;
    let eax;
    // SAFETY: the kernel changes no register but EAX; the rest is the caller's promise.
    unsafe {
        asm!("int 0x80", inlateout("eax") number => eax, in("ebx") b, in("ecx") c, in("edx") d, options(nostack));
    }
    answer(eax)
}

/// A system call with four arguments.
///
/// # Safety
///
/// As for [`call3`].
#[inline(always)]
pub(super) unsafe fn call4(number: usize, arguments: [usize; 4]) -> Result<usize> {
    let [b, c, d, fourth] = arguments;
    let eax;
    // SAFETY: as in `call3`. ESI is the compiler's own, and has its value back when it goes on.
    unsafe {
        asm!(
            "xchg edi, esi", "int 0x80", "xchg edi, esi",
            inlateout("eax") number => eax,
            in("ebx") b, in("ecx") c, in("edx") d, in("edi") fourth,
            options(nostack)
        );
    }
    answer(eax)
}

/// A system call with up to six arguments.
///
/// # Safety
///
/// As for [`call3`].
pub(super) unsafe fn call6(number: usize, arguments: &[usize; 6]) -> Result<usize> {
    let eax;
    // SAFETY: as in `call3`; the compiler's registers are back when it goes on.
    unsafe {
        asm!(
            "push esi", "push ebp",
            "mov ebx, [edx]", "mov ecx, [edx + 4]", "mov esi, [edx + 12]",
            "mov edi, [edx + 16]", "mov ebp, [edx + 20]", "mov edx, [edx + 8]",
            "int 0x80",
            "pop ebp", "pop esi",
            inlateout("eax") number => eax,
            inlateout("edx") arguments.as_ptr() => _,
            out("ebx") _, out("ecx") _, out("edi") _,
        );
    }
    answer(eax)
}
