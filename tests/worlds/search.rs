//! Breadth first through all worlds that can be reached, each checked.

use crate::adversary::{Eagerness, Watch, is_zero, soil, strike, words};
use crate::call::{Answer, Call};
use crate::domain::{Calls, Domain};
use crate::safety;
use crate::small::{World, cpu, frame, page, small_world};
use crate::state::observe;
use crate::{recount, view};
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use sva_os::frame::Kind;
use sva_os::mmu::PagingMode;

/// How the CPUs' caches are driven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caches {
    /// They hold all that they could, at every step of every intrinsic, and programs store through
    /// them. What they hold follows from the calls, so it is no choice of the search.
    Full,
    /// Every single fill and eviction is a move of its own, between calls.
    Any,
}

/// One move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Move {
    Call(u32, Call),
    /// The CPU takes the `n`-th way to translate the page.
    Fill(u32, u32, usize),
    Evict(u32, usize),
    EvictStructure(u32, usize),
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::Call(cpu, call) => write!(f, "CPU {cpu} calls {call:?}"),
            Move::Fill(cpu, page, n) => write!(f, "CPU {cpu} fills page {page} by way {n}"),
            Move::Evict(cpu, n) => write!(f, "CPU {cpu} evicts translation {n}"),
            Move::EvictStructure(cpu, n) => write!(f, "CPU {cpu} evicts structure {n}"),
        }
    }
}

/// What a search went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Figures {
    /// Worlds that differ in more than names.
    pub(crate) states: usize,
    /// Moves that changed something.
    pub(crate) transitions: usize,
    /// Calls that changed nothing, refused ones for the most part.
    pub(crate) unchanged: usize,
    /// The longest shortest way to a world.
    pub(crate) depth: usize,
}

/// A way to a world: the place of the one before it, and the move from there.
struct Node {
    before: usize,
    last: Option<Move>,
    depth: usize,
}

/// A search over worlds of one mode.
pub(crate) struct Search<P: PagingMode> {
    domain: Domain,
    caches: Caches,
    cpus: u32,
    start: World<P>,
    calls: Calls,
    nodes: Vec<Node>,
    seen: HashMap<Box<[u8]>, usize>,
    figures: Figures,
}

impl<P: PagingMode> Search<P> {
    pub(crate) fn new(domain: Domain, caches: Caches, cpus: u32) -> Self {
        let start = small_world::<P>(cpus, domain.stage);
        soil(&start);
        let calls = domain.calls(&start);
        let (nodes, seen) = (Vec::new(), HashMap::new());
        Self { domain, caches, cpus, start, calls, nodes, seen, figures: Figures::default() }
    }

    /// Goes everywhere.
    ///
    /// # Panics
    ///
    /// At the first world in which an invariant is broken, with the shortest way to it.
    pub(crate) fn run(mut self) -> Figures {
        let start = self.start.clone();
        self.arrive(&start, Node { before: 0, last: None, depth: 0 });
        let mut next = 0;
        while next < self.nodes.len() {
            self.expand(next);
            next += 1;
        }
        self.figures.states = self.nodes.len();
        self.figures
    }

    /// Notes `world` if it is new.
    fn arrive(&mut self, world: &World<P>, node: Node) {
        let state = observe(world, self.domain.pages).canonical();
        let place = self.nodes.len();
        if self.seen.contains_key(&state) {
            return;
        }
        if let Err(finding) = world.audit() {
            self.fail(&node, &format!("the audit says: {finding}"));
        }
        self.figures.depth = self.figures.depth.max(node.depth);
        self.seen.insert(state, place);
        self.nodes.push(node);
    }

    /// Makes every move from the world at `place`.
    fn expand(&mut self, place: usize) {
        let world = self.replay(place);
        let depth = self.nodes[place].depth + 1;
        let node = |last| Node { before: place, last: Some(last), depth };
        for from in 0..self.cpus {
            let mut scratch = world.clone();
            let digest = scratch.machine().digest();
            for index in 0..self.calls.sound.len() {
                let call = self.calls.sound[index];
                let node = node(Move::Call(from, call));
                let answer = self.call(&scratch, from, call, &node);
                if scratch.machine().digest() == digest {
                    self.figures.unchanged += 1;
                    continue;
                }
                if answer.is_refusal() || call.only_looks() {
                    self.fail(&node, &format!("{answer:?}, and yet something changed"));
                }
                if self.caches == Caches::Full {
                    scratch = self.watched(world.clone(), from, call, answer, &node);
                }
                self.check(&scratch, &node);
                self.figures.transitions += 1;
                self.arrive(&scratch, node);
                scratch = world.clone();
            }
        }
        self.try_hostile(&world, &node);
        if self.caches == Caches::Any {
            self.move_caches(&world, &node);
        }
    }

    /// Makes every call that must be refused. Who calls makes no difference to a refusal.
    fn try_hostile(&mut self, world: &World<P>, node: &dyn Fn(Move) -> Node) {
        let digest = world.machine().digest();
        for call in &self.calls.hostile {
            if self.is_sound_here(world, *call) {
                continue;
            }
            let node = node(Move::Call(0, *call));
            let answer = self.call(world, 0, *call, &node);
            if !answer.is_refusal() || world.machine().digest() != digest {
                self.fail(&node, &format!("{answer:?} to a hostile call"));
            }
            self.figures.unchanged += 1;
        }
    }

