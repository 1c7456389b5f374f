//! The client: makes the calls, and notes what it sees.

use super::operation::{
    Act, Answer, Data, Ending, Entry, Interruption, Name, Note, Op, Size, legal, pattern,
};
use super::player::{self, Player};
use super::predict::HANDLED;
use super::ring3::selectors;
use super::token::{Aligned, Captured, FULL, TOO_MANY, Token};
use crate::common::world::frame;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use sva_os::address::{Frame, VirtAddr};
use sva_os::context::{FpState, PerCpu, StackId, ThreadId, UserContext, UserFlags};
use sva_os::frame::Kind;
use sva_os::interrupt::{Exception, Interrupts, TrapFrame, Vector};
use sva_os::machine::emulated::Trap;
use sva_os::machine::{Emulated, Machine};
use sva_os::mmu::PagingMode;
use sva_os::{Sva, Violation};

/// The program that runs, and how far it came.
struct Turn {
    acts: Vec<Act>,
    ending: Ending,
    entered: bool,
    done: usize,
}

/// Client code that waits for an interrupt, and the program that may run until then.
#[derive(Default)]
struct Waiting {
    interruption: Interruption,
    turn: Option<Turn>,
}

pub(crate) struct Client<P: PagingMode> {
    pub(crate) sva: Sva<Emulated<P>>,
    threads: RefCell<Vec<ThreadId>>,
    stacks: RefCell<Vec<StackId>>,
    entries: Cell<u32>,
    on_drop: RefCell<BTreeMap<u32, Vec<Op>>>,
    waiting: RefCell<Vec<Waiting>>,
    for_all: PerCpu<u64, 4>,
    for_two: PerCpu<u64, 2>,
    told: Cell<Option<Violation>>,
    pub(crate) notes: RefCell<Vec<Note>>,
    /// What is wrong by itself, whatever the model says.
    pub(crate) wrong: RefCell<Option<String>>,
    calls: Cell<u32>,
    skipped: RefCell<BTreeSet<u32>>,
}

/// What a name says of itself: `ThreadId(slot, generation)`.
fn name(id: &impl core::fmt::Debug) -> Name {
    let text = format!("{id:?}");
    let numbers = text.split(['(', ',', ' ', ')']).filter_map(|part| part.parse().ok());
    match numbers.collect::<Vec<u32>>()[..] {
        [number, generation] => Name { number, generation },
        _ => panic!("{text}"),
    }
}

impl<P: PagingMode> Client<P> {
    /// A client that knows `forged` names from elsewhere.
    pub(crate) fn new(sva: Sva<Emulated<P>>, forged: (Vec<StackId>, Vec<ThreadId>)) -> Self {
        let interrupts = sva.interrupts();
        for vector in HANDLED {
            Self::register(interrupts, vector);
        }
        interrupts.set_preempt(player::HOOK);
        sva.observe_refusals(player::OBSERVER);
        sva.machine().set_program(Some(Arc::new(|_, context| player::program(context))));
        Self {
            sva,
            stacks: RefCell::new(forged.0),
            threads: RefCell::new(forged.1),
            entries: Cell::default(),
            on_drop: RefCell::default(),
            waiting: RefCell::default(),
            for_all: PerCpu::new([0; 4]),
            for_two: PerCpu::new([0; 2]),
            told: Cell::default(),
            notes: RefCell::default(),
            wrong: RefCell::default(),
            calls: Cell::default(),
            skipped: RefCell::default(),
        }
    }

    fn register(interrupts: Interrupts<'_, Emulated<P>>, number: u32) {
        let vector = Vector::new(number).expect("below 256");
        match vector.source() {
            sva_os::interrupt::Source::Exception(exception) => {
                interrupts.register_exception(exception, player::HANDLER)
            }
            sva_os::interrupt::Source::Line(line) => interrupts.register_line(line, player::HANDLER),
            _ => interrupts.register_software(number, player::HANDLER),
        }
        .expect("nobody has it");
    }

    /// A step begins. Of its calls those are left out.
    pub(crate) fn begin(&self, skipped: &BTreeSet<u32>) {
        self.notes.borrow_mut().clear();
        self.calls.set(0);
        self.skipped.borrow_mut().clone_from(skipped);
    }

    fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    fn fail(&self, what: String) {
        self.wrong.borrow_mut().get_or_insert(what);
    }

    fn interrupts_are_on(&self) -> bool {
        self.sva.machine().interrupts_enabled(self.sva.machine().cpu())
    }

