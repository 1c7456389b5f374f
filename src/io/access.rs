//! What may be done to a register, as its data sheet says.

use crate::machine::sealed::Sealed;

/// What may be done to a register: one of [`ReadWrite`], [`ReadOnly`], [`WriteOnly`].
pub trait Access: Sealed {}

/// A register that may be read.
pub trait Readable: Access {}

/// A register that may be written.
pub trait Writable: Access {}

macro_rules! access {
    ($($(#[$doc:meta])* $name:ident: $($what:ident),*;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}
        impl Sealed for $name {}
        impl Access for $name {}
        $(impl $what for $name {})*
    )*};
}

access! {
    /// Reads and writes.
    ReadWrite: Readable, Writable;
    /// Reads alone.
    ReadOnly: Readable;
    /// Writes alone.
    WriteOnly: Writable;
}
