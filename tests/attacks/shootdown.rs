//! The races of C6 to C8 and T7: what CPUs remember while it changes.

use crate::clock::{grow_old, point_hand_at};
use crate::hardware::{all_fault, caches_isolated};
use crate::race::{Body, Scene, race};
use crate::stage::{Live, Machine, Stage, cpus};
use sva_os::frame::Kind;
use sva_os::mmu::{PagingMode, Rights};

/// The worst that both MMUs can do at each step: walk in every way and remember, as for a store. And
/// what they remember must never lead to where it may not.
fn remember_everything<P: PagingMode>(sva: &Machine<P>, scene: Scene) {
    for cpu in cpus() {
        for walk in sva.machine().walks(cpu, scene.page) {
            sva.machine().fill(cpu, &walk.for_write());
        }
    }
    caches_isolated(scene.frame_table, sva);
}

/// What the page translates to, for every CPU that might walk: a user's frame, never with the
/// rights that nobody asked for it.
fn whole_or_nothing<P: PagingMode>(sva: &Machine<P>, scene: Scene) {
    for cpu in cpus() {
        for walk in sva.machine().walks(cpu, scene.page) {
            let Some(to) = walk.translation() else { continue };
            let first = to.frame.number() == crate::common::world::FIRST_FREE + 1;
            // The stage's own frame: to read and write, or to read. The other: to read, perhaps to execute.
            assert!(!(P::NO_EXECUTE && first && to.executable), "{to:?}");
            assert!(first || !to.writable, "{to:?}");
        }
    }
    caches_isolated(scene.frame_table, sva);
}

attacks! {
    /// The kind changes while the page is unmapped, and both CPUs remember the page at every step.
    /// A flush that was done before the entry was gone does not count.
    fn attack_c06_a_flush_before_taking_the_kind_loses<P>() {
        for live in [Live::Here, Live::Elsewhere] {
            let stage = Stage::<P>::new(live);
            let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
            let unmap = |sva: &Machine<P>| sva.unmap(table, index).map(drop);
            let retype = |sva: &Machine<P>| {
                sva.flush();
                sva.retype(stage.data, Kind::KernelData)
            };
            race(&stage, 2, Some(remember_everything), [&unmap, &retype], |sva, answers| {
                if answers[1].is_ok() {
                    cpus().for_each(|cpu| all_fault(sva, cpu, stage.address()));
                }
            });
        }
    }

    /// A flush that ticks late, or publishes early, would hide a drop that came in between.
    fn attack_c07_a_drop_in_the_midst_of_a_flush_is_seen<P>() {
        for live in [Live::Here, Live::Elsewhere] {
            let stage = Stage::<P>::new(live);
            let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
            let flush = |sva: &Machine<P>| {
                sva.flush();
                Ok(())
            };
            let unmap_and_retype = |sva: &Machine<P>| {
                sva.unmap(table, index)?;
                sva.retype(stage.data, Kind::KernelData)
            };
            for bodies in [[&flush as Body<'_, P>, &unmap_and_retype], [&unmap_and_retype, &flush]] {
                race(&stage, 2, Some(remember_everything), bodies, |sva, answers| {
                    assert_eq!(answers, [Ok(()); 2]);
                    cpus().for_each(|cpu| all_fault(sva, cpu, stage.address()));
                });
            }
        }
    }

    /// A load of CR3 is a flush too.
    fn attack_c07_a_drop_in_the_midst_of_a_load_is_seen<P>() {
        let stage = Stage::<P>::new(Live::Here);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        let load = |sva: &Machine<P>| sva.load_root(stage.root);
        let unmap_and_retype = |sva: &Machine<P>| {
            sva.unmap(table, index)?;
            sva.retype(stage.data, Kind::KernelData)
        };
        race(&stage, 2, Some(remember_everything), [&load, &unmap_and_retype], |sva, answers| {
            assert_eq!(answers, [Ok(()); 2]);
            cpus().for_each(|cpu| all_fault(sva, cpu, stage.address()));
        });
    }

    /// A table is unlinked and removed while the other CPU walks through it at every step.
    fn attack_c07_a_table_removed_in_the_midst_of_walks<P>() {
        for live in [Live::Here, Live::Elsewhere] {
            let stage = Stage::<P>::new(live);
            stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
            let (parent, index) = stage.leaf_parent();
            let table = stage.leaf_table();
            let remove = |sva: &Machine<P>| {
                sva.unlink(parent, index)?;
                sva.remove_table(table)?;
                sva.retype(table, Kind::UserData)
            };
            let flush = |sva: &Machine<P>| {
                sva.flush();
                Ok(())
            };
            race(&stage, 1, Some(remember_everything), [&remove, &flush], |sva, answers| {
                assert_eq!(answers, [Ok(()); 2]);
                cpus().for_each(|cpu| all_fault(sva, cpu, stage.address()));
            });
        }
    }

    /// The clock's hand at an old stamp, while the frame is mapped and dropped again.
    fn attack_c08_the_hand_against_a_new_drop<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        stage.sva.unmap(table, index).unwrap();
        grow_old(&stage, (1 << 29) + (1 << 27));
        point_hand_at(&stage, stage.data, 0);
        let flush = |sva: &Machine<P>| {
            sva.flush();
            Ok(())
        };
        let again = |sva: &Machine<P>| {
            sva.map(table, index, stage.data, Rights::ReadWrite)?;
            sva.unmap(table, index)?;
            sva.retype(stage.data, Kind::KernelData)
        };
        race(&stage, 2, Some(remember_everything), [&flush, &again], |sva, answers| {
            assert_eq!(answers, [Ok(()); 2]);
            cpus().for_each(|cpu| all_fault(sva, cpu, stage.address()));
        });
    }

    /// An entry of two words is never seen half written: at every step it is one of those that were
    /// asked for, whole.
    fn attack_t07_an_entry_is_never_half_written<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        let other = stage.spare_data(0);
        let first = |sva: &Machine<P>| sva.replace(table, index, other, Rights::ReadExecute).map(drop);
        let second = |sva: &Machine<P>| sva.protect(table, index, Rights::Read).map(drop);
        race(&stage, 2, Some(whole_or_nothing), [&first, &second], |sva, answers| {
            assert_eq!(answers, [Ok(()); 2]);
            assert_eq!(sva.mappings(other).total, 1);
        });
    }
}
