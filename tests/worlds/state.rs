//! A world as far as it can make a difference, in one form for all worlds that differ in names only.
//!
//! Times grow for ever, so of a stamp only what a flush would ask is kept: which CPUs have not
//! flushed since. Accessed and dirty bits are left out, and so is the order of cache entries. Frames
//! of the stage, CPUs and the pages of one table are all alike to the library, so a world and the
//! same with two of them renamed count as one.

use crate::recount::stage;
use crate::safety::cpus;
use crate::small::{KERNEL, STAGE, World, cpu};
use crate::view::{self, Stamp, Word, is_after, level, word};
use sva_os::mmu::PagingMode;

/// A frame by its place on the stage; others have names of their own.
type Name = u8;
const SEALED_ROOT: Name = 0xf0;
const ELSEWHERE: Name = 0xf1;
const NOTHING: Name = 0xff;

struct FrameState {
    word: Word,
    /// CPUs that may remember it, a bit each.
    remembered: u8,
    parent: Name,
    /// What the entries that matter lead to, and whether they allow writing.
    entries: Vec<(Name, bool)>,
}

struct CpuState {
    root: Name,
    register: Name,
    /// Page, frame, writable.
    translations: Vec<(u8, Name, bool)>,
    /// Level and table.
    structures: Vec<(u8, Name)>,
}

/// What of a world matters.
pub(crate) struct State {
    frames: Vec<FrameState>,
    cpus: Vec<CpuState>,
    pages: u8,
}

fn small(number: u32) -> u8 {
    u8::try_from(number).expect("a small number")
}

/// The state of `world`, of which `pages` pages are in play.
pub(crate) fn observe<P: PagingMode>(world: &World<P>, pages: u32) -> State {
    let count = stage(world).count() as u32;
    let name = |number: u32| match number {
        number if (STAGE..STAGE + count).contains(&number) => small(number - STAGE),
        number if number == world.sealed_root().number() => SEALED_ROOT,
        _ => ELSEWHERE,
    };
    let entry = |level, raw| match view::decode::<P>(level, raw) {
        Ok(None) => (NOTHING, false),
        Ok(Some(present)) => (name(present.frame), present.write),
        Err(_) => (ELSEWHERE, false),
    };
    let frame_state = |frame| {
        let word = word(world, frame);
        let stamp = view::stamp(world, frame);
        let unflushed = |time| {
            let late = |c: &u32| !is_after(view::flushed(world, cpu(*c)), time);
            (0..cpus(world)).filter(late).fold(0, |bits, c| bits | 1 << c)
        };
        let level = level::<P>(word.kind);
        let entries = match level {
            Some(level) => (0..if level == 1 { pages } else { 1 })
                .map(|index| entry(level, view::raw(world, frame, index)))
                .collect(),
            None => Vec::new(),
        };
        FrameState {
            word,
            remembered: if let Stamp::Dropped(time) = stamp { unflushed(time) } else { 0 },
            parent: if let Stamp::Linked { table, .. } = stamp { name(table) } else { NOTHING },
            entries,
        }
    };
    let cpu_state = |cpu| {
        let machine = world.machine();
        let user = machine.cached(cpu).into_iter().filter(|(page, _)| page.number() < KERNEL);
        CpuState {
            root: name(machine.root_of(cpu).number()),
            register: entry(P::LEVELS, machine.root_registers(cpu)[0]).0,
            translations: user
                .map(|(page, to)| (small(page.number()), name(to.frame.number()), to.writable))
                .collect(),
            structures: machine
                .structures(cpu)
                .iter()
                .map(|structure| (structure.level, name(structure.table.number())))
                .collect(),
        }
    };
    State {
        frames: stage(world).map(frame_state).collect(),
        cpus: (0..cpus(world)).map(cpu).map(cpu_state).collect(),
        pages: small(pages),
    }
}

impl State {
    /// The same for all worlds that differ in names only.
    pub(crate) fn canonical(&self) -> Box<[u8]> {
        let mut best: Option<Vec<u8>> = None;
        let mut encoded = Vec::new();
        for frames in self.frame_orders() {
            for cpus in permutations(self.cpus.len()) {
                for pages in permutations(usize::from(self.pages)) {
                    encoded.clear();
                    self.encode(&frames, &cpus, &pages, &mut encoded);
                    if best.as_ref().is_none_or(|best| encoded < *best) {
                        best = Some(encoded.clone());
                    }
                }
            }
        }
        best.expect("there is one order at least").into()
    }

    /// The orders of the frames in which kinds and counts ascend.
    fn frame_orders(&self) -> Vec<Vec<usize>> {
        let key = |place: &usize| {
            let frame = &self.frames[*place];
            (frame.word.kind, frame.word.total, frame.word.writable)
        };
        let mut sorted: Vec<usize> = (0..self.frames.len()).collect();
        sorted.sort_by_key(key);
        let mut orders = vec![Vec::new()];
        for group in sorted.chunk_by(|a, b| key(a) == key(b)) {
            let groups = permutations(group.len());
            orders = orders
                .iter()
                .flat_map(|order: &Vec<usize>| {
                    groups.iter().map(|places| {
                        order.iter().copied().chain(places.iter().map(|place| group[*place])).collect()
                    })
                })
                .collect();
        }
        orders
    }

    /// Appends what stands at each place of the given orders.
    fn encode(&self, frames: &[usize], cpus: &[usize], pages: &[usize], to: &mut Vec<u8>) {
        let place = |order: &[usize], old: usize| {
            small(order.iter().position(|other| *other == old).unwrap_or(0xff) as u32)
        };
        let name = |old: Name| if old < SEALED_ROOT { place(frames, old.into()) } else { old };
        let write = |name: Name, write: bool| [name, u8::from(write)];
        for frame in frames.iter().map(|frame| &self.frames[*frame]) {
            let Word { kind, busy, sealed, total, writable } = frame.word;
            to.extend([kind as u8, u8::from(busy) << 1 | u8::from(sealed), total as u8, writable as u8]);
            to.push(name(frame.parent));
            to.push(
                cpus.iter()
                    .enumerate()
                    .fold(0, |bits, (new, old)| bits | (frame.remembered >> old & 1) << new),
            );
            if kind == sva_os::frame::Kind::Table1 {
                to.extend(pages.iter().flat_map(|page| {
                    let (target, may_write) = frame.entries[*page];
                    write(name(target), may_write)
                }));
            } else {
                to.extend(frame.entries.iter().flat_map(|(target, w)| write(name(*target), *w)));
            }
        }
        for cpu in cpus.iter().map(|cpu| &self.cpus[*cpu]) {
            to.extend([name(cpu.root), name(cpu.register)]);
            let translations = cpu.translations.iter();
            let mut translations: Vec<[u8; 3]> = translations
                .map(|(page, frame, w)| [place(pages, (*page).into()), name(*frame), u8::from(*w)])
                .collect();
            let mut structures: Vec<[u8; 2]> =
                cpu.structures.iter().map(|(level, table)| [*level, name(*table)]).collect();
            translations.sort_unstable();
            translations.dedup();
            structures.sort_unstable();
            structures.dedup();
            to.extend([small(translations.len() as u32), small(structures.len() as u32)]);
            to.extend(translations.as_flattened());
            to.extend(structures.as_flattened());
        }
    }
}

/// All orders of 0 to `count` - 1.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    permutations(count - 1)
        .into_iter()
        .flat_map(|shorter| {
            (0..count).map(move |place| {
                let mut longer = shorter.clone();
                longer.insert(place, count - 1);
                longer
            })
        })
        .collect()
}
