//! The entry of a program, its arguments and its end.

use core::arch::global_asm;
use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;

use super::call::call3;
use super::file::{ERRORS, print_to};

const EXIT: usize = 1;
const EXIT_GROUP: usize = 252;
/// The status of a program that panicked, as of one that aborted.
const PANICKED: i32 = 134;

// The kernel leaves argc, argv and envp on the stack, at ESP.
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov eax, esp",
    "and esp, -16",
    "sub esp, 12",
    "push eax",
    "call userland_main",
    "ud2",
);

/// The arguments and the environment of this program.
#[derive(Clone, Copy)]
pub struct Arguments {
    arguments: *const *const c_char,
    count: usize,
    environment: *const *const c_char,
}

impl Arguments {
    /// Those on the stack that a program starts with.
    ///
    /// # Safety
    ///
    /// `stack` is what ESP was at the entry, and nobody has changed what it points to.
    pub unsafe fn of_stack(stack: *const usize) -> Self {
        // SAFETY: the first word is their number.
        let count = unsafe { *stack };
        // SAFETY: the pointers to them follow.
        let arguments = unsafe { stack.add(1) };
        // SAFETY: as many as there are, and a null pointer; then those of the environment.
        let environment = unsafe { arguments.add(count + 1) };
        Self { arguments: arguments.cast(), count, environment: environment.cast() }
    }

    /// How many there are, the program's own name included.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The argument with this number; that of the program's name is 0.
    pub fn get(&self, number: usize) -> Option<&'static CStr> {
        if number >= self.count {
            return None;
        }
        // SAFETY: there are `count`, by `of_stack`.
        string(unsafe { self.arguments.add(number) })
    }

    /// All from number `first` on.
    pub fn from(&self, first: usize) -> impl Iterator<Item = &'static CStr> + use<> {
        let arguments = *self;
        (first..self.count).map_while(move |number| arguments.get(number))
    }

    /// The value of the option `--NAME`, a number, where it follows as the next argument.
    pub fn option(&self, name: &str) -> Option<u32> {
        let mut words = self.from(1);
        words.find(|word| word.to_bytes() == name.as_bytes())?;
        words.next()?.to_str().ok()?.parse().ok()
    }

    /// The environment, strings `NAME=VALUE`.
    pub fn environment(&self) -> impl Iterator<Item = &'static CStr> + use<> {
        let mut next = self.environment;
        core::iter::from_fn(move || {
            let text = string(next)?;
            // SAFETY: this one is not the null pointer at the end, so there is another.
            next = unsafe { next.add(1) };
            Some(text)
        })
    }
}

/// The string at a pointer on the initial stack, none if it is null.
fn string(at: *const *const c_char) -> Option<&'static CStr> {
    // SAFETY: `at` is one of the words on the initial stack.
    let text = unsafe { *at };
    // SAFETY: the kernel made it a string with a zero at its end, which lasts as long as the program.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// Ends this process.
pub fn exit(status: i32) -> ! {
    loop {
        for number in [EXIT_GROUP, EXIT] {
            // SAFETY: nothing happens after it. A kernel that knows one thread a process may lack the first.
            _ = unsafe { call3(number, [status.cast_unsigned() as usize, 0, 0]) };
        }
    }
}

#[panic_handler]
fn panic(information: &PanicInfo<'_>) -> ! {
    print_to(ERRORS, format_args!("{information}\n"));
    exit(PANICKED)
}