    /// Makes every single change that the caches may undergo.
    fn move_caches(&mut self, world: &World<P>, node: &dyn Fn(Move) -> Node) {
        let mut moves = Vec::new();
        for from in 0..self.cpus {
            for number in 0..self.domain.pages {
                let ways = world.machine().walks(cpu(from), page(number)).len();
                moves.extend((0..ways).map(|n| Move::Fill(from, number, n)));
            }
            moves.extend((0..world.machine().cached_count(cpu(from))).map(|n| Move::Evict(from, n)));
            let structures = world.machine().structure_count(cpu(from));
            moves.extend((0..structures).map(|n| Move::EvictStructure(from, n)));
        }
        for made in moves {
            let scratch = world.clone();
            make_cache_move(&scratch, made);
            let node = node(made);
            self.check(&scratch, &node);
            self.figures.transitions += 1;
            self.arrive(&scratch, node);
        }
    }

    /// Whether a hostile call is one of the sound ones by accident: entry 3 of a `Pae` table that
    /// is no root.
    fn is_sound_here(&self, world: &World<P>, call: Call) -> bool {
        match call {
            Call::Link(parent, index, _) | Call::Unlink(parent, index) => {
                let level = view::level::<P>(world.kind(frame(parent)));
                level.is_some_and(|level| level < P::LEVELS && index < view::entries::<P>(level))
            }
            _ => false,
        }
    }

    /// Calls from the CPU numbered `from` and checks what only the call itself can tell.
    fn call(&self, world: &World<P>, from: u32, call: Call, node: &Node) -> Answer {
        let perform = || world.machine().as_cpu(cpu(from), || call.perform(world));
        let answer = catch_unwind(AssertUnwindSafe(perform))
            .unwrap_or_else(|_| self.fail(node, "the call panicked, see above"));
        if let (Call::Retype(target, kind), Answer::Done) = (call, answer)
            && kind != Kind::Free
            && !is_zero(world, frame(target))
        {
            self.fail(node, "the frame keeps what it held");
        }
        answer
    }

    /// The same call once more, with the CPUs at their worst at each of its steps.
    fn watched(&self, world: World<P>, from: u32, call: Call, before: Answer, node: &Node) -> World<P> {
        let watch = Watch::new(world, self.domain.pages, Eagerness::Full);
        let answer = self.call(watch.world(), from, call, node);
        let world = watch.end().unwrap_or_else(|text| self.fail(node, &text));
        if answer != before {
            self.fail(node, &format!("{before:?} alone, but {answer:?} while the TLBs are filled"));
        }
        if let Err(text) = strike(&world, self.domain.pages) {
            self.fail(node, &text);
        }
        world
    }

    fn check(&self, world: &World<P>, node: &Node) {
        soil(world);
        if let Err(text) = recount::check(world).and_then(|()| safety::check(world, self.domain.pages)) {
            self.fail(node, &format!("{text}\nframes {:?}", words(world)));
        }
    }

    /// The moves that lead to `node`, the last one last.
    fn way(&self, node: &Node) -> Vec<Move> {
        let mut way: Vec<Move> = node.last.into_iter().collect();
        let mut place = node.before;
        while let Some(last) = self.nodes.get(place).and_then(|node| node.last) {
            way.push(last);
            place = self.nodes[place].before;
        }
        way.reverse();
        way
    }

    /// The world at `place`, made again from the start.
    fn replay(&self, place: usize) -> World<P> {
        let mut world = self.start.clone();
        let node = &self.nodes[place];
        for made in self.way(node) {
            match (made, self.caches) {
                (Move::Call(from, call), Caches::Full) => {
                    let watch = Watch::new(world, self.domain.pages, Eagerness::Full);
                    self.call(watch.world(), from, call, node);
                    world = watch.end().unwrap_or_else(|text| self.fail(node, &text));
                    strike(&world, self.domain.pages).unwrap_or_else(|text| self.fail(node, &text));
                }
                (Move::Call(from, call), Caches::Any) => {
                    self.call(&world, from, call, node);
                }
                (made, _) => make_cache_move(&world, made),
            }
            soil(&world);
        }
        world
    }

    fn fail(&self, node: &Node, what: &str) -> ! {
        let way: Vec<String> = self.way(node).iter().map(Move::to_string).collect();
        panic!("{}: {what}\nafter\n  {}", P::NAME, way.join("\n  "))
    }
}

fn make_cache_move<P: PagingMode>(world: &World<P>, made: Move) {
    match made {
        Move::Fill(from, number, n) => {
            let walk = world.machine().walks(cpu(from), page(number))[n].for_write();
            world.machine().fill(cpu(from), &walk);
        }
        Move::Evict(from, n) => assert!(world.machine().evict(cpu(from), n)),
        Move::EvictStructure(from, n) => assert!(world.machine().evict_structure(cpu(from), n)),
        Move::Call(..) => {}
    }
}
