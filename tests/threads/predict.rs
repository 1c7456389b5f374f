//! What each call must answer, and what it changes, by the words of the documentation.
//!
//! Where a call is wrong in several ways the first reason counts: where it is made (in a handler, during a
//! borrow), then its arguments in their order, a root before the stack.

use super::operation::{Answer, Entry, Name, Note, Op, Size, legal, pattern};
use super::reference::{self, Kind, STACK_PAGES, State, World};
use super::token::Captured;
use crate::common::world::{count, frame};
use sva_os::Violation;
use sva_os::context::{ENTRY_BYTES, FpPolicy, TlsLimit, TlsSegment};

pub(crate) type Predicted = Result<Answer, Violation>;

/// Vectors that have a handler: a breakpoint, two lines, a software interrupt.
pub(crate) const HANDLED: [u32; 4] = [3, 32, 33, 0x30];

impl World {
    /// Makes the caller call.
    pub(crate) fn perform(&mut self, op: &Op) {
        self.calls += 1;
        if !self.can_be_made(op) {
            self.skipped.insert(self.calls);
            return;
        }
        let answer = self.answer(op);
        let answer = answer.unwrap_or_else(|violation| {
            self.notes.push(Note::Told(violation));
            Answer::Refused(violation)
        });
        if let Op::NewThread(_, _, entry) = op {
            self.entries += 1;
            self.on_drop.insert(self.entries, entry.on_drop.clone());
            if answer.refusal().is_some() {
                self.drop_entry(self.entries);
            }
        }
        let interrupts = self.here().interrupts;
        self.notes.push(Note::Returned(op.name(), answer, interrupts));
    }

    pub(crate) fn perform_all(&mut self, ops: &[Op]) {
        self.depth += 1;
        ops.iter().for_each(|op| self.perform(op));
        self.depth -= 1;
    }

    /// Whether a kernel can do that at all: only a thread with an entry ends, where its entry returns; and
    /// somebody must be left to run.
    fn can_be_made(&mut self, op: &Op) -> bool {
        let current = self.current();
        let begun = self.slot(current).state == State::Running && current < self.start.slots;
        let (next, fits) = match *op {
            Op::End(next) => (self.thread(next), begun && self.depth == 0),
            Op::PlayEntry => {
                let entry = &self.slot(current).entry;
                (entry.as_ref().and_then(|entry| entry.next), begun && self.depth == 0 && entry.is_some())
            }
            Op::Abandon(next) => (self.thread(next), self.where_called().is_ok()),
            _ => return true,
        };
        fits && (next.is_some_and(|next| self.check_resumable(next).is_ok())
            || self.slot(self.caller).state == State::Waiting)
    }

    /// Not in a handler, not during a borrow.
    pub(crate) fn where_called(&mut self) -> Result<(), Violation> {
        let here = self.here();
        match (here.handlers, here.borrows()) {
            (0, 0) => Ok(()),
            (0, borrows) => Err(Violation::PerCpuBorrowed(borrows)),
            (handlers, _) => Err(Violation::InHandler(handlers)),
        }
    }

    fn thread(&self, place: Option<usize>) -> Option<Name> {
        place.map(|place| self.threads[place % self.threads.len()])
    }

    fn stack(&self, place: usize) -> Name {
        self.stacks[place % self.stacks.len()]
    }

