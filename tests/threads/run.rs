//! One sequence of steps, made by the library and by the reference at once.

use super::client::Client;
use super::coverage::Coverage;
use super::operation::{Name, Note, Step};
use super::player;
use super::reference::{FORGED, Kind, SLOT_PAGES, STACK_PAGES, State, WINDOW, World};
use crate::common::world::{self, Place, count, frame, frames, page, pages};
use std::rc::Rc;
use sva_os::Sva;
use sva_os::address::Page;
use sva_os::context::{StackId, ThreadId};
use sva_os::layout::{DirectMap, InUse, Layout};
use sva_os::machine::emulated::Config;
use sva_os::machine::{Cpu, Emulated};
use sva_os::mmu::PagingMode;

type Checked = Result<(), String>;

/// A machine that is taken over with a window of so many slots for stacks.
pub(crate) fn take_over<P: PagingMode>(cpus: u32, slots: u32, ram_frames: u32) -> Sva<Emulated<P>> {
    let place = Place::HighHalf;
    let layout = Layout {
        image: &world::image(place),
        user: pages(place.user()),
        direct_map: DirectMap { first: page(place.first_page()), frames: frames((0, ram_frames)) },
        stacks: pages((WINDOW, slots * SLOT_PAGES)),
        devices: pages((0, 0)),
        in_use: &[InUse::Heap(frames(world::HEAP)), InUse::Kept(frames(world::KEPT))],
    };
    let machine = Emulated::<P>::new(&Config::new(ram_frames, cpus));
    Sva::emulate(machine, &layout, &world::memory_map(ram_frames)).expect("a sound layout")
}

/// Names of a stack and a thread in every slot but the first, from a machine with more slots than any other.
pub(crate) fn forged() -> (Vec<StackId>, Vec<ThreadId>) {
    let sva = take_over::<sva_os::mmu::TwoLevel>(1, FORGED, 96);
    let stacks: Vec<_> = (13..)
        .take(count(FORGED) - 1)
        .map(|number| sva.declare_stack(&[frame(number)]).expect("free"))
        .collect();
    let threads = stacks.iter().map(|stack| sva.new_thread(*stack, None, || None).expect("unused"));
    let threads = threads.collect();
    (stacks, threads)
}

fn cpu(number: u32) -> Cpu {
    Cpu::new(number).expect("a CPU that may exist")
}

/// A world and its model.
struct Run<P: PagingMode> {
    client: Rc<Client<P>>,
    world: World,
    scratch: Vec<u32>,
    /// What frames are that were typed at boot.
    sealed: Vec<sva_os::frame::Kind>,
}

/// Runs `steps` in a fresh world.
pub(crate) fn run<P: PagingMode>(
    world: World,
    names: (Vec<StackId>, Vec<ThreadId>),
    steps: &[Step],
    coverage: &Coverage,
    mut begun: impl FnMut(),
) -> Checked {
    let start = world.start;
    // A world that ended by a panic.
    player::set(None);
    let client = Rc::new(Client::new(take_over::<P>(start.cpus, start.slots, start.frames), names));
    let sealed = (0..start.frames).map(|number| client.sva.kind(frame(number))).collect();
    let mut run = Run { client, world, scratch: vec![0; count(start.frames)], sealed };
    player::set(Some(Rc::clone(&run.client) as _));
    let result = run.check().and_then(|()| {
        for (step, number) in steps.iter().zip(1u32..) {
            begun();
            run.step(step).map_err(|text| format!("step {number}, {:?}: {text}", step.op))?;
            coverage.count(&run.world.notes);
        }
        Ok(())
    });
    // What is left is dropped where nobody listens.
    player::set(None);
    result
}

impl<P: PagingMode> Run<P> {
    fn step(&mut self, step: &Step) -> Checked {
        let machine = self.client.sva.machine();
        for (number, page, nth) in &step.fills {
            machine.fill_nth(cpu(*number), Page::new(*page).expect("a page"), *nth);
        }
        self.world.step(step);
        self.client.begin(&self.world.skipped);
        machine.set_interrupts(cpu(step.cpu), step.interrupts);
        machine.as_cpu(cpu(step.cpu), || self.client.perform(&step.op));
        machine.set_interrupts(cpu(step.cpu), true);
        if let Some(text) = self.client.wrong.borrow_mut().take() {
            return Err(text);
        }
        self.compare(&self.client.notes.borrow())?;
        self.check()
    }

    fn compare(&self, seen: &[Note]) -> Checked {
        let wanted = &self.world.notes;
        match seen.iter().zip(wanted).position(|(seen, wanted)| seen != wanted) {
            Some(place) => {
                Err(format!("note {place} is {:?}, not {:?}", short(&seen[place]), short(&wanted[place])))
            }
            None if seen.len() == wanted.len() => Ok(()),
            None => Err(format!("seen {seen:?}, not {wanted:?}")),
        }
    }

