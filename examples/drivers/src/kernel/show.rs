//! All that the machine has, for somebody who watches.

use super::keys::Keys;
use super::network::{Buffers, Network};
use super::{Failure, Step, World, clock, disk, say, speaker};
use smoltcp::iface::SocketStorage;

/// Control-D: no more.
const END: char = '\u{4}';
const ESCAPE: char = '\u{1b}';

pub(super) fn run(world: &World) -> Result<(), Failure> {
    for (name, step) in [("clock", clock::run as Step), ("speaker", speaker::run), ("disk", disk::run)] {
        if let Err(failure) = step(world) {
            say!(world, "{name}: {failure}");
        }
    }
    let mut keys = Keys::open(world).inspect_err(|failure| say!(world, "keyboard: {failure}")).ok();
    let (mut buffers, mut storage) = (Buffers::new(), [SocketStorage::EMPTY; 2]);
    let network = Network::open(world, &mut buffers, &mut storage);
    let mut network = network.inspect_err(|failure| say!(world, "network: {failure}")).ok();
    say!(world, "type something; Control-D ends");
    loop {
        let typed = world.console.next_byte().map(char::from);
        let letter = typed.or_else(|| keys.as_mut()?.next_letter());
        match letter {
            Some(END | ESCAPE) => {
                say!(world, "");
                return Ok(());
            }
            Some('\r' | '\n') => say!(world, ""),
            Some(letter) => _ = world.console.write(world.clock, format_args!("{letter}")),
            None => world.sva.interrupts().wait()?,
        }
        if let Some(network) = &mut network {
            network.poll()?;
        }
    }
}