    fn answer(&mut self, op: &Op) -> Predicted {
        match op {
            Op::DeclareStack(frames) => self.declare_stack(frames),
            Op::ReleaseStack(stack) => self.release_stack(self.stack(*stack)),
            Op::NewThread(stack, root, entry) => self.new_thread(self.stack(*stack), *root, entry),
            Op::Swap(next) => self.swap(self.threads[next % self.threads.len()]),
            Op::End(next) | Op::Abandon(next) => {
                let state = if matches!(op, Op::End(_)) { State::Unused } else { State::Abandoned };
                Ok(self.end(state, self.thread(*next)))
            }
            Op::PlayEntry => {
                let current = self.current();
                let entry = self.slot_mut(current).entry.take().expect("looked at before");
                Ok(self.end(State::Unused, entry.next))
            }
            Op::CurrentThread => {
                let name = self.name(self.current());
                if !self.threads.contains(&name) {
                    self.threads.push(name);
                    self.stacks.push(name);
                }
                Ok(Answer::Thread(name))
            }
            Op::DeclareRoot(root) => {
                self.check_free(*root)?;
                self.kinds[count(*root)] = Kind::Root;
                Ok(Answer::Done)
            }
            Op::RemoveRoot(root) => self.remove_root(*root),
            Op::LoadRoot(root) => {
                self.where_called()?;
                self.check_root(*root)?;
                self.here().root = *root;
                Ok(Answer::Done)
            }
            Op::Retype(number, to_data) => self.retype(*number, *to_data),
            Op::SetTls(slot, segment) => {
                let current = self.current();
                let place = self.slot_mut(current).tls.get_mut(count(*slot));
                *place.ok_or(Violation::NoSuchTlsSlot(*slot))? = segment.map_or(0, descriptor);
                Ok(Answer::Selector(((7 + slot) << 3 | 3).try_into().expect("16 bits")))
            }
            Op::SaveFp => Ok(Answer::Fp(self.slot(self.current()).fp.to_vec())),
            Op::LoadFp(tag) => {
                let current = self.current();
                self.slot_mut(current).fp = legal(pattern(*tag));
                Ok(Answer::Done)
            }
            Op::SetFpPolicy(FpPolicy::Lazy | FpPolicy::Eager) => Ok(Answer::Done),
            Op::Enable => {
                self.where_called()?;
                self.here().interrupts = true;
                Ok(Answer::Done)
            }
            Op::Raise(vector, interruption) => Ok(Answer::Taken(self.raise(*vector, interruption))),
            Op::Borrow(data, inside) => self.borrow(*data, inside),
            Op::NoPreempt(inside) => {
                self.here().guards += 1;
                self.perform_all(inside);
                self.here().guards -= 1;
                Ok(Answer::Done)
            }
            Op::Run(root, program, interruption) => self.run(*root, program, interruption),
        }
    }

    fn check_free(&self, number: u32) -> Result<(), Violation> {
        match self.kind(number) {
            Kind::Free => Ok(()),
            Kind::None => Err(Violation::NoSuchFrame(frame(number))),
            _ => Err(Violation::NotFree(frame(number))),
        }
    }

    pub(crate) fn check_root(&self, number: u32) -> Result<(), Violation> {
        match self.kind(number) {
            _ if number == self.sealed_root() => Ok(()),
            Kind::Root => Ok(()),
            Kind::None => Err(Violation::NoSuchFrame(frame(number))),
            _ => Err(Violation::NotARoot(frame(number))),
        }
    }

    fn remove_root(&mut self, root: u32) -> Predicted {
        self.check_root(root)?;
        if root == self.sealed_root() {
            return Err(Violation::FrameSealed(frame(root)));
        }
        if self.loads(root) != 0 {
            return Err(Violation::RootInUse(frame(root)));
        }
        self.kinds[count(root)] = Kind::Free;
        Ok(Answer::Done)
    }

    fn retype(&mut self, number: u32, to_data: bool) -> Predicted {
        match self.kind(number) {
            Kind::Free | Kind::UserData => {}
            Kind::None => return Err(Violation::NoSuchFrame(frame(number))),
            Kind::Sealed => return Err(Violation::FrameSealed(frame(number))),
            Kind::Root | Kind::Stack => return Err(Violation::NotRetypable(frame(number))),
        }
        self.kinds[count(number)] = if to_data { Kind::UserData } else { Kind::Free };
        Ok(Answer::Done)
    }

    fn declare_stack(&mut self, frames: &[u32]) -> Predicted {
        let size = u32::try_from(frames.len()).expect("few");
        if size == 0 || size > STACK_PAGES {
            return Err(Violation::NoSuchStackSize(size));
        }
        let slots = self.start.slots;
        let vacant = (0..slots).find(|number| self.slot(*number).state == State::Vacant);
        let number = vacant.ok_or(Violation::NoStackSlot(slots))?;
        for (place, number) in frames.iter().enumerate() {
            self.check_free(*number)?;
            if frames[..place].contains(number) {
                return Err(Violation::NotFree(frame(*number)));
            }
        }
        frames.iter().for_each(|number| self.kinds[count(*number)] = Kind::Stack);
        let slot = self.slot_mut(number);
        slot.generation += 1;
        slot.state = State::Unused;
        slot.frames = frames.to_vec();
        let name = self.name(number);
        self.stacks.push(name);
        Ok(Answer::Stack(name))
    }

    /// The state of a slot that must be of that generation.
    fn look_up(&self, name: Name) -> Result<State, Violation> {
        if count(name.number) >= self.slots.len() {
            return Err(Violation::NoSuchThread(name.number));
        }
        self.state(name).ok_or(Violation::StaleThread(name.number))
    }