    /// All that must hold between calls.
    fn check(&mut self) -> Checked {
        self.check_frames()?;
        self.check_cpus()?;
        self.check_stacks()?;
        let summary = self.client.sva.audit_with(&mut self.scratch).map_err(|finding| finding.to_string())?;
        let stacks = self.world.of_kind(Kind::Stack).count();
        let roots = 1 + self.world.of_kind(Kind::Root).count();
        if (count(summary.stacks), count(summary.roots)) != (stacks, roots) {
            return Err(format!("{summary:?}, not {stacks} and {roots}"));
        }
        Ok(())
    }

    /// Kinds, and how many CPUs and threads hold each root: invariant 8.
    fn check_frames(&self) -> Checked {
        use sva_os::frame::Kind as Typed;
        for (number, kind) in (0u32..).zip(&self.world.kinds) {
            let found = self.client.sva.kind(frame(number));
            let wanted = match kind {
                Kind::None => Typed::None,
                Kind::Sealed => self.sealed[count(number)],
                Kind::Free => Typed::Free,
                Kind::UserData => Typed::UserData,
                Kind::Root => Typed::Root,
                Kind::Stack => Typed::Stack,
            };
            if found != wanted {
                return Err(format!("frame {number} is {found:?}, not {wanted:?}"));
            }
        }
        for root in self.world.of_kind(Kind::Root) {
            let (mappings, loads) = (self.client.sva.mappings(frame(root)), self.world.loads(root));
            if (mappings.total, mappings.writable) != (loads, loads) {
                return Err(format!("root {root} has {mappings:?}, not {loads}"));
            }
        }
        Ok(())
    }

    /// Invariants 13, 15 and 18.
    fn check_cpus(&self) -> Checked {
        let (sva, machine) = (&self.client.sva, self.client.sva.machine());
        for (number, wanted) in (0u32..).zip(&self.world.cpus) {
            let wrong = |what: &str| Err(format!("CPU {number}: {what}"));
            let slot = self.world.slot(wanted.current);
            if machine.root_of(cpu(number)).number() != wanted.root {
                return wrong("CR3 names another root");
            }
            let name = Name { number: wanted.current, generation: slot.generation };
            let runs = machine.as_cpu(cpu(number), || sva.current_thread());
            if format!("{runs:?}") != format!("ThreadId({}, {})", name.number, name.generation) {
                return wrong(&format!("runs {runs:?}, not {name:?}"));
            }
            if !(0..3).all(|place| machine.tls_descriptor(cpu(number), place) == slot.tls[place]) {
                return wrong("its TLS descriptors are another thread's");
            }
            if machine.fp_registers(cpu(number)).is_some() {
                return wrong("TS is clear in ring 0");
            }
            if !machine.interrupts_enabled(cpu(number)) {
                return wrong("IF is clear");
            }
        }
        for (number, slot) in (0u32..).zip(&self.world.slots) {
            let on = self.world.cpus.iter().filter(|cpu| cpu.current == number).count();
            assert_eq!(on, usize::from(matches!(slot.state, State::Running | State::Idle)), "the model");
        }
        Ok(())
    }

    /// The window for stacks: each mapped where it should be, guards empty, and no CPU knows better.
    fn check_stacks(&self) -> Checked {
        let (sva, world) = (&self.client.sva, &self.world);
        let cpus = world.start.cpus;
        let leads_to = |number: u32| {
            let (slot, place) = ((number - WINDOW) / SLOT_PAGES, SLOT_PAGES - 1 - number % SLOT_PAGES);
            world.slot(slot).frames.get(count(place)).copied()
        };
        for number in WINDOW + cpus * SLOT_PAGES..WINDOW + world.start.slots * SLOT_PAGES {
            let leaf = sva.translate(sva.sealed_root(), page(number)).expect("a root");
            let found = leaf.map(|leaf| leaf.frame().number());
            if found != leads_to(number) || leaf.is_some_and(|leaf| !leaf.write()) {
                return Err(format!("page {number:#x} of the window for stacks is {leaf:?}"));
            }
        }
        assert!(world.slots.iter().all(|slot| slot.frames.len() <= count(STACK_PAGES)), "guards");
        for number in 0..cpus {
            for (page, translation) in sva.machine().cached(cpu(number)) {
                let own = WINDOW + cpus * SLOT_PAGES..WINDOW + world.start.slots * SLOT_PAGES;
                let leads = translation.frame.number();
                if own.contains(&page.number()) && leads_to(page.number()) != Some(leads) {
                    return Err(format!("CPU {number} remembers that page {page} is frame {leads}"));
                }
            }
        }
        Ok(())
    }
}

/// A note without the bytes that nobody reads.
fn short(note: &Note) -> String {
    let text = format!("{note:?}");
    if text.len() > 2000 { format!("{}...", &text[..2000]) } else { text }
}
