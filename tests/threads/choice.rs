//! What comes next: a strategy over steps that looks at the world as the model has it.

use super::operation::{Act, Data, Ending, Entry, Interruption, Op, Program, Size, Step};
use super::pick::Picker;
use super::reference::{Kind, State, World};
use core::marker::PhantomData;
use proptest::prelude::{BoxedStrategy, Strategy};
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::TestRunner;
use proptest_state_machine::ReferenceStateMachine;
use std::rc::Rc;
use sva_os::context::{FpPolicy, UserContext, UserFlags};
use sva_os::interrupt::{Exception, Registers};
use sva_os::mmu::PagingMode;

/// The reference as proptest's state machine, for one mode.
pub(crate) struct Machine<P>(PhantomData<P>);

impl<P: PagingMode> ReferenceStateMachine for Machine<P> {
    type State = Rc<World>;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self::State> {
        (1..=4u32, 3..=6u32, 14..=24u32)
            .prop_map(|(cpus, slots, frames)| Rc::new(World::new::<P>(cpus, slots, frames)))
            // Steps name CPUs and frames of this very world.
            .no_shrink()
            .boxed()
    }

    fn transitions(state: &Self::State) -> BoxedStrategy<Step> {
        Choice(Rc::clone(state)).boxed()
    }

    fn apply(mut state: Self::State, step: &Step) -> Self::State {
        Rc::make_mut(&mut state).step(step);
        state
    }
}

/// A step in that world.
#[derive(Debug)]
struct Choice(Rc<World>);

impl Strategy for Choice {
    type Tree = StepTree;
    type Value = Step;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let cpu = runner.rng();
        let mut picker = Picker::new(&self.0, cpu);
        Ok(StepTree { now: step(&mut picker), before: None, tried: 0 })
    }
}

/// A step, and simpler ones: first without what the MMUs do, then with interrupts on.
pub(crate) struct StepTree {
    now: Step,
    before: Option<Step>,
    tried: u32,
}

impl ValueTree for StepTree {
    type Value = Step;

    fn current(&self) -> Step {
        self.now.clone()
    }

    fn simplify(&mut self) -> bool {
        while self.tried < 2 {
            let mut simpler = self.now.clone();
            match self.tried {
                0 => simpler.fills.clear(),
                _ => simpler.interrupts = true,
            }
            self.tried += 1;
            if simpler != self.now {
                self.before = Some(core::mem::replace(&mut self.now, simpler));
                return true;
            }
        }
        false
    }

    fn complicate(&mut self) -> bool {
        let before = self.before.take();
        let had = before.is_some();
        self.now = before.unwrap_or_else(|| self.now.clone());
        had
    }
}

fn step(picker: &mut Picker<'_>) -> Step {
    let fills = (0..picker.one(&[0, 0, 1, 2, 3])).map(|_| picker.fill()).collect();
    Step { fills, cpu: picker.cpu, interrupts: picker.percent(85), op: op(picker) }
}

/// A call on its own.
fn op(picker: &mut Picker<'_>) -> Op {
    let world = picker.world;
    if world.of_kind(Kind::Root).count() < 2 && picker.percent(30) {
        return Op::DeclareRoot(picker.frame_of(&[Kind::Free]));
    }
    let current = world.slot(picker.here().current);
    if current.state == State::Idle && picker.percent(10) {
        return Op::CurrentThread;
    }
    match picker.below(1000) {
        0..150 => Op::Swap(picker.thread()),
        150..230 => declare_stack(picker),
        230..300 => Op::ReleaseStack(picker.stack_to_release()),
        300..430 => new_thread(picker, true),
        430..490 => Op::End(picker.next()),
        490..530 => Op::PlayEntry,
        530..534 => Op::Abandon(picker.next()),
        534..560 => Op::CurrentThread,
        560..580 => Op::DeclareRoot(picker.frame_of(&[Kind::Free])),
        580..620 => Op::RemoveRoot(picker.frame_of(&[Kind::Root, Kind::Root, Kind::Sealed])),
        620..670 => Op::LoadRoot(picker.root()),
        670..690 => retype(picker),
        690..740 => set_tls(picker),
        740..760 => Op::SaveFp,
        760..790 => Op::LoadFp(picker.byte()),
        790..800 => Op::SetFpPolicy(picker.one(&[FpPolicy::Lazy, FpPolicy::Eager])),
        800..815 => Op::Enable,
        815..910 => run(picker, true),
        910..955 => raise(picker, true),
        955..985 => borrow(picker, true),
        _ => Op::NoPreempt(inner_ops(picker)),
    }
}

