use super::fixture::*;
use super::*;
use crate::address::FrameRange;
use crate::io::Io;
use crate::machine::Machine;
use crate::mmu::{Pae, TwoLevel};
use static_assertions::assert_impl_all;

assert_impl_all!(Emulated<TwoLevel>: Send, Sync, Clone, fmt::Debug);
assert_impl_all!(Emulated<Pae>: Send, Sync, Clone, fmt::Debug);

/// A machine with something everywhere.
fn busy() -> Emulated<Pae> {
    let machine = Emulated::new(&Config::new(64, 2));
    machine.poke(quad(1, 1), entry(2, P));
    machine.poke(quad(2, 1), entry(3, WU));
    machine.poke(quad(3, 1), entry(4, WU));
    load_root(&machine, BOOT, 1);
    assert!(machine.fill_nth(BOOT, page(0x4_0201), 0));
    machine
}

#[test]
fn power_on_leaves_global_and_local_translations() {
    let machine = Emulated::<TwoLevel>::new(&Config::new(16, 3));
    let left = machine.cached(cpu(2));
    assert!(left.iter().any(|(_, translation)| translation.global));
    assert!(left.iter().any(|(_, translation)| !translation.global));
    assert!(left.iter().all(|(_, translation)| translation.frame.number() < 16));
    load_root(&machine, cpu(2), 1);
    assert!(machine.cached(cpu(2)).iter().all(|(_, translation)| translation.global));
    assert!(machine.cached_count(cpu(2)) > 0);
    machine.reset_translation_caches(cpu(2));
    assert_eq!(machine.cached_count(cpu(2)), 0);
    assert_eq!(machine.cached(BOOT), left);
}

#[test]
fn a_copy_lives_its_own_life() {
    let machine = busy();
    let copy = machine.clone();
    assert_eq!(copy.digest(), machine.digest());
    assert_eq!(copy.cached(BOOT), machine.cached(BOOT));
    assert_eq!(copy.structures(BOOT), machine.structures(BOOT));
    assert_eq!(copy.root_registers(BOOT), machine.root_registers(BOOT));
    assert_eq!(copy.counters(BOOT), machine.counters(BOOT));
    let before = machine.digest();
    copy.poke(quad(9, 9), 9u64);
    load_root(&copy, BOOT, 5);
    copy.set_interrupts(OTHER, false);
    assert_eq!(machine.digest(), before);
    assert_eq!(machine.peek::<u64>(quad(9, 9)), 0);
    assert_eq!(machine.root_of(BOOT), frame(1));
    assert!(machine.interrupts_enabled(OTHER));
}

#[test]
fn the_digest_knows_every_part() {
    let machine = busy();
    let before = machine.digest();
    type Change<'c> = &'c dyn Fn(&Emulated<Pae>);
    let changes: [(&str, Change<'_>); 12] = [
        ("RAM", &|machine| machine.poke(quad(9, 9), 1u64)),
        ("CR3", &|machine| load_root(machine, OTHER, 5)),
        ("IF", &|machine| machine.set_interrupts(OTHER, false)),
        ("TLB", &|machine| _ = machine.evict(BOOT, 0)),
        ("TLB of another", &|machine| _ = machine.evict(OTHER, 0)),
        ("structures", &|machine| _ = machine.evict_structure(BOOT, 0)),
        ("devices", &|machine| machine.devices().write(BOOT, Register::Port(1), 1, 1)),
        ("claim", &|machine| _ = machine.claim()),
        ("ports", &|machine| core::mem::forget(Io::new(machine).claim(0x3f8, 8))),
        ("other ports", &|machine| core::mem::forget(Io::new(machine).claim(0x2f8, 8))),
        // SAFETY: the root is complete as far as this test goes.
        ("CR4", &|machine| machine.as_cpu(OTHER, || unsafe { machine.take_over(Frame::ZERO) })),
        // SAFETY: nothing is made of the pointer.
        ("loans", &|machine| _ = unsafe { machine.lend(FrameRange::new(frame(9), 1).unwrap()) }),
    ];
    let mut digests = std::vec![before];
    for (part, change) in changes {
        let copy = machine.clone();
        change(&copy);
        assert!(!digests.contains(&copy.digest()), "{part}");
        digests.push(copy.digest());
    }
    // Reading, asking, counting and forgetting nothing change nothing.
    machine.outcomes(BOOT, page(0x4_0201));
    machine.walks(BOOT, page(0x4_0201));
    machine.reachable(BOOT, all_pages());
    machine.reset_counters();
    machine.defer_interrupts(OTHER, 3);
    assert!(!machine.evict(BOOT, 1000));
    assert_eq!(machine.digest(), before);
}

#[test]
fn the_digest_does_not_know_the_order_of_caches() {
    let (one, other) = (busy(), busy());
    for target in [page(0x4_0201), page(0x4_0202)] {
        one.poke(quad(3, target.number() & 0x1ff), entry(4, WU | A));
        other.poke(quad(3, target.number() & 0x1ff), entry(4, WU | A));
    }
    load_root(&one, OTHER, 1);
    load_root(&other, OTHER, 1);
    for number in [0x4_0201, 0x4_0202] {
        assert!(one.fill_nth(OTHER, page(number), 0));
    }
    for number in [0x4_0202, 0x4_0201] {
        assert!(other.fill_nth(OTHER, page(number), 0));
    }
    assert_ne!(one.cached(OTHER), other.cached(OTHER));
    assert_eq!(one.digest(), other.digest());
}

#[test]
#[should_panic(expected = "lent")]
fn nobody_looks_at_what_is_lent() {
    let machine = busy();
    // SAFETY: nothing is made of the pointer.
    _ = unsafe { machine.lend(FrameRange::new(frame(4), 1).unwrap()) };
    machine.peek::<u8>(PhysAddr::new(0x4000));
}

#[test]
#[should_panic(expected = "there is no CPU 2")]
fn nobody_is_a_cpu_that_is_not_there() {
    busy().as_cpu(cpu(2), || ());
}
