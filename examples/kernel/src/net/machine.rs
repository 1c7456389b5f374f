//! The machine's network, and when it is looked after.

use super::card;
use super::network::{Network, World};
use super::setting::Setting;
use super::socket::{Protocol, Socket};
use crate::console;
use crate::errno::{Errno, Result};
use crate::fs::random;
use crate::memory::{PAGE, pool};
use crate::time;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use spin::Once;

/// The part of the memory that sockets may take, as a divisor.
const SHARE: u32 = 16;
/// Room in the heap for what a socket needs besides its buffers.
const ROOM: usize = 32 << 10;

static NETWORK: Once<Arc<Network>> = Once::new();
/// There may be something to do: a card has asked, or there are sockets.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Opens the network card, if there is one. `word` is what the command line says of it.
pub fn init(word: Option<&[u8]>) {
    let Some(setting) = word.map_or(Some(Setting::default()), Setting::parse) else {
        console::print(format_args!("kernel: ip={}: no address\n", word.unwrap_or_default().escape_ascii()));
        return;
    };
    match card::open(&setting) {
        Ok(None) => {}
        Ok(Some((card, facts))) => match network() {
            Ok(network) => network.add(Box::new(card), facts),
            Err(error) => console::print(format_args!("kernel: network: {error}\n")),
        },
        Err(why) => console::print(format_args!("kernel: network: {why}\n")),
    }
}

fn network() -> Result<&'static Arc<Network>> {
    NETWORK.try_call_once(|| {
        if !pool::has_room(256 << 10) {
            return Err(Errno::ENOBUFS);
        }
        let mut seed = [0; 8];
        random::put(seed.len(), &mut &mut seed[..])?;
        let budget = pool::total().checked_div(SHARE).unwrap_or_default().saturating_mul(PAGE);
        Network::new(World {
            clock: time::now,
            has_room: pool::has_room,
            budget: usize::try_from(budget).unwrap_or_default(),
            seed: u64::from_le_bytes(seed),
        })
    })
}

/// A new socket.
///
/// # Errors
///
/// ENOBUFS.
pub fn socket(protocol: Protocol) -> Result<Socket> {
    if !pool::has_room(ROOM) {
        return Err(Errno::ENOBUFS);
    }
    let socket = Socket::new(network()?, protocol);
    want();
    Ok(socket)
}

/// From a handler too: there is something to do.
pub(super) fn want() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Does what is due.
#[inline(always)]
pub fn attend() {
    if WANTED.load(Ordering::Relaxed) {
        look();
    }
}

#[cold]
#[inline(never)]
fn look() {
    // Whoever asks from here on asks anew.
    WANTED.store(false, Ordering::Relaxed);
    if let Some(network) = NETWORK.get() {
        network.poll();
        if !network.is_quiet() {
            want();
        }
    }
}
