//! Worlds with threads in them, for the tests of this module.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use super::threads::Record;
use super::{Entry, StackId, State, ThreadId};
use crate::address::{Frame, Page, VirtAddr};
use crate::frame::Kind;
use crate::init::tests::world::{World, cpu, frame, page, world, world_with_threads};
use crate::interrupt::{Handler, Preempt, TrapFrame};
use crate::machine::Machine;
use crate::mmu::{AddressSpace, FrameSource, PagingMode, Rights};
use crate::violation::Violation;
use core::fmt::Debug;
use std::boxed::Box;
use std::vec::Vec;

/// Makes of each generic function a module of tests, one for each paging mode.
macro_rules! in_both_modes {
    () => {};
    ($(#[$doc:meta])* fn $name:ident<$mode:ident>() $body:block $($rest:tt)*) => {
        $(#[$doc])*
        fn $name<$mode: crate::mmu::PagingMode>() $body
        mod $name {
            #[test]
            fn two_level() { super::$name::<crate::mmu::TwoLevel>() }
            #[test]
            fn pae() { super::$name::<crate::mmu::Pae>() }
        }
        in_both_modes! { $($rest)* }
    };
}
pub(super) use in_both_modes;

pub(super) const CPUS: u32 = 2;
/// The first frame that is free in a new world.
pub(super) const FREE: u32 = 13;
/// The slot that the first stack gets.
pub(super) const FIRST: u32 = CPUS;

/// A world of two CPUs, for ever, so that handlers and entries may name it.
pub(super) fn threads<P: PagingMode>() -> &'static World<P> {
    Box::leak(Box::new(world_with_threads(CPUS)))
}

/// The same without a window for stacks: each CPU has the flow that it booted with.
pub(super) fn flows<P: PagingMode>() -> &'static World<P> {
    Box::leak(Box::new(world(CPUS)))
}

/// `call` answers `violation`, and nothing is changed.
#[track_caller]
pub(super) fn refused<P: PagingMode, T: Debug>(
    sva: &World<P>,
    call: impl FnOnce() -> Result<T, Violation>,
    violation: Violation,
) {
    let before = sva.machine().digest();
    assert_eq!(call().err(), Some(violation));
    assert!(sva.machine().digest() == before, "a call that answered {violation:?} changed something");
}

/// The library stops the machine over `call`.
#[track_caller]
pub(super) fn stops(call: impl FnOnce(), why: &str) {
    let panic = std::panic::catch_unwind(core::panic::AssertUnwindSafe(call)).unwrap_err();
    let said = panic.downcast_ref::<std::string::String>().unwrap();
    assert_eq!(said.strip_prefix("the machine was stopped: "), Some(why));
}

/// The audit finds nothing on any CPU; answers how many frames are free.
#[track_caller]
pub(super) fn sound<P: PagingMode>(sva: &World<P>) -> u32 {
    let free = (0..sva.machine().cpus()).map(|number| on(sva, number, || sva.audit()).unwrap().free);
    free.max().unwrap()
}

/// Does `body` as CPU `number`.
pub(super) fn on<P: PagingMode, R>(sva: &World<P>, number: u32, body: impl FnOnce() -> R) -> R {
    sva.machine().as_cpu(cpu(number), body)
}

/// An entry that names nobody.
pub(super) fn nothing() -> impl Entry {
    || None
}

/// A stack of `frame` alone.
pub(super) fn stack<P: PagingMode>(sva: &World<P>, frame: u32) -> StackId {
    sva.declare_stack(&[self::frame(frame)]).unwrap()
}

/// A thread on a stack of `frame`.
pub(super) fn thread<P: PagingMode>(sva: &World<P>, frame: u32) -> ThreadId {
    sva.new_thread(stack(sva, frame), None, nothing()).unwrap()
}

/// The record of slot `number`.
pub(super) fn record<P: PagingMode>(sva: &World<P>, number: u32) -> Record {
    sva.half.threads.record(number).unwrap()
}

/// The state of slot `number`.
pub(super) fn state<P: PagingMode>(sva: &World<P>, number: u32) -> State {
    record(sva, number).word(sva.machine()).state()
}

/// Frames from this one on.
struct Spare(u32);

impl FrameSource for Spare {
    fn take(&mut self) -> Option<Frame> {
        self.0 += 1;
        Frame::new(self.0 - 1)
    }

    fn give_back(&mut self, frame: Frame) {
        panic!("{frame} was needed")
    }
}

/// Makes `root` a root that maps `pages`, each to a frame of its own. All but the root are taken from `first` on.
pub(super) fn space<P: PagingMode>(
    sva: &World<P>,
    root: u32,
    first: u32,
    pages: &[(u32, Rights)],
) -> Vec<Frame> {
    let space = AddressSpace::new(sva, frame(root)).unwrap();
    let mut spare = Spare(first);
    let mut frames = Vec::new();
    for (number, rights) in pages {
        let data = spare.take().unwrap();
        sva.retype(data, Kind::UserData).unwrap();
        space.map(page(*number), data, *rights, &mut spare).unwrap();
        frames.push(data);
    }
    frames
}

/// The first address of page `number`.
pub(super) fn at(number: u32) -> VirtAddr {
    page(number).start()
}

pub(super) fn handler(run: impl Fn(&TrapFrame<'_>) + Sync + 'static) -> Handler {
    Box::leak(Box::new(run))
}

pub(super) fn hook(run: impl Fn() + Sync + 'static) -> Preempt {
    Box::leak(Box::new(run))
}

/// What `page` of the kernel half translates to.
pub(super) fn kernel_leaf<P: PagingMode>(sva: &World<P>, page: Page) -> Option<Frame> {
    sva.translate(sva.sealed_root(), page).unwrap().map(|leaf| leaf.frame())
}