/// A call in the midst of another: `deep` if there may be more in its midst.
fn inner(picker: &mut Picker<'_>, deep: bool) -> Op {
    match picker.below(100) {
        0..30 => Op::Swap(picker.thread()),
        30..37 => Op::ReleaseStack(picker.stack_to_release()),
        37..45 => new_thread(picker, false),
        45..55 => Op::LoadRoot(picker.root()),
        55..63 => set_tls(picker),
        63..66 => Op::SaveFp,
        66..70 => Op::LoadFp(picker.byte()),
        70..74 => Op::CurrentThread,
        74..80 => Op::Enable,
        80..88 => run(picker, false),
        88..92 if deep => raise(picker, false),
        92..97 if deep => borrow(picker, false),
        _ => declare_stack(picker),
    }
}

fn inner_ops(picker: &mut Picker<'_>) -> Vec<Op> {
    let length = picker.one(&[0, 1, 1, 2, 3]);
    (0..length).map(|_| inner(picker, true)).collect()
}

fn leaf_ops(picker: &mut Picker<'_>) -> Vec<Op> {
    let length = picker.one(&[0, 1, 1, 2]);
    (0..length).map(|_| inner(picker, false)).collect()
}

fn ops(picker: &mut Picker<'_>, deep: bool) -> Vec<Op> {
    if deep { inner_ops(picker) } else { leaf_ops(picker) }
}

fn interruption(picker: &mut Picker<'_>, deep: bool) -> Interruption {
    let mut hook = if deep { inner_ops(picker) } else { Vec::new() };
    if picker.percent(50) {
        hook.push(Op::Swap(picker.thread()));
    }
    if picker.percent(1) {
        hook.push(Op::Abandon(picker.next()));
    }
    Interruption { handler: ops(picker, deep), hook }
}

fn declare_stack(picker: &mut Picker<'_>) -> Op {
    let length = picker.one(&[0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4, 14, 15, 16]);
    let mut frames: Vec<_> = (0..length).map(|_| picker.frame_of(&[Kind::Free])).collect();
    if picker.percent(80) {
        frames.dedup();
    }
    Op::DeclareStack(frames)
}

fn new_thread(picker: &mut Picker<'_>, with_drop: bool) -> Op {
    let size = picker.one(&[Size::Small; 8]);
    let size = match picker.below(20) {
        0 => Size::TooLarge,
        1 => Size::TooAligned,
        2 | 3 => Size::Full,
        _ => size,
    };
    let mut on_drop = Vec::new();
    if with_drop && picker.percent(25) {
        // The thread itself, which is being released then, and its stack.
        let (thread, stack) = (picker.world.threads.len(), picker.world.stacks.len());
        on_drop.push(match picker.below(4) {
            0 => Op::Swap(thread),
            1 => Op::ReleaseStack(stack),
            2 => new_thread_on(picker, stack),
            _ => inner(picker, false),
        });
    }
    let root = picker.percent(60).then(|| picker.root());
    Op::NewThread(picker.unused_stack(), root, Entry { size, next: picker.next(), on_drop })
}

fn new_thread_on(picker: &mut Picker<'_>, stack: usize) -> Op {
    Op::NewThread(stack, None, Entry { size: Size::Small, next: picker.next(), on_drop: Vec::new() })
}