    /// Makes a call in the role that this thread has.
    pub(crate) fn perform(&self, op: &Op) {
        self.calls.set(self.calls.get() + 1);
        if self.skipped.borrow().contains(&self.calls.get()) {
            return;
        }
        let runs_client_code = matches!(op, Op::NewThread(_, _, entry) if !entry.on_drop.is_empty());
        let before = self.sva.machine().digest();
        let answer = self.answer(op).unwrap_or_else(Answer::Refused);
        let refused = matches!(answer, Answer::Refused(_));
        if refused && !runs_client_code && self.sva.machine().digest() != before {
            self.fail(format!("{} was refused, and yet something changed", op.name()));
        }
        self.note(Note::Returned(op.name(), answer, self.interrupts_are_on()));
    }

    fn perform_all(&self, ops: &[Op]) {
        ops.iter().for_each(|op| self.perform(op));
    }

    fn thread(&self, place: usize) -> ThreadId {
        let threads = self.threads.borrow();
        threads[place % threads.len()]
    }

    fn stack(&self, place: usize) -> StackId {
        let stacks = self.stacks.borrow();
        stacks[place % stacks.len()]
    }

    fn learn(&self, thread: ThreadId) -> Answer {
        self.threads.borrow_mut().push(thread);
        self.stacks.borrow_mut().push(thread.stack());
        Answer::Thread(name(&thread))
    }

    fn answer(&self, op: &Op) -> Result<Answer, Violation> {
        let sva = &self.sva;
        match op {
            Op::DeclareStack(frames) => {
                let frames: Vec<Frame> = frames.iter().map(|number| frame(*number)).collect();
                let stack = sva.declare_stack(&frames)?;
                self.stacks.borrow_mut().push(stack);
                Ok(Answer::Stack(name(&stack)))
            }
            Op::ReleaseStack(stack) => {
                let frames = sva.release_stack(self.stack(*stack))?;
                Ok(Answer::Frames(frames.map(Frame::number).collect()))
            }
            Op::NewThread(stack, root, entry) => {
                self.new_thread(self.stack(*stack), root.map(frame), entry).map(|thread| self.learn(thread))
            }
            Op::Swap(next) => sva.swap(self.thread(*next)).map(|()| Answer::Done),
            Op::End(next) => Ok(self.end(|| sva.end_thread(next.map(|next| self.thread(next))))),
            Op::Abandon(next) => Ok(self.end(|| sva.abandon_thread(next.map(|next| self.thread(next))))),
            Op::PlayEntry => Ok(self.end(|| sva.play_entry())),
            Op::CurrentThread => {
                let thread = sva.current_thread();
                let is_known = self.threads.borrow().contains(&thread);
                Ok(if is_known { Answer::Thread(name(&thread)) } else { self.learn(thread) })
            }
            Op::DeclareRoot(root) => sva.declare_root(frame(*root)).map(|()| Answer::Done),
            Op::RemoveRoot(root) => sva.remove_root(frame(*root)).map(|()| Answer::Done),
            Op::LoadRoot(root) => sva.load_root(frame(*root)).map(|()| Answer::Done),
            Op::Retype(number, to_data) => {
                let kind = if *to_data { Kind::UserData } else { Kind::Free };
                sva.retype(frame(*number), kind).map(|()| Answer::Done)
            }
            Op::SetTls(slot, segment) => sva.set_tls(*slot, *segment).map(Answer::Selector),
            Op::SaveFp => Ok(Answer::Fp(sva.save_fp().bytes().to_vec())),
            Op::LoadFp(tag) => {
                sva.load_fp(&FpState::new(pattern(*tag)));
                Ok(Answer::Done)
            }
            Op::SetFpPolicy(policy) => {
                sva.set_fp_policy(*policy);
                Ok(Answer::Done)
            }
            Op::Enable => sva.interrupts().enable().map(|()| Answer::Done),
            Op::Raise(number, interruption) => {
                let vector = Vector::new(*number).expect("below 256");
                let cpu = sva.machine().cpu();
                let taken =
                    self.with_waiting(interruption, None, || sva.machine().raise(cpu, Trap::new(vector)));
                Ok(Answer::Taken(taken))
            }
            Op::Borrow(data, inside) => {
                let inside = |value: &mut u64| {
                    *value += 1;
                    self.perform_all(inside);
                };
                match data {
                    Data::ForAll => self.for_all.with(sva, inside)?,
                    Data::ForTwo => self.for_two.with(sva, inside)?,
                }
                Ok(Answer::Done)
            }
            Op::NoPreempt(inside) => {
                let guard = sva.interrupts().no_preempt();
                self.perform_all(inside);
                drop(guard);
                Ok(Answer::Done)
            }
            Op::Run(root, program, interruption) => {
                let (acts, ending) = (program.acts.clone(), program.ending);
                let turn = Turn { acts, ending, entered: false, done: 0 };
                let mut context = program.context;
                let exit =
                    self.with_waiting(interruption, Some(turn), || sva.run(frame(*root), &mut context));
                if exit.is_ok() {
                    self.note(Note::Left(context));
                } else if context != program.context {
                    self.fail("a context that was refused has changed".to_owned());
                }
                exit.map(Answer::Exit)
            }
        }
    }

