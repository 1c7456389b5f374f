//! What the entries of threads capture, and whom it tells when it is dropped.

use super::operation::Size;
use super::player;

/// Tells the player when it is dropped.
#[derive(Debug)]
pub(crate) struct Token(u32);

impl Token {
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        player::dropped(self.0);
    }
}

/// What an entry captures: a token, the thread to go on with, and some bytes.
#[derive(Debug)]
pub(crate) struct Captured<const BYTES: usize> {
    #[expect(dead_code, reason = "it is there to be dropped")]
    pub(crate) token: Token,
    pub(crate) next: Option<sva_os::context::ThreadId>,
    pub(crate) bytes: [u8; BYTES],
}

/// The same at a multiple of 32.
#[derive(Debug)]
#[repr(align(32))]
pub(crate) struct Aligned(pub(crate) Captured<4>);

const MOST: usize = 1024;
const REST: usize = size_of::<Captured<0>>();
pub(crate) const FULL: usize = MOST - REST;
pub(crate) const TOO_MANY: usize = FULL + 4;
const _: () = assert!(size_of::<Captured<FULL>>() == MOST);

impl Captured<0> {
    /// How many bytes an entry of that size captures.
    pub(crate) fn bytes(size: Size) -> u32 {
        let bytes = match size {
            Size::Small => size_of::<Captured<4>>(),
            Size::Full => size_of::<Captured<FULL>>(),
            Size::TooLarge => size_of::<Captured<TOO_MANY>>(),
            Size::TooAligned => size_of::<Aligned>(),
        };
        u32::try_from(bytes).expect("small")
    }
}
