//! See `userland::ticks`.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

userland::program!(userland::ticks::main);