    fn with_waiting<R>(
        &self,
        interruption: &Interruption,
        turn: Option<Turn>,
        body: impl FnOnce() -> R,
    ) -> R {
        self.waiting.borrow_mut().push(Waiting { interruption: interruption.clone(), turn });
        let result = body();
        self.waiting.borrow_mut().pop();
        result
    }

    fn end(&self, body: impl FnOnce()) -> Answer {
        player::quietly(|| {
            self.told.set(None);
            body();
            Answer::Ended(self.told.take())
        })
    }

    fn new_thread(&self, stack: StackId, root: Option<Frame>, entry: &Entry) -> Result<ThreadId, Violation> {
        let id = self.entries.get() + 1;
        self.entries.set(id);
        self.on_drop.borrow_mut().insert(id, entry.on_drop.clone());
        let (token, next) = (Token::new(id), entry.next.map(|next| self.thread(next)));
        match entry.size {
            Size::Small => self.make(stack, root, Captured { token, next, bytes: [1; 4] }),
            Size::Full => self.make(stack, root, Captured { token, next, bytes: [1; FULL] }),
            Size::TooLarge => self.make(stack, root, Captured { token, next, bytes: [1; TOO_MANY] }),
            Size::TooAligned => {
                let aligned = Aligned(Captured { token, next, bytes: [1; 4] });
                self.sva.new_thread(stack, root, move || {
                    let whole = aligned;
                    whole.0.next
                })
            }
        }
    }

    fn make<const BYTES: usize>(
        &self,
        stack: StackId,
        root: Option<Frame>,
        captured: Captured<BYTES>,
    ) -> Result<ThreadId, Violation> {
        self.sva.new_thread(stack, root, move || {
            let whole = captured;
            assert_eq!(whole.bytes, [1; BYTES]);
            whole.next
        })
    }
}

impl<P: PagingMode> Player for Client<P> {
    fn handle(&self, frame: &TrapFrame<'_>) {
        self.note(Note::Handler(frame.vector().into(), frame.is_from_user()));
        let ops = self.waiting.borrow().last().map(|waiting| waiting.interruption.handler.clone());
        self.perform_all(&ops.unwrap_or_default());
    }

    fn preempt(&self) {
        self.note(Note::Hook);
        let ops = self.waiting.borrow().last().map(|waiting| waiting.interruption.hook.clone());
        self.perform_all(&ops.unwrap_or_default());
    }

    fn told(&self, violation: Violation) {
        self.told.set(Some(violation));
        self.note(Note::Told(violation));
    }

    fn dropped(&self, id: u32) {
        self.note(Note::Dropped(id, self.interrupts_are_on()));
        let ops = self.on_drop.borrow_mut().remove(&id).unwrap_or_default();
        self.perform_all(&ops);
    }

    fn program(&self, context: &mut UserContext) -> Trap {
        let (machine, mut waiting) = (self.sva.machine(), self.waiting.borrow_mut());
        let turn = waiting.last_mut().and_then(|waiting| waiting.turn.as_mut()).expect("a program was given");
        if !core::mem::replace(&mut turn.entered, true) {
            self.note(Note::Entered(*context));
        }
        let cpu = machine.cpu();
        while let Some(act) = turn.acts.get(turn.done) {
            match *act {
                Act::UseFp(tag) => {
                    let Some(registers) = machine.fp_registers(cpu) else {
                        return Trap { from_user: true, ..Trap::new(Exception::DeviceNotAvailable.vector()) };
                    };
                    self.note(Note::Fp(registers.to_vec()));
                    if let Some(tag) = tag {
                        machine.set_fp_registers(cpu, legal(pattern(tag)));
                    }
                }
                Act::Registers(registers, instruction, flags) => {
                    context.registers = registers;
                    context.instruction = instruction;
                    context.flags = UserFlags::new(flags);
                }
                Act::Segment(which, selector) => *selectors(context)[which] = selector,
            }
            turn.done += 1;
        }
        let trap =
            |number: u32| Trap { from_user: true, ..Trap::new(Vector::new(number).expect("below 256")) };
        match turn.ending {
            Ending::SystemCall => trap(0x80),
            Ending::Exception(exception, error_code, address) => {
                let fault = VirtAddr::new(address);
                Trap { vector: exception.vector(), error_code, fault, from_user: true }
            }
            Ending::Line(number) => trap(32 + number),
            Ending::Vector(number) => trap(number),
        }
    }
}
