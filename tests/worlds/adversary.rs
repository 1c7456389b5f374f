//! What the CPUs do behind the kernel's back.

use crate::safety::{self, fill_all};
use crate::small::{World, cpu};
use crate::view::{Word, entry_at, raw, word};
use std::sync::{Arc, Mutex, PoisonError};
use sva_os::address::Frame;
use sva_os::frame::Kind;
use sva_os::machine::emulated::Event;
use sva_os::mmu::PagingMode;

/// A present, user, writable entry that leads to the kernel's text: what a user program leaves in
/// its memory for the day on which it is taken for a table.
const HOSTILE: u32 = 0x1007;

/// Writes hostile entries to `frame`.
pub(crate) fn scribble<P: PagingMode>(world: &World<P>, frame: Frame) {
    let kernel_slot = if P::LEVELS == 2 { 768 } else { 3 };
    for index in [0, 1, kernel_slot] {
        world.machine().poke(entry_at::<P>(frame, index), HOSTILE);
    }
}

/// Stores hostile entries wherever a user program on any CPU can store without asking a table.
pub(crate) fn store_everywhere<P: PagingMode>(world: &World<P>) {
    for cpu in (0..safety::cpus(world)).map(cpu) {
        for (_, translation) in world.machine().cached(cpu) {
            if translation.user && translation.writable {
                scribble(world, translation.frame);
            }
        }
    }
}

/// Fills every frame that a program may have written with hostile entries, so that what such a
/// frame holds follows from its kind.
pub(crate) fn soil<P: PagingMode>(world: &World<P>) {
    for frame in crate::recount::stage(world) {
        let kind = word(world, frame).kind;
        if matches!(kind, Kind::Free | Kind::UserData | Kind::KernelData | Kind::Dma) {
            scribble(world, frame);
        }
    }
}

/// Whether every word of `frame` is zero.
pub(crate) fn is_zero<P: PagingMode>(world: &World<P>, frame: Frame) -> bool {
    let words = if P::LEVELS == 2 { 1024 } else { 512 };
    (0..words).all(|index| raw(world, frame, index) == 0)
}

/// How eager the CPUs are while they are watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Eagerness {
    /// Before each step of each CPU every TLB is filled as far as it goes, and stored through.
    Full,
    /// They do what they are told, no more.
    None,
}

/// Checks before each step of each CPU that what the TLBs hold, and could, is harmless.
pub(crate) struct Watch<P: PagingMode> {
    world: Arc<World<P>>,
    found: Arc<Mutex<Option<String>>>,
}

impl<P: PagingMode> Watch<P> {
    /// Watches `world`, of which `pages` pages are in play.
    pub(crate) fn new(world: World<P>, pages: u32, eagerness: Eagerness) -> Self {
        let world = Arc::new(world);
        let found = Arc::new(Mutex::new(None));
        let watch = Self { world: Arc::clone(&world), found: Arc::clone(&found) };
        let weak = Arc::downgrade(&world);
        let hook = move |event: Event| {
            let Some(world) = weak.upgrade() else { return };
            let harm = match eagerness {
                Eagerness::Full => strike(&world, pages),
                Eagerness::None => safety::check(&world, pages),
            };
            if let Err(text) = harm {
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.get_or_insert_with(|| format!("before {event}: {text}"));
            }
        };
        world.machine().set_hook(Some(Arc::new(hook)));
        watch
    }

    /// The world.
    pub(crate) fn world(&self) -> &World<P> {
        &self.world
    }

    /// Looks no more. `Err` is the first harm.
    pub(crate) fn stop(&self) -> Result<(), String> {
        self.world.machine().set_hook(None);
        self.found()
    }

    fn found(&self) -> Result<(), String> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone().map_or(Ok(()), Err)
    }

    /// Ends the watch. `Err` is the first harm.
    pub(crate) fn end(self) -> Result<World<P>, String> {
        self.stop()?;
        Ok(Arc::into_inner(self.world).expect("the hook is gone"))
    }
}

/// The worst that all CPUs together can do at this moment. `Err` if it does harm.
pub(crate) fn strike<P: PagingMode>(world: &World<P>, pages: u32) -> Result<(), String> {
    fill_all(world, pages);
    safety::check(world, pages)?;
    store_everywhere(world);
    Ok(())
}

/// The word of every frame of the stage.
pub(crate) fn words<P: PagingMode>(world: &World<P>) -> Vec<Word> {
    crate::recount::stage(world).map(|frame| word(world, frame)).collect()
}
