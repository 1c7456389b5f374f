//! A world with one address space in it, and how to say that a call is refused.

use crate::common::world::{FIRST_FREE, frame, page, world, world_with_threads};
use crate::hardware::isolated;
use crate::ram::Table;
use core::fmt::Debug;
use std::sync::Arc;
use sva_os::address::{Frame, Page, PhysAddr, VirtAddr};
use sva_os::frame::Kind;
use sva_os::machine::{Cpu, Emulated, Machine as _, Word};
use sva_os::mmu::{Geometry, PagingMode, Rights};
use sva_os::{Sva, Violation};

/// Makes of each generic function a module of tests: one for each paging mode, and, where it
/// takes a `Live`, one for each of these too.
macro_rules! attacks {
    () => {};
    ($(#[$doc:meta])* fn $name:ident<$mode:ident>() $body:block $($rest:tt)*) => {
        $(#[$doc])*
        fn $name<$mode: sva_os::mmu::PagingMode>() $body
        mod $name {
            #[test]
            fn two_level() { super::$name::<sva_os::mmu::TwoLevel>() }
            #[test]
            fn pae() { super::$name::<sva_os::mmu::Pae>() }
        }
        attacks! { $($rest)* }
    };
    ($(#[$doc:meta])* fn $name:ident<$mode:ident>($live:ident: Live) $body:block $($rest:tt)*) => {
        $(#[$doc])*
        fn $name<$mode: sva_os::mmu::PagingMode>($live: $crate::stage::Live) $body
        mod $name {
            use $crate::stage::Live;
            mod two_level {
                use super::*;
                #[test]
                fn idle() { super::super::$name::<sva_os::mmu::TwoLevel>(Live::Nowhere) }
                #[test]
                fn live_here() { super::super::$name::<sva_os::mmu::TwoLevel>(Live::Here) }
                #[test]
                fn live_elsewhere() { super::super::$name::<sva_os::mmu::TwoLevel>(Live::Elsewhere) }
            }
            mod pae {
                use super::*;
                #[test]
                fn idle() { super::super::$name::<sva_os::mmu::Pae>(Live::Nowhere) }
                #[test]
                fn live_here() { super::super::$name::<sva_os::mmu::Pae>(Live::Here) }
                #[test]
                fn live_elsewhere() { super::super::$name::<sva_os::mmu::Pae>(Live::Elsewhere) }
            }
        }
        attacks! { $($rest)* }
    };
}

/// The machine that all attacks run on.
pub(crate) type Machine<P> = Sva<Emulated<P>>;

/// Where the stage's address space is in use when it is attacked. The attacker is CPU 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Live {
    Nowhere,
    Here,
    Elsewhere,
}

/// Frames of RAM of a stage.
pub(crate) const RAM: u32 = 96;
/// Its CPUs.
pub(crate) const CPUS: u32 = 3;
/// Its slots for stacks, where it has threads.
pub(crate) const SLOTS: u32 = 8;
/// Frames from here on are free on a new stage; those below `FIRST_FREE` are the kernel's.
pub(crate) const SPARE: u32 = FIRST_FREE + 8;

/// CPU `number`.
pub(crate) fn cpu(number: u32) -> Cpu {
    Cpu::new(number).expect("a CPU")
}

/// All CPUs of a stage.
pub(crate) fn cpus() -> impl Iterator<Item = Cpu> {
    (0..CPUS).map(cpu)
}

/// An address space with one page, mapped for reading and writing.
pub(crate) struct Stage<P: PagingMode> {
    pub(crate) sva: Arc<Machine<P>>,
    pub(crate) live: Live,
    pub(crate) root: Frame,
    /// The tables on the way to the page, the highest first; the last has the leaf.
    pub(crate) tables: Vec<Frame>,
    /// The frame that the page translates to. It begins with [`Stage::CONTENT`].
    pub(crate) data: Frame,
    pub(crate) page: Page,
    pub(crate) frame_table: Table,
}

impl<P: PagingMode> Stage<P> {
    pub(crate) const CONTENT: u32 = 0xfeed_face;
    /// The entry of the leaf table that maps the page.
    pub(crate) const INDEX: u32 = 3;

    /// The stage, its address space in use as `live` says, and remembered there.
    pub(crate) fn new(live: Live) -> Self {
        Self::at_page(live, 0x4_0403)
    }

    /// As `new`, with the page somewhere else in the user window.
    pub(crate) fn at_page(live: Live, number: u32) -> Self {
        Self::in_world(world::<P>(CPUS, RAM), live, number)
    }

    /// As `new`, in a world with [`SLOTS`] slots for stacks.
    pub(crate) fn with_threads(live: Live) -> Self {
        Self::in_world(world_with_threads(CPUS, RAM, SLOTS), live, 0x4_0403)
    }

    fn in_world(sva: Machine<P>, live: Live, number: u32) -> Self {
        let sva = Arc::new(sva);
        let frame_table = Table::of(&sva);
        let root = frame(FIRST_FREE);
        let data = frame(FIRST_FREE + 1);
        let page = page(number);
        sva.declare_root(root).unwrap();
        let mut tables = Vec::new();
        let mut parent = root;
        for level in (1..P::LEVELS).rev() {
            let table = frame(FIRST_FREE + 1 + u32::from(P::LEVELS - level));
            sva.declare_table(table, level).unwrap();
            sva.link(parent, P::index(level + 1, page), table).unwrap();
            tables.push(table);
            parent = table;
        }
        sva.retype(data, Kind::UserData).unwrap();
        sva.write_bytes(data, 0, &Self::CONTENT.to_le_bytes()).unwrap();
        sva.map(parent, P::index(1, page), data, Rights::ReadWrite).unwrap();
        let stage = Self { sva, live, root, tables, data, page, frame_table };
        if let Some(user) = stage.user() {
            stage.on(user, || stage.sva.load_root(root)).unwrap();
            stage.touch(user);
        }
        stage.sound();
        stage
    }

    /// The CPU that uses the address space, if one does.
    pub(crate) fn user(&self) -> Option<Cpu> {
        match self.live {
            Live::Nowhere => None,
            Live::Here => Some(cpu(0)),
            Live::Elsewhere => Some(cpu(1)),
        }
    }

    /// Runs `body` as `cpu`.
    pub(crate) fn on<R>(&self, cpu: Cpu, body: impl FnOnce() -> R) -> R {
        self.sva.machine().as_cpu(cpu, body)
    }

    /// Makes `cpu` remember the page and every table on the way, as after a store.
    pub(crate) fn touch(&self, cpu: Cpu) {
        let walks = self.sva.machine().walks(cpu, self.page);
        assert!(walks.iter().any(|walk| self.sva.machine().fill(cpu, &walk.for_write())));
        assert!(self.sva.machine().cached_count(cpu) > 0);
        assert!(self.sva.machine().structure_count(cpu) > 0);
    }

    /// Lets every CPU walk to the page in every way that it can, and remember what it passes.
    pub(crate) fn remember_all(&self) {
        for cpu in cpus() {
            for walk in self.sva.machine().walks(cpu, self.page) {
                self.sva.machine().fill(cpu, &walk.for_write());
            }
        }
    }

    /// Loads the root on every CPU, and lets each remember the page.
    pub(crate) fn everywhere(&self) {
        for cpu in cpus() {
            self.on(cpu, || self.sva.load_root(self.root)).unwrap();
            self.touch(cpu);
        }
    }

    /// The table that has the page's leaf.
    pub(crate) fn leaf_table(&self) -> Frame {
        *self.tables.last().expect("a table of leaves")
    }

    /// The table, or the root, that links the leaf table, and the entry there.
    pub(crate) fn leaf_parent(&self) -> (Frame, u32) {
        let parent = self.tables.iter().rev().nth(1).copied().unwrap_or(self.root);
        (parent, P::index(2, self.page))
    }

    /// The root's entry that leads to the page.
    pub(crate) fn root_index(&self) -> u32 {
        P::index(P::LEVELS, self.page)
    }

    /// The address of the page.
    pub(crate) fn address(&self) -> VirtAddr {
        self.page.start()
    }

    /// The `n`-th frame that is still free, below the library's own.
    pub(crate) fn spare(&self, n: u32) -> Frame {
        let spare = frame(SPARE + n);
        assert_eq!(self.sva.kind(spare), Kind::Free, "{spare} is not spare");
        spare
    }

    /// The `n`-th spare frame as user data.
    pub(crate) fn spare_data(&self, n: u32) -> Frame {
        let spare = self.spare(n);
        self.sva.retype(spare, Kind::UserData).unwrap();
        spare
    }

    /// The `n`-th spare frame as an empty table.
    pub(crate) fn spare_table(&self, n: u32, level: u8) -> Frame {
        let spare = self.spare(n);
        self.sva.declare_table(spare, level).unwrap();
        spare
    }

    /// An entry of a table as it stands in RAM.
    pub(crate) fn raw(&self, table: Frame, index: u32) -> u64 {
        raw_entry(&self.sva, table, index)
    }

    /// `call` answers `violation`, and nothing is changed.
    #[track_caller]
    pub(crate) fn refused<T: Debug>(
        &self,
        call: impl FnOnce(&Machine<P>) -> Result<T, Violation>,
        violation: Violation,
    ) {
        refused(&self.sva, call, violation);
    }

    /// Counts equal a recount, and no CPU can reach what it must not.
    #[track_caller]
    pub(crate) fn sound(&self) {
        sound(&self.sva);
    }
}

/// Counts equal a recount on every CPU, and no CPU can reach what it must not.
#[track_caller]
pub(crate) fn sound<P: PagingMode>(sva: &Machine<P>) {
    let machine = sva.machine();
    for number in 0..32 {
        let Some(cpu) = cpu_of(sva, number) else { break };
        if let Err(finding) = machine.as_cpu(cpu, || sva.audit()) {
            panic!("CPU {number}: {finding}");
        }
    }
    isolated(sva);
}

/// CPU `number` of the machine, or `None` if it has fewer.
pub(crate) fn cpu_of<P: PagingMode>(sva: &Machine<P>, number: u32) -> Option<Cpu> {
    Cpu::new(number).filter(|_| number < sva.machine().cpus())
}

/// An entry of a table as it stands in RAM.
pub(crate) fn raw_entry<P: PagingMode>(sva: &Machine<P>, table: Frame, index: u32) -> u64 {
    let bytes = <P::Raw as Word>::BYTES;
    let at = PhysAddr::new(table.start().get() + index * bytes);
    sva.machine().peek::<P::Raw>(at).into()
}

/// `call` answers `violation`, and nothing is changed.
#[track_caller]
pub(crate) fn refused<P: PagingMode, T: Debug>(
    sva: &Machine<P>,
    call: impl FnOnce(&Machine<P>) -> Result<T, Violation>,
    violation: Violation,
) {
    let before = sva.machine().digest();
    let answer = call(sva);
    assert_eq!(answer.err(), Some(violation));
    assert!(sva.machine().digest() == before, "a call that answered {violation:?} changed something");
}