    /// Why a thread in that state is not to be had, for a call that takes none such.
    fn why_not(name: Name, state: State) -> Violation {
        match state {
            State::Running | State::Idle => Violation::ThreadRunning(name.number),
            State::Unused | State::Abandoned => Violation::ThreadEnded(name.number),
            State::Ready | State::Saved => Violation::StackInUse(name.number),
            State::Waiting | State::Busy => Violation::ThreadBusy(name.number),
            State::Vacant => Violation::StaleThread(name.number),
        }
    }

    fn check_resumable(&self, name: Name) -> Result<(), Violation> {
        match self.look_up(name)? {
            State::Ready | State::Saved => Ok(()),
            state => Err(Self::why_not(name, state)),
        }
    }

    fn release_stack(&mut self, stack: Name) -> Predicted {
        match self.look_up(stack)? {
            State::Unused => {}
            State::Ready => {
                self.slot_mut(stack.number).state = State::Busy;
                if let Some(entry) = self.slot_mut(stack.number).entry.take() {
                    self.drop_entry(entry.id);
                }
            }
            state => return Err(Self::why_not(stack, state)),
        }
        let slot = self.slot_mut(stack.number);
        slot.state = State::Vacant;
        let frames = core::mem::take(&mut slot.frames);
        frames.iter().for_each(|number| self.kinds[count(*number)] = Kind::Free);
        Ok(Answer::Frames(frames))
    }

    /// An entry that was never called is dropped, in client code.
    fn drop_entry(&mut self, id: u32) {
        let interrupts = self.here().interrupts;
        self.notes.push(Note::Dropped(id, interrupts));
        let ops = self.on_drop.remove(&id).unwrap_or_default();
        self.perform_all(&ops);
    }

    fn new_thread(&mut self, stack: Name, root: Option<u32>, entry: &Entry) -> Predicted {
        let bytes = Captured::bytes(entry.size);
        if bytes > ENTRY_BYTES || entry.size == Size::TooAligned {
            return Err(Violation::EntryTooLarge(bytes));
        }
        let root = root.unwrap_or(self.sealed_root());
        self.check_root(root)?;
        match self.look_up(stack)? {
            State::Unused => {}
            state => return Err(Self::why_not(stack, state)),
        }
        let (next, id) = (self.thread(entry.next), self.entries + 1);
        let slot = self.slot_mut(stack.number);
        slot.generation += 1;
        slot.state = State::Ready;
        slot.root = root;
        slot.begin_anew();
        slot.entry = Some(reference::Entry { id, next });
        let name = self.name(stack.number);
        self.threads.push(name);
        self.stacks.push(name);
        Ok(Answer::Thread(name))
    }

    fn swap(&mut self, next: Name) -> Predicted {
        self.where_called()?;
        self.check_resumable(next)?;
        let left = match self.slot(self.current()).state {
            State::Idle => State::Waiting,
            _ => State::Saved,
        };
        self.go_on_with(next.number, State::Running, left);
        Ok(Answer::Done)
    }

    /// The running thread is over.
    fn end(&mut self, state: State, next: Option<Name>) -> Answer {
        let refused = next.and_then(|next| self.check_resumable(next).err());
        self.notes.extend(refused.map(Note::Told));
        let idle = self.caller;
        match next.filter(|_| refused.is_none()) {
            Some(next) => self.go_on_with(next.number, State::Running, state),
            None => self.go_on_with(idle, State::Idle, state),
        }
        Answer::Ended(refused)
    }

    fn go_on_with(&mut self, next: u32, running: State, left: State) {
        let (old, root) = (self.current(), self.here().root);
        let slot = self.slot_mut(old);
        slot.state = left;
        slot.root = root;
        if matches!(left, State::Unused | State::Abandoned) {
            slot.entry = None;
        }
        let slot = self.slot_mut(next);
        slot.state = running;
        let root = slot.root;
        let here = self.here();
        here.current = next;
        here.root = root;
    }
}

/// The descriptor of a segment: writable data of ring 3, 32 bits (Intel SDM vol. 3, figure 3-8).
fn descriptor(segment: TlsSegment) -> u64 {
    let (limit, pages) = match segment.limit {
        TlsLimit::Bytes(last) => (u64::from(last), 0),
        TlsLimit::Pages(last) => (u64::from(last), 1u64),
    };
    let base = u64::from(segment.base);
    // From bit 40 on: type 3 (accessed), S, DPL 3, P; then limit, AVL, L, D/B, G.
    let access = 0xf3u64;
    let upper = (limit >> 16 & 0xf) | 1 << 6 | pages << 7;
    (limit & 0xffff) | (base & 0xff_ffff) << 16 | access << 40 | upper << 48 | (base >> 24) << 56
}
