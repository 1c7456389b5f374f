//! The network: sockets of TCP and UDP over IPv4, as Linux has them.
//!
//! The crate `smoltcp` speaks the protocols. Here it is given links to speak over, the loopback and a network card if
//! the machine has one, and its sockets become what programs know: bound, listening, connected, lingering.
//!
//! | | in |
//! |---|---|
//! | what a program's descriptor is | [`socket`] |
//! | all of it, under one lock | [`network`] |
//! | links: an interface, its device, the sockets that speak over it | `link`, `loopback` |
//! | streams, from `socket` to their last packet | `stream` |
//! | datagrams | `datagram` |
//! | addresses, options, what the command line says | [`address`], [`option`], [`setting`] |
//! | the card, and when the network is looked after | `card`, `machine` |
//!
//! Nothing here waits: what would have to answers EAGAIN, as in [`fs`](crate::fs). Packets move when a program calls,
//! after an interrupt of the card, and at the ticks of the timer while there is a socket.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod address;
mod datagram;
mod link;
mod loopback;
mod memory;
pub mod network;
pub mod option;
mod port;
mod queues;
pub mod setting;
pub mod socket;
mod stream;

#[cfg(target_os = "none")]
mod card;
#[cfg(target_os = "none")]
pub mod machine;

#[cfg(test)]
mod tests;
