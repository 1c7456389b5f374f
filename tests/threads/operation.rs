//! What a step does, and what is seen of it.

use sva_os::Violation;
use sva_os::context::{Exit, FpPolicy, TlsSegment, UserContext};
use sva_os::interrupt::{Exception, Registers};

/// What the library's names say: a slot, and how many had it before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Name {
    pub(crate) number: u32,
    pub(crate) generation: u32,
}

/// How much an entry captures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    Small,
    /// As much as there may be.
    Full,
    /// A little more.
    TooLarge,
    /// What must lie at a multiple of 32.
    TooAligned,
}

/// What a thread begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) size: Size,
    /// The thread that it names when it returns.
    pub(crate) next: Option<usize>,
    /// What the value that it captures does when it is dropped without having been called.
    pub(crate) on_drop: Vec<Op>,
}

/// What client code does when an interrupt comes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Interruption {
    pub(crate) handler: Vec<Op>,
    pub(crate) hook: Vec<Op>,
}

/// What a program does in ring 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Looks at the floating-point registers, and perhaps fills them with a pattern of its own.
    UseFp(Option<u8>),
    /// Leaves these in its registers and EFLAGS.
    Registers(Registers, u32, u32),
    /// Loads DS, ES, FS or GS.
    Segment(usize, u16),
}

/// What brings a program back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    SystemCall,
    Exception(Exception, u32, u32),
    /// The line with this number.
    Line(u32),
    /// Any other vector.
    Vector(u32),
}

/// A program, and the registers that the kernel lets it begin with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Program {
    pub(crate) context: UserContext,
    pub(crate) acts: Vec<Act>,
    pub(crate) ending: Ending,
}

/// One call, and what client code does in the midst of it. Threads and stacks are places in the list of all
/// names that were ever seen; frames are numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    DeclareStack(Vec<u32>),
    ReleaseStack(usize),
    NewThread(usize, Option<u32>, Entry),
    Swap(usize),
    End(Option<usize>),
    PlayEntry,
    Abandon(Option<usize>),
    CurrentThread,
    DeclareRoot(u32),
    RemoveRoot(u32),
    LoadRoot(u32),
    /// To user data, or to free.
    Retype(u32, bool),
    SetTls(u32, Option<TlsSegment>),
    SaveFp,
    LoadFp(u8),
    SetFpPolicy(FpPolicy),
    Enable,
    /// An interrupt or exception in ring 0.
    Raise(u32, Interruption),
    /// A borrow of per-CPU data, of which there is some for two CPUs and some for all.
    Borrow(Data, Vec<Op>),
    NoPreempt(Vec<Op>),
    Run(u32, Box<Program>, Interruption),
}

/// Per-CPU data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Data {
    ForAll,
    ForTwo,
}

impl Op {
    /// The intrinsic.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Op::DeclareStack(_) => "declare_stack",
            Op::ReleaseStack(_) => "release_stack",
            Op::NewThread(..) => "new_thread",
            Op::Swap(_) => "swap",
            Op::End(_) => "end of a thread",
            Op::PlayEntry => "return of an entry",
            Op::Abandon(_) => "abandon",
            Op::CurrentThread => "current_thread",
            Op::DeclareRoot(_) => "declare_root",
            Op::RemoveRoot(_) => "remove_root",
            Op::LoadRoot(_) => "load_root",
            Op::Retype(..) => "retype",
            Op::SetTls(..) => "set_tls",
            Op::SaveFp => "save_fp",
            Op::LoadFp(_) => "load_fp",
            Op::SetFpPolicy(_) => "set_fp_policy",
            Op::Enable => "enable",
            Op::Raise(..) => "interrupt in ring 0",
            Op::Borrow(..) => "PerCpu::with",
            Op::NoPreempt(_) => "no_preempt",
            Op::Run(..) => "run",
        }
    }
}

/// What a call answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Done,
    Stack(Name),
    Thread(Name),
    Frames(Vec<u32>),
    Selector(u16),
    Fp(Vec<u8>),
    Exit(Exit),
    /// Whether the CPU took the interrupt.
    Taken(bool),
    /// The thread is over; why the next that it named was not to be had.
    Ended(Option<Violation>),
    Refused(Violation),
}

impl Answer {
    /// Why the call, or the choice of the next thread, was refused.
    pub(crate) fn refusal(&self) -> Option<Violation> {
        match self {
            Answer::Refused(violation) | Answer::Ended(Some(violation)) => Some(*violation),
            _ => None,
        }
    }
}

/// What can be seen, in the order in which it happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Note {
    /// A call returned, and whether interrupts can come then.
    Returned(&'static str, Answer, bool),
    /// The observer of refusals is told.
    Told(Violation),
    /// A handler is called: its vector, and whether a program was interrupted.
    Handler(u32, bool),
    /// The preemption hook is called.
    Hook,
    /// A program finds itself with these registers.
    Entered(UserContext),
    /// A program finds this in the floating-point registers.
    Fp(Vec<u8>),
    /// Its registers as the kernel finds them afterwards.
    Left(UserContext),
    /// An entry that was not called is dropped, and whether interrupts can come.
    Dropped(u32, bool),
}

/// One step: a CPU's MMU fills its TLB, then a CPU calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// CPU, page, and which of the walks.
    pub(crate) fills: Vec<(u32, u32, usize)>,
    pub(crate) cpu: u32,
    /// Whether the kernel calls with interrupts on.
    pub(crate) interrupts: bool,
    pub(crate) op: Op,
}

/// Bytes to fill floating-point registers with, whatever a CPU says to them.
pub(crate) fn pattern(tag: u8) -> [u8; 512] {
    core::array::from_fn(|at| tag ^ at.to_le_bytes()[0].rotate_left(3))
}

/// The same as a CPU can hold them: without the reserved bits of MXCSR.
pub(crate) fn legal(mut bytes: [u8; 512]) -> [u8; 512] {
    bytes[26] = 0;
    bytes[27] = 0;
    bytes
}
