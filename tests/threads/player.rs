//! Who plays the client on this thread: handlers, the hook, the observer, programs and values that are
//! dropped have no other way to find it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use sva_os::context::UserContext;
use sva_os::interrupt::{Handler, Preempt, TrapFrame};
use sva_os::machine::emulated::Trap;
use sva_os::{Observe, Violation};

/// The client, called by the library or the machine.
pub(crate) trait Player {
    fn handle(&self, frame: &TrapFrame<'_>);
    fn preempt(&self);
    fn told(&self, violation: Violation);
    fn program(&self, context: &mut UserContext) -> Trap;
    fn dropped(&self, id: u32);
}

thread_local! {
    static PLAYER: RefCell<Option<Rc<dyn Player>>> = const { RefCell::new(None) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

pub(crate) const HANDLER: Handler = &|frame| player().handle(frame);
pub(crate) const HOOK: Preempt = &|| player().preempt();
pub(crate) const OBSERVER: Observe = &|violation| player().told(violation);

/// Makes `player` the one, or nobody.
pub(crate) fn set(player: Option<Rc<dyn Player>>) {
    let before = PLAYER.with(|place| place.replace(player));
    drop(before);
}

fn player() -> Rc<dyn Player> {
    PLAYER.with(|player| player.borrow().clone()).expect("somebody plays")
}

/// Does `body`, in which a thread ends: what its entry captures is dropped where the entry returns.
pub(crate) fn quietly<R>(body: impl FnOnce() -> R) -> R {
    QUIET.set(true);
    let result = body();
    QUIET.set(false);
    result
}

/// The program in ring 3.
pub(crate) fn program(context: &mut UserContext) -> Trap {
    player().program(context)
}

/// An entry was dropped without having been called; at the end of a world nobody is told.
pub(crate) fn dropped(id: u32) {
    if QUIET.try_with(Cell::get) != Ok(false) {
        return;
    }
    let player = PLAYER.try_with(|player| player.borrow().clone()).ok().flatten();
    if let Some(player) = player {
        player.dropped(id);
    }
}
