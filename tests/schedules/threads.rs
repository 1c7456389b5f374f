//! The contests of threads.
//!
//! A thread is played by its CPU: what a CPU calls after a swap, the next thread calls. The machine sees to it
//! that no two CPUs are ever on one stack.

use crate::adversary::Eagerness;
use crate::call::Call::{self, *};
use crate::scenario::{FRAMES, Scenario};
use crate::small::{STAGE, World, cpu, frame, small_world_of_threads};
use sva_os::context::{StackId, ThreadId};
use sva_os::mmu::PagingMode;

/// Frames of the stage by the part they play.
const ROOT: u32 = STAGE;
const TABLE: u32 = STAGE + 1;
/// The frames of three stacks.
const STACKS: [[u32; 2]; 3] = [[STAGE + 2, STAGE + 3], [STAGE + 4, STAGE + 5], [STAGE + 6, STAGE + 7]];

/// What comes before a contest. It is done here once, for the names that calls answer with: they are the same
/// in every world that begins like this.
struct Stage<P: PagingMode> {
    world: World<P>,
    calls: Vec<(u32, Call)>,
    cpus: u32,
}

impl<P: PagingMode> Stage<P> {
    fn new(cpus: u32) -> Self {
        let mut stage = Self { world: small_world_of_threads(cpus, FRAMES), calls: Vec::new(), cpus };
        stage.call(0, DeclareRoot(ROOT));
        stage
    }

    fn call(&mut self, from: u32, call: Call) {
        let answer = self.world.machine().as_cpu(cpu(from), || call.perform(&self.world));
        assert!(!answer.is_refusal(), "{call:?} beforehand is {answer:?}");
        self.calls.push((from, call));
    }

    fn stack(&mut self, frames: [u32; 2]) -> StackId {
        self.calls.push((0, DeclareStack(frames)));
        self.world.declare_stack(&frames.map(frame)).expect("free frames")
    }

    fn thread_on(&mut self, stack: StackId, root: Option<u32>) -> ThreadId {
        self.calls.push((0, NewThread(stack, root)));
        self.world.new_thread(stack, root.map(frame), || None).expect("an unused stack")
    }

    /// A thread that is ready, with the root.
    fn thread(&mut self, nth: usize) -> ThreadId {
        let stack = self.stack(STACKS[nth]);
        self.thread_on(stack, Some(ROOT))
    }

    /// A thread that runs on a CPU.
    fn running(&mut self, nth: usize, on: u32) -> ThreadId {
        let thread = self.thread(nth);
        self.call(on, Swap(thread));
        thread
    }

    /// The name of the thread that `call` would make next.
    fn name_of_next(&self, stack: StackId) -> ThreadId {
        self.world.clone().new_thread(stack, None, || None).expect("an unused stack")
    }

    /// The flow that a CPU booted with, before it runs anything else.
    fn boot(&self, of: u32) -> ThreadId {
        self.world.machine().as_cpu(cpu(of), || self.world.current_thread())
    }

    fn contest(self, name: &str, preemptions: usize, cpus: &[&[Call]]) -> u64 {
        assert_eq!(cpus.len() as u32, self.cpus, "{name}");
        let (eagerness, threads, whole_calls) = (Eagerness::Full, true, true);
        let before = &self.calls;
        Scenario { name, eagerness, threads, whole_calls, clock: None, before, cpus }
            .explore::<P>(preemptions)
    }
}