fn retype(picker: &mut Picker<'_>) -> Op {
    if picker.world.of_kind(Kind::UserData).count() > 2 {
        return Op::Retype(picker.frame_of(&[Kind::UserData, Kind::UserData, Kind::Stack]), false);
    }
    Op::Retype(picker.frame_of(&[Kind::Free, Kind::Free, Kind::Stack, Kind::Root]), true)
}

fn set_tls(picker: &mut Picker<'_>) -> Op {
    let segment = picker.percent(70).then(|| picker.segment());
    Op::SetTls(picker.one(&[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, u32::MAX]), segment)
}

fn raise(picker: &mut Picker<'_>, deep: bool) -> Op {
    // With handlers, without, and the last line of the first controller.
    let vector = picker.one(&[3, 32, 32, 32, 33, 33, 0x30, 0x31, 36, 39]);
    Op::Raise(vector, interruption(picker, deep))
}

fn borrow(picker: &mut Picker<'_>, deep: bool) -> Op {
    let mut inside = ops(picker, deep);
    if picker.percent(30) {
        inside.push(Op::Borrow(picker.one(&[Data::ForAll, Data::ForTwo]), Vec::new()));
    }
    Op::Borrow(picker.one(&[Data::ForAll, Data::ForAll, Data::ForTwo]), inside)
}

fn run(picker: &mut Picker<'_>, deep: bool) -> Op {
    let here = picker.here().root;
    let root = if picker.percent(60) { here } else { picker.root() };
    let acts = (0..picker.one(&[0, 1, 1, 2, 3, 4])).map(|_| act(picker)).collect();
    // A kernel lets a program go on with what it came back with.
    let before = picker.world.slot(picker.here().current).context;
    let context = before.filter(|_| picker.percent(60)).unwrap_or_else(|| context(picker));
    let program = Program { context, acts, ending: ending(picker) };
    Op::Run(root, Box::new(program), interruption(picker, deep))
}

fn context(picker: &mut Picker<'_>) -> UserContext {
    UserContext {
        registers: registers(picker),
        instruction: picker.word(),
        flags: UserFlags::new(picker.word()),
        ds: usual(picker),
        es: usual(picker),
        fs: picker.selector(),
        gs: picker.selector(),
    }
}

/// Selectors of DS and ES are nearly always the flat ones.
fn usual(picker: &mut Picker<'_>) -> u16 {
    if picker.percent(80) { UserContext::DATA } else { picker.selector() }
}

fn act(picker: &mut Picker<'_>) -> Act {
    match picker.below(10) {
        0..6 => Act::UseFp(picker.percent(60).then(|| picker.byte())),
        6..8 => Act::Registers(registers(picker), picker.word(), picker.word()),
        _ => Act::Segment(picker.one(&[0, 1, 2, 2, 3, 3]), picker.selector()),
    }
}

fn registers(picker: &mut Picker<'_>) -> Registers {
    Registers {
        eax: picker.word(),
        ebx: picker.word(),
        ecx: picker.word(),
        edx: picker.word(),
        esi: picker.word(),
        edi: picker.word(),
        ebp: picker.word(),
        esp: picker.word(),
    }
}

fn ending(picker: &mut Picker<'_>) -> Ending {
    match picker.below(10) {
        0..3 => Ending::SystemCall,
        3..5 => {
            // A machine check is nobody's to survive, and the library loads what #NM asks for.
            let all = Exception::ALL.iter().copied();
            let usual: Vec<_> = all
                .filter(|one| !matches!(one, Exception::MachineCheck | Exception::DeviceNotAvailable))
                .collect();
            Ending::Exception(picker.one(&usual), picker.word(), picker.word())
        }
        5..9 => Ending::Line(picker.one(&[0, 0, 0, 1, 1, 4, 7])),
        _ => Ending::Vector(picker.one(&[0x30, 0x31, 0x81, 0xef, 0xf0, 0xff, 0x1f, 9])),
    }
}
