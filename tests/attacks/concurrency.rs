//! X1, X2, X4, X6: two CPUs at one frame, one entry, one table.
//!
//! X4, arguments that another CPU changes after the check, cannot be said: every argument is a `Copy`
//! value or lies behind a `&` of a type without interior mutability, which nobody may write meanwhile.

use crate::race::{Body, one_wins, race};
use crate::stage::{Live, Machine, Stage, cpu};
use std::sync::Mutex;
use sva_os::address::{Frame, PhysAddr};
use sva_os::frame::Kind;
use sva_os::mmu::{Entry, PagingMode, Rights};
use sva_os::{Progress, Violation};

const INDEX: u32 = 9;

/// All bytes of `frame`, as they stand in RAM.
fn bytes<P: PagingMode>(sva: &Machine<P>, frame: Frame) -> Vec<u8> {
    let at = |offset| PhysAddr::new(frame.start().get() + offset);
    (0..4096).map(|offset| sva.machine().peek::<u8>(at(offset))).collect()
}

attacks! {
    /// The frame is user data that nothing maps: it becomes a table, or gets a writable mapping.
    fn attack_x01_map_against_free_and_declare<P>() {
        for rights in [Rights::Read, Rights::ReadWrite] {
            let stage = Stage::<P>::new(Live::Elsewhere);
            let (table, contested) = (stage.leaf_table(), stage.spare_data(0));
            let map = |sva: &Machine<P>| sva.map(table, INDEX, contested, rights);
            let declare = |sva: &Machine<P>| {
                sva.retype(contested, Kind::Free)?;
                sva.declare_table(contested, 1)
            };
            race(&stage, 3, None, [&map, &declare], |sva, answers| {
                let mapped = one_wins(answers);
                let kind = if mapped { Kind::UserData } else { Kind::Table1 };
                assert_eq!(sva.kind(contested), kind);
                assert_eq!(sva.mappings(contested).total, u32::from(mapped));
            });
        }
    }

    /// The frame is free: one CPU makes it data and maps it, the other makes it a table.
    fn attack_x01_retype_and_map_against_declare<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, contested) = (stage.leaf_table(), stage.spare(0));
        let map = |sva: &Machine<P>| {
            sva.retype(contested, Kind::UserData)?;
            sva.map(table, INDEX, contested, Rights::ReadWrite)
        };
        let table_of_leaves = |sva: &Machine<P>| sva.declare_table(contested, 1);
        let root = |sva: &Machine<P>| sva.declare_root(contested);
        // A root takes hundreds of steps, each of which is a place for a preemption.
        for (preemptions, declare) in [(3, &table_of_leaves as Body<'_, P>), (1, &root)] {
            race(&stage, preemptions, None, [&map, declare], |sva, answers| {
                let mapped = one_wins(answers);
                assert_eq!(sva.kind(contested) == Kind::UserData, mapped);
            });
        }
    }

    fn attack_x01_two_cpus_declare_one_frame<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let contested = stage.spare(0);
        let table = |sva: &Machine<P>| sva.declare_table(contested, 1);
        let root = |sva: &Machine<P>| sva.declare_root(contested);
        race(&stage, 1, None, [&table, &root], |sva, answers| {
            let kind = if one_wins(answers) { Kind::Table1 } else { Kind::Root };
            assert_eq!(sva.kind(contested), kind);
        });
        race(&stage, 3, None, [&table, &table], |sva, answers| {
            one_wins(answers);
            assert_eq!(sva.kind(contested), Kind::Table1);
        });
    }

    /// A copy on write against a free: the page is protected for writing, or the frame is gone.
    fn attack_x01_protect_against_unmap_and_free<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        stage.sva.protect(table, index, Rights::Read).unwrap();
        let protect = |sva: &Machine<P>| sva.protect(table, index, Rights::ReadWrite).map(drop);
        let free = |sva: &Machine<P>| {
            sva.unmap(table, index)?;
            sva.retype(stage.data, Kind::Free)
        };
        race(&stage, 3, None, [&protect, &free], |sva, answers| {
            // A right to write that is about to be given holds the frame for a moment.
            assert!(matches!(answers[1], Ok(()) | Err(Violation::FrameInUse(_))), "{answers:?}");
            assert!(matches!(answers[0], Ok(()) | Err(Violation::EntryEmpty(_))), "{answers:?}");
            assert_eq!(sva.mappings(stage.data).total, 0);
        });
    }

    fn attack_x02_two_cpus_replace_one_entry<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        let (one, two) = (stage.spare_data(0), stage.spare_data(1));
        let first = |sva: &Machine<P>| sva.replace(table, index, one, Rights::Read).map(drop);
        let second = |sva: &Machine<P>| sva.replace(table, index, two, Rights::ReadWrite).map(drop);
        race(&stage, 3, None, [&first, &second], |sva, answers| {
            assert_eq!(answers, [Ok(()); 2]);
            assert_eq!(sva.mappings(stage.data).total, 0, "released once");
            let last = sva.translate(stage.root, stage.page).unwrap().unwrap().frame();
            assert!(last == one || last == two);
            assert_eq!(sva.mappings(one).total + sva.mappings(two).total, 1);
        });
    }

    fn attack_x02_two_cpus_unmap_one_entry<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        let unmap = |sva: &Machine<P>| sva.unmap(table, index).map(drop);
        race(&stage, 3, None, [&unmap, &unmap], |sva, answers| {
            let first = one_wins(answers);
            assert_eq!(answers[usize::from(first)], Err(Violation::EntryEmpty(index)));
            assert_eq!(sva.mappings(stage.data).total, 0);
        });
    }

    fn attack_x02_two_cpus_map_one_entry<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, other) = (stage.leaf_table(), stage.spare_data(0));
        let first = |sva: &Machine<P>| sva.map(table, INDEX, stage.data, Rights::ReadWrite);
        let second = |sva: &Machine<P>| sva.map(table, INDEX, other, Rights::ReadExecute);
        race(&stage, 3, None, [&first, &second], |sva, answers| {
            let first = one_wins(answers);
            assert_eq!(answers[usize::from(first)], Err(Violation::EntryPresent(INDEX)));
            assert_eq!(sva.mappings(other).total, u32::from(!first));
            assert_eq!(sva.mappings(stage.data).total, 1 + u32::from(first));
        });
    }

    /// Both take the right to write away, both give it, and one each.
    fn attack_x02_two_cpus_protect_one_entry<P>() {
        for (from, to) in [
            (Rights::ReadWrite, [Rights::Read, Rights::Read]),
            (Rights::Read, [Rights::ReadWrite, Rights::ReadWriteExecute]),
            (Rights::ReadWrite, [Rights::Read, Rights::ReadWrite]),
            (Rights::Read, [Rights::ReadExecute, Rights::ReadWrite]),
        ] {
            let stage = Stage::<P>::new(Live::Elsewhere);
            let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
            stage.sva.protect(table, index, from).unwrap();
            let first = |sva: &Machine<P>| sva.protect(table, index, to[0]).map(drop);
            let second = |sva: &Machine<P>| sva.protect(table, index, to[1]).map(drop);
            race(&stage, 2, None, [&first, &second], |sva, answers| {
                assert_eq!(answers, [Ok(()); 2]);
                let Ok(Entry::Leaf(leaf)) = sva.read_entry(table, index) else { panic!("no leaf") };
                assert_eq!(sva.mappings(stage.data).writable, u32::from(leaf.write()));
                assert!(to.iter().any(|rights| rights.write() == leaf.write()));
            });
        }
    }

    fn attack_x02_replace_against_unmap_and_protect<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        let other = stage.spare_data(0);
        let replace = |sva: &Machine<P>| sva.replace(table, index, other, Rights::Read).map(drop);
        let unmap = |sva: &Machine<P>| sva.unmap(table, index).map(drop);
        race(&stage, 3, None, [&replace, &unmap], |sva, answers| {
            assert_eq!(answers[1], Ok(()));
            assert!(matches!(answers[0], Ok(()) | Err(Violation::EntryEmpty(_))));
            assert_eq!(sva.mappings(other).total + sva.mappings(stage.data).total, 0);
        });
        let protect = |sva: &Machine<P>| sva.protect(table, index, Rights::ReadWriteExecute).map(drop);
        race(&stage, 3, None, [&replace, &protect], |sva, answers| {
            assert_eq!(answers, [Ok(()); 2]);
            assert_eq!((sva.mappings(other).total, sva.mappings(stage.data).total), (1, 0));
        });
    }

    fn attack_x02_two_cpus_link_one_table_or_one_entry<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (one, two) = (stage.spare_table(0, P::LEVELS - 1), stage.spare_table(1, P::LEVELS - 1));
        let index = (stage.root_index() + 1) % 3;
        let link = |root: Frame, table: Frame| move |sva: &Machine<P>| sva.link(root, index, table);
        race(&stage, 2, None, [&link(stage.root, one), &link(stage.root, two)], |sva, answers| {
            let first = one_wins(answers);
            assert_eq!(answers[usize::from(first)], Err(Violation::EntryPresent(index)));
            assert_eq!(
                (sva.mappings(one).writable, sva.mappings(two).writable),
                (first.into(), (!first).into())
            );
        });
        let other = stage.spare(2);
        stage.sva.declare_root(other).unwrap();
        race(&stage, 2, None, [&link(stage.root, one), &link(other, one)], |sva, answers| {
            let first = one_wins(answers);
            assert_eq!(answers[usize::from(first)], Err(Violation::TableLinked(one)));
            assert_eq!(sva.mappings(one).writable, 1);
        });
    }

    fn attack_x02_two_cpus_unlink_one_entry<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (parent, index) = stage.leaf_parent();
        let unlink = |sva: &Machine<P>| sva.unlink(parent, index).map(drop);
        race(&stage, 2, None, [&unlink, &unlink], |sva, answers| {
            let first = one_wins(answers);
            assert_eq!(answers[usize::from(first)], Err(Violation::EntryEmpty(index)));
            assert_eq!(sva.mappings(stage.leaf_table()).writable, 0);
        });
    }

    /// Unlinked here while it is linked again there: its parent slot is that of the entry which has it.
    fn attack_x02_unlink_against_link_elsewhere<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (parent, index) = stage.leaf_parent();
        let table = stage.leaf_table();
        let free = index + 1;
        let unlink = |sva: &Machine<P>| sva.unlink(parent, index).map(drop);
        let link = |sva: &Machine<P>| sva.link(parent, free, table);
        race(&stage, 3, None, [&unlink, &link], |sva, answers| {
            assert_eq!(answers[0], Ok(()));
            assert!(matches!(answers[1], Ok(()) | Err(Violation::TableLinked(_))));
            assert_eq!(sva.mappings(table).writable, u32::from(answers[1].is_ok()));
        });
    }

    /// Two batches over one another: what each says it did is what it did.
    fn attack_x04_two_batches_in_one_table<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let (table, one, two) = (stage.leaf_table(), stage.spare_data(0), stage.spare_data(1));
        let results = Mutex::new([None::<Progress>; 2]);
        let batch = |slot: usize, first: u32, frame: Frame| {
            let results = &results;
            move |sva: &Machine<P>| {
                let progress = sva.map_batch(table, first, &[(frame, Rights::ReadWrite); 3]);
                results.lock().unwrap()[slot] = Some(progress);
                Ok(())
            }
        };
        race(&stage, 2, None, [&batch(0, INDEX, one), &batch(1, INDEX + 1, two)], |sva, _| {
            let [first, second] = results.lock().unwrap().map(|progress| progress.expect("a result"));
            assert_eq!(sva.mappings(one).writable, first.done);
            assert_eq!(sva.mappings(two).writable, second.done);
            for (progress, first) in [(first, INDEX), (second, INDEX + 1)] {
                let refused = (progress.done < 3).then_some(Violation::EntryPresent(first + progress.done));
                assert_eq!(progress.refused, refused);
            }
        });
    }

    fn attack_x06_map_into_a_table_against_its_removal<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let table = stage.spare_table(0, 1);
        let map = |sva: &Machine<P>| sva.map(table, 0, stage.data, Rights::ReadWrite);
        let remove = |sva: &Machine<P>| {
            sva.remove_table(table)?;
            sva.retype(table, Kind::UserData)
        };
        race(&stage, 3, None, [&map, &remove], |sva, answers| {
            let mapped = one_wins(answers);
            assert_eq!(sva.kind(table), if mapped { Kind::Table1 } else { Kind::UserData });
            assert_eq!(sva.mappings(stage.data).total, 1 + u32::from(mapped));
            assert!(mapped || bytes(sva, table).iter().all(|byte| *byte == 0), "an entry in user data");
        });
    }

    fn attack_x06_a_batch_into_a_table_against_its_removal<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let table = stage.spare_table(0, 1);
        let map = |sva: &Machine<P>| {
            sva.map_batch(table, 0, &[(stage.data, Rights::ReadWrite); 2]).complete().map(drop)
        };
        let remove = |sva: &Machine<P>| sva.remove_table(table);
        race(&stage, 3, None, [&map, &remove], |sva, answers| {
            let mapped = one_wins(answers);
            assert_eq!(sva.mappings(stage.data).total, 1 + 2 * u32::from(mapped));
        });
    }

    fn attack_x06_link_against_the_removal_of_either<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let root = stage.spare(0);
        stage.sva.declare_root(root).unwrap();
        let table = stage.spare_table(1, P::LEVELS - 1);
        let link = |sva: &Machine<P>| sva.link(root, 0, table);
        let remove_table = |sva: &Machine<P>| sva.remove_table(table);
        let remove_root = |sva: &Machine<P>| sva.remove_root(root);
        for remove in [&remove_table as Body<'_, P>, &remove_root] {
            race(&stage, 3, None, [&link, remove], |sva, answers| {
                let linked = one_wins(answers);
                assert_eq!(sva.kind(root) != Kind::Free && sva.kind(table) != Kind::Free, linked);
            });
        }
    }

    fn attack_x06_load_a_root_against_its_removal<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let root = stage.spare(0);
        stage.sva.declare_root(root).unwrap();
        let load = |sva: &Machine<P>| sva.load_root(root);
        let remove = |sva: &Machine<P>| {
            sva.remove_root(root)?;
            sva.retype(root, Kind::UserData)
        };
        race(&stage, 3, None, [&load, &remove], |sva, answers| {
            let loaded = one_wins(answers);
            assert_eq!(sva.machine().root_of(cpu(0)) == root, loaded);
        });
    }

    /// A walk by the library while the tree is taken down: it answers what was true, or nothing.
    fn attack_x06_translate_against_removal<P>() {
        let stage = Stage::<P>::new(Live::Nowhere);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        let (parent, slot) = stage.leaf_parent();
        let walk = |sva: &Machine<P>| {
            if let Some(leaf) = sva.translate(stage.root, stage.page)? {
                assert_eq!(leaf.frame(), stage.data);
            }
            Ok(())
        };
        let remove = |sva: &Machine<P>| {
            sva.unmap(table, index)?;
            sva.unlink(parent, slot)?;
            sva.remove_table(table)
        };
        race(&stage, 2, None, [&walk, &remove], |_, answers| {
            let answered =
                matches!(answers[0], Ok(()) | Err(Violation::FrameBusy(_) | Violation::NotATable(_)));
            assert!(answered, "{answers:?}");
            assert!(matches!(answers[1], Ok(()) | Err(Violation::TableNotEmpty(_))), "{answers:?}");
        });
    }

    /// No byte of a copy lands in what the frame became.
    fn attack_x06_a_copy_against_free_and_declare<P>() {
        let stage = Stage::<P>::new(Live::Elsewhere);
        let frame = stage.spare_data(0);
        let copy = |sva: &Machine<P>| sva.write_bytes(frame, 0, &[0xe7; 64]);
        let declare = |sva: &Machine<P>| {
            sva.retype(frame, Kind::Free)?;
            sva.declare_table(frame, 1)
        };
        race(&stage, 3, None, [&copy, &declare], |sva, _| {
            if sva.kind(frame) == Kind::Table1 {
                assert!(bytes(sva, frame).iter().all(|byte| *byte == 0), "an entry was copied in");
            }
        });
    }

    /// From one kind with bytes to another: the copy is whole or not there.
    fn attack_x06_a_copy_against_its_retype<P>() {
        for kind in [Kind::UserData, Kind::KernelData, Kind::Dma] {
            let stage = Stage::<P>::new(Live::Elsewhere);
            let frame = stage.spare_data(0);
            let copy = |sva: &Machine<P>| sva.write_bytes(frame, 0, &[0xe7; 64]);
            let retype = |sva: &Machine<P>| sva.retype(frame, kind);
            race(&stage, 3, None, [&copy, &retype], |sva, answers| {
                assert!(answers.iter().any(Result::is_ok), "{answers:?}");
                let written = bytes(sva, frame).iter().filter(|byte| **byte == 0xe7).count();
                assert!(written == 0 || written == 64);
                assert!(written == 0 || answers[0].is_ok(), "a refused copy wrote");
            });
        }
    }
}
