//! Those who wait for a socket.

use crate::fs::poll::Events;
use crate::wait::WaitQueue;

/// Who wants to read, and who wants to write.
#[derive(Debug, Default)]
pub(super) struct Queues {
    readable: WaitQueue,
    writable: WaitQueue,
}

impl Queues {
    pub(super) fn is_empty(&self) -> bool {
        self.readable.is_empty() && self.writable.is_empty()
    }

    /// Shows those in which one of these events is waited for.
    pub(super) fn visit(&self, interest: Events, visit: &mut dyn FnMut(&WaitQueue)) {
        if interest.intersects(Events::OUT) {
            visit(&self.writable);
        }
        // The end of a connection is told to both.
        if interest.intersects(Events::IN | Events::RDHUP) || !interest.intersects(Events::OUT) {
            visit(&self.readable);
        }
    }

    /// Wakes those who wait for what has happened.
    pub(super) fn wake(&self, happened: Events) {
        let ends = Events::ERR | Events::HUP;
        if happened.intersects(ends | Events::IN | Events::RDHUP) {
            self.readable.wake_all();
        }
        if happened.intersects(ends | Events::OUT) {
            self.writable.wake_all();
        }
    }
}