/// Two CPUs that want one thread.
pub(crate) fn thread_swaps<P: PagingMode>(n: usize) -> u64 {
    let mut stage = Stage::<P>::new(2);
    let wanted = stage.thread(0);
    let mut orders = stage.contest("swap, swap", n, &[&[Swap(wanted)], &[Swap(wanted)]]);

    let mut stage = Stage::<P>::new(2);
    let (wanted, other) = (stage.thread(0), stage.thread(1));
    orders += stage.contest("swap and swap on, swap", n, &[&[Swap(wanted), Swap(other)], &[Swap(wanted)]]);

    let mut stage = Stage::<P>::new(2);
    let (left, next) = (stage.running(0, 0), stage.thread(1));
    orders += stage.contest("swap away, swap to what is left", n, &[&[Swap(next)], &[Swap(left)]]);

    let mut stage = Stage::<P>::new(2);
    let boot = stage.boot(1);
    let (left, next) = (stage.running(0, 0), stage.thread(1));
    orders += stage.contest(
        "swap away and back, swap to what is left and back",
        n,
        &[&[Swap(next), Swap(left)], &[Swap(left), Swap(boot)]],
    );

    let mut stage = Stage::<P>::new(2);
    let (one, other) = (stage.running(0, 0), stage.running(1, 1));
    orders += stage.contest("each to the other's", n, &[&[Swap(other)], &[Swap(one)]]);

    let mut stage = Stage::<P>::new(3);
    let boot = stage.boot(1);
    let (left, next) = (stage.running(0, 0), stage.thread(1));
    orders
        + stage.contest(
            "three CPUs, two threads",
            n - 1,
            &[&[Swap(next)], &[Swap(left), Swap(boot)], &[Swap(left)]],
        )
}

/// Threads that end. Two ends are a hundred steps.
pub(crate) fn thread_ends<P: PagingMode>(n: usize) -> u64 {
    let mut stage = Stage::<P>::new(2);
    let (over, next) = (stage.running(0, 0), stage.thread(1));
    let mut orders = stage.contest("end, swap to what ended", n, &[&[End(Some(next))], &[Swap(over)]]);

    let mut stage = Stage::<P>::new(2);
    let (_, next) = (stage.running(0, 0), stage.thread(1));
    orders += stage.contest("end, swap to the next", n, &[&[End(Some(next))], &[Swap(next)]]);

    let mut stage = Stage::<P>::new(2);
    let (_, _, next) = (stage.running(0, 0), stage.running(1, 1), stage.thread(2));
    orders += stage.contest("end, end with one next", n - 1, &[&[End(Some(next))], &[End(Some(next))]]);

    let mut stage = Stage::<P>::new(2);
    let (one, other) = (stage.running(0, 0), stage.running(1, 1));
    orders +=
        stage.contest("end, end with each other next", n - 1, &[&[End(Some(other))], &[End(Some(one))]]);

    let mut stage = Stage::<P>::new(2);
    let over = stage.running(0, 0);
    orders += stage.contest(
        "end, release and use of the frames",
        n,
        &[&[End(None)], &[ReleaseStack(over.stack()), DeclareTable(STACKS[0][1], 1)]],
    );

    let mut stage = Stage::<P>::new(2);
    let over = stage.running(0, 0);
    orders
        + stage.contest(
            "end, new thread on the stack",
            n,
            &[&[End(None)], &[NewThread(over.stack(), Some(ROOT))]],
        )
}

