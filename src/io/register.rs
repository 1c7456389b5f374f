//! How wide a register is.

use crate::machine::Word;

/// What one access to a device moves: `u8`, `u16` or `u32`. No i386 instruction moves more.
pub trait Register: Word {}

impl Register for u8 {}
impl Register for u16 {}
impl Register for u32 {}