/// Stacks that are declared, used and released.
pub(crate) fn thread_stacks<P: PagingMode>(n: usize) -> u64 {
    let [[a, b], [c, d], _] = STACKS;
    let stage = Stage::<P>::new(2);
    let mut orders = stage.contest(
        "declare, declare with one frame in both",
        n,
        &[&[DeclareStack([a, b])], &[DeclareStack([b, c])]],
    );
    let stage = Stage::<P>::new(2);
    orders += stage.contest(
        "declare, declare the other way round",
        n,
        &[&[DeclareStack([a, b])], &[DeclareStack([b, a])]],
    );
    let stage = Stage::<P>::new(2);
    orders += stage.contest("declare stack, table", n, &[&[DeclareStack([a, b])], &[DeclareTable(b, 1)]]);

    let mut stage = Stage::<P>::new(2);
    let stack = stage.stack(STACKS[0]);
    orders += stage.contest(
        "release, use of its frames and of its slot",
        n - 1,
        &[&[ReleaseStack(stack)], &[DeclareStack([c, d]), DeclareTable(a, 1)]],
    );
    let mut stage = Stage::<P>::new(2);
    let stack = stage.stack(STACKS[0]);
    orders += stage.contest("release, release", n, &[&[ReleaseStack(stack)], &[ReleaseStack(stack)]]);

    let mut stage = Stage::<P>::new(2);
    let stack = stage.stack(STACKS[0]);
    orders +=
        stage.contest("new thread, release", n, &[&[NewThread(stack, Some(ROOT))], &[ReleaseStack(stack)]]);

    let mut stage = Stage::<P>::new(2);
    let stack = stage.stack(STACKS[0]);
    orders += stage.contest(
        "new thread, new thread on one stack",
        n,
        &[&[NewThread(stack, Some(ROOT))], &[NewThread(stack, None)]],
    );
    let mut stage = Stage::<P>::new(2);
    let stack = stage.stack(STACKS[0]);
    let next = stage.name_of_next(stack);
    orders += stage.contest(
        "new thread, swap to it",
        n - 1,
        &[&[NewThread(stack, Some(ROOT))], &[Swap(next), End(None)]],
    );
    let mut stage = Stage::<P>::new(2);
    let ready = stage.thread(0);
    orders += stage.contest(
        "swap, release of a thread that never ran",
        n,
        &[&[Swap(ready)], &[ReleaseStack(ready.stack()), DeclareTable(a, 1)]],
    );
    let mut stage = Stage::<P>::new(2);
    let (left, next) = (stage.running(0, 0), stage.thread(1));
    orders
        + stage.contest(
            "swap away, release of what is left",
            n,
            &[&[Swap(next)], &[ReleaseStack(left.stack())]],
        )
}

/// The roots of threads.
pub(crate) fn thread_roots<P: PagingMode>(n: usize) -> u64 {
    let removed = &[RemoveRoot(ROOT), DeclareTable(ROOT, 1)];
    let mut stage = Stage::<P>::new(2);
    let stack = stage.stack(STACKS[0]);
    let mut orders =
        stage.contest("new thread, remove its root", n, &[&[NewThread(stack, Some(ROOT))], removed]);

    let mut stage = Stage::<P>::new(2);
    let thread = stage.thread(0);
    orders += stage.contest("swap, remove the next one's root", n, &[&[Swap(thread)], removed]);

    let mut stage = Stage::<P>::new(2);
    let boot = stage.boot(0);
    stage.running(0, 0);
    orders += stage.contest("swap away, remove the root of what is left", n, &[&[Swap(boot)], removed]);

    let mut stage = Stage::<P>::new(2);
    stage.running(0, 0);
    orders += stage.contest("end, remove its root", n, &[&[End(None)], removed]);

    let mut stage = Stage::<P>::new(2);
    let thread = stage.thread(0);
    orders += stage.contest("release, remove its root", n, &[&[ReleaseStack(thread.stack())], removed]);

    let stage = Stage::<P>::new(2);
    orders += stage.contest("run, remove the root", n, &[&[Run(ROOT)], removed]);

    let mut stage = Stage::<P>::new(2);
    let (thread, level) = (stage.thread(0), P::LEVELS - 1);
    stage.call(0, DeclareTable(TABLE, level));
    orders +=
        stage.contest("swap, link in the next one's root", n, &[&[Swap(thread)], &[Link(ROOT, 0, TABLE)]]);

    let mut stage = Stage::<P>::new(2);
    let thread = stage.thread(0);
    stage.call(0, DeclareTable(TABLE, level));
    stage.call(0, Link(ROOT, 0, TABLE));
    orders
        + stage.contest(
            "swap, unlink in the next one's root",
            n - 1,
            &[&[Swap(thread)], &[Unlink(ROOT, 0), RemoveTable(TABLE), DeclareTable(TABLE, level)]],
        )
}
