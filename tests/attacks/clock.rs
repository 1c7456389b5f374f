//! C8: the flush clock where it wraps, and stamps that grew old.

use crate::hardware::{all_fault, caches_isolated};
use crate::stage::{Live, Stage, cpu, cpus};
use sva_os::address::Frame;
use sva_os::frame::Kind;
use sva_os::mmu::{PagingMode, Rights};

/// Half of the circle, and the age from which on the clock's hand renews.
const CIRCLE: u32 = 1 << 31;
const OLD: u32 = 1 << 29;

/// Where the circle closes, where the clock word wraps, where the sign of a distance might flip.
const SEAMS: [u32; 6] = [CIRCLE, 0, 1 << 30, 3 << 30, 1 << 29, 7 << 28];

/// A stage whose clock stands `before` ticks before `seam`, every CPU's flush time with it.
fn stage_at<P: PagingMode>(live: Live, seam: u32, before: u32) -> Stage<P> {
    let stage = Stage::<P>::new(live);
    let word = seam.wrapping_sub(2 * before) | 1;
    stage.frame_table.start_clock(&stage.sva, word);
    stage.sound();
    stage
}

/// Unmaps the stage's page with every CPU remembering it. Answers the stamp.
fn unmap_remembered<P: PagingMode>(stage: &Stage<P>) -> u32 {
    stage.remember_all();
    stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
    stage.frame_table.stamp(&stage.sva, stage.data)
}

/// Gives the frame another kind: no CPU may reach it any more.
#[track_caller]
fn reuse<P: PagingMode>(stage: &Stage<P>) {
    stage.sva.retype(stage.data, Kind::KernelData).unwrap();
    cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
    caches_isolated(stage.frame_table, &stage.sva);
    stage.sound();
}

/// Sets the clock so that with the next tick its hand stands at `frame`, and it has moved on by
/// `ahead` or a little more.
pub(crate) fn point_hand_at<P: PagingMode>(stage: &Stage<P>, frame: Frame, ahead: u32) {
    let target = stage.frame_table.now(&stage.sva).wrapping_add(ahead);
    let hand = |word: u32| ((word.wrapping_add(2) & (CIRCLE - 1)) >> 1) & 0xf_ffff;
    let missing = frame.number().wrapping_sub(hand(target)) & 0xf_ffff;
    stage.frame_table.set_now(&stage.sva, target.wrapping_add(2 * missing));
}

/// Moves the clock on by `ahead`, in steps of which each CPU takes part with a flush.
pub(crate) fn grow_old<P: PagingMode>(stage: &Stage<P>, ahead: u32) {
    let steps = ahead.div_ceil(1 << 27);
    for _ in 0..steps {
        let now = stage.frame_table.now(&stage.sva);
        // Not where the hand meets the frame by chance.
        let word = now.wrapping_add(ahead / steps) & !(0x1f_ffff) | 1;
        stage.frame_table.set_now(&stage.sva, word);
        cpus().for_each(|cpu| stage.on(cpu, || stage.sva.flush()));
    }
}

attacks! {
    /// Unmapped before the seam, reused after it, with one CPU that flushed on neither side.
    fn attack_c08_a_stale_store_across_the_wrap_faults<P>(live: Live) {
        for seam in SEAMS {
            for before in 0..4 {
                for flushes in 0..6 {
                    let stage = stage_at::<P>(live, seam, before);
                    let stamp = unmap_remembered(&stage);
                    assert!(stamp & 1 == 1 && stamp < CIRCLE);
                    for _ in 0..flushes {
                        stage.on(cpu(2), || stage.sva.flush());
                    }
                    reuse(&stage);
                }
            }
        }
    }

    /// Stamps on both sides of the seam: the later one stays.
    fn attack_c08_the_later_of_two_drops_across_the_wrap_counts<P>() {
        for seam in SEAMS {
            for before in 0..4 {
                let stage = stage_at::<P>(Live::Elsewhere, seam, before);
                let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
                let first = unmap_remembered(&stage);
                for _ in 0..4 {
                    stage.on(cpu(2), || stage.sva.flush());
                }
                stage.sva.map(table, index, stage.data, Rights::ReadWrite).unwrap();
                let second = unmap_remembered(&stage);
                assert_eq!(second.wrapping_sub(first) & (CIRCLE - 1), 8);
                reuse(&stage);
            }
        }
    }

    /// Flushes before the seam count after it: nobody flushes again.
    fn attack_c08_a_flush_across_the_wrap_counts<P>() {
        for seam in SEAMS {
            for before in 0..4 {
                let stage = stage_at::<P>(Live::Elsewhere, seam, before);
                unmap_remembered(&stage);
                stage.sva.flush_all();
                stage.on(cpu(2), || stage.sva.flush());
                stage.sva.machine().reset_counters();
                reuse(&stage);
                assert!(cpus().all(|cpu| stage.sva.machine().counters(cpu).root_loads == 0));
            }
        }
    }

    /// A table across the wrap: unlinked before, walked by nobody after.
    fn attack_c08_a_table_removed_across_the_wrap_is_not_walked<P>(live: Live) {
        for seam in SEAMS {
            for before in 0..3 {
                let stage = stage_at::<P>(live, seam, before);
                stage.remember_all();
                stage.sva.unmap(stage.leaf_table(), Stage::<P>::INDEX).unwrap();
                let (parent, index) = stage.leaf_parent();
                let table = stage.sva.unlink(parent, index).unwrap();
                stage.on(cpu(2), || stage.sva.flush());
                stage.sva.remove_table(table).unwrap();
                stage.sva.retype(table, Kind::UserData).unwrap();
                stage.sva.write_bytes(table, 0, &[0x67; 4096]).unwrap();
                cpus().for_each(|cpu| all_fault(&stage.sva, cpu, stage.address()));
                stage.sound();
            }
        }
    }

    /// Of any age up to almost half the circle, a drop that one CPU has not flushed since is stale.
    fn attack_c08_an_old_drop_is_still_stale<P>() {
        for age in [2, 1 << 20, 1 << 27, 1 << 28, OLD, OLD + 2, OLD + (1 << 28), (1 << 30) - (1 << 10)] {
            for seam in SEAMS {
                let stage = stage_at::<P>(Live::Elsewhere, seam, 2);
                let stamp = unmap_remembered(&stage);
                let now = stage.frame_table.now(&stage.sva);
                stage.frame_table.set_now(&stage.sva, now.wrapping_add(age));
                assert_eq!(stage.frame_table.stamp(&stage.sva, stage.data), stamp);
                reuse(&stage);
            }
        }
    }

    /// Once it is older than a quarter of the circle, the hand makes a stamp clean.
    fn attack_c08_the_hand_renews_an_old_stamp<P>(live: Live) {
        for seam in SEAMS {
            let stage = stage_at::<P>(live, seam, 2);
            let stamp = unmap_remembered(&stage);
            grow_old(&stage, OLD + (1 << 27));
            assert_eq!(stage.frame_table.stamp(&stage.sva, stage.data), stamp);
            point_hand_at(&stage, stage.data, 0);
            stage.sva.flush();
            assert_eq!(stage.frame_table.stamp(&stage.sva, stage.data), 0, "it grows older still");
            reuse(&stage);
        }
    }

    fn attack_c08_the_hand_leaves_a_young_stamp_alone<P>() {
        for seam in SEAMS {
            let stage = stage_at::<P>(Live::Here, seam, 2);
            let stamp = unmap_remembered(&stage);
            for ahead in [0, 1 << 24, 1 << 27] {
                point_hand_at(&stage, stage.data, ahead);
                stage.sva.flush();
                assert_eq!(stage.frame_table.stamp(&stage.sva, stage.data), stamp);
            }
            reuse(&stage);
        }
    }

    /// The hand forgets nothing that a CPU may remember: one of them has not flushed since.
    fn attack_c08_the_hand_forgets_nothing_that_a_cpu_remembers<P>() {
        for seam in SEAMS {
            let stage = stage_at::<P>(Live::Elsewhere, seam, 2);
            let stamp = unmap_remembered(&stage);
            for ahead in [OLD + 2, 1 << 22, 1 << 26] {
                point_hand_at(&stage, stage.data, ahead);
                // The hand meets CPU 1 at the same time only where the numbers agree.
                assert_ne!(stage.data.number() & 31, 1);
                stage.sva.flush();
                assert_eq!(stage.frame_table.stamp(&stage.sva, stage.data), stamp);
                assert!(stage.sva.machine().cached_count(cpu(1)) > 0);
            }
            reuse(&stage);
        }
    }

    /// Where a frame is dropped again while the hand is at it, the new stamp stays.
    fn attack_c08_the_hand_keeps_a_newer_stamp<P>() {
        let stage = stage_at::<P>(Live::Elsewhere, CIRCLE, 2);
        unmap_remembered(&stage);
        grow_old(&stage, OLD + (1 << 27));
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        stage.sva.map(table, index, stage.data, Rights::ReadWrite).unwrap();
        let stamp = unmap_remembered(&stage);
        point_hand_at(&stage, stage.data, 0);
        stage.sva.flush();
        assert_eq!(stage.frame_table.stamp(&stage.sva, stage.data), stamp);
        reuse(&stage);
    }

    /// A CPU that has not flushed for a quarter of the circle is asked to, when the hand meets it.
    fn attack_c08_the_hand_renews_an_old_flush_time<P>() {
        for seam in SEAMS {
            for sleeper in [1, 2] {
                let stage = stage_at::<P>(Live::Nowhere, seam, 2);
                let before = stage.frame_table.flushed(&stage.sva, cpu(sleeper));
                // A frame with the CPU's number in its low bits stands for the CPU: 32 and 64 more.
                let met = crate::common::world::frame(32 + sleeper);
                point_hand_at(&stage, met, 1 << 27);
                stage.sva.flush();
                assert_eq!(stage.frame_table.flushed(&stage.sva, cpu(sleeper)), before, "it is not old yet");
                point_hand_at(&stage, met, OLD);
                stage.sva.flush();
                assert_ne!(stage.frame_table.flushed(&stage.sva, cpu(sleeper)), before);
                stage.sound();
            }
        }
    }

    /// A parent slot is no time, however old the clock.
    fn attack_c08_the_hand_leaves_a_link_alone<P>(live: Live) {
        for seam in SEAMS {
            let stage = stage_at::<P>(live, seam, 2);
            let table = stage.leaf_table();
            let slot = stage.frame_table.stamp(&stage.sva, table);
            assert_ne!(slot & CIRCLE, 0);
            grow_old(&stage, OLD + (1 << 27));
            point_hand_at(&stage, table, 0);
            stage.sva.flush();
            assert_eq!(stage.frame_table.stamp(&stage.sva, table), slot);
            stage.sound();
        }
    }

    /// Half the circle in steps, with work at each: nothing is misjudged on the way round.
    fn attack_c08_all_the_way_round_nothing_is_misjudged<P>() {
        let stage = stage_at::<P>(Live::Elsewhere, CIRCLE, 1);
        let (table, index) = (stage.leaf_table(), Stage::<P>::INDEX);
        for _ in 0..40 {
            unmap_remembered(&stage);
            reuse(&stage);
            stage.sva.retype(stage.data, Kind::UserData).unwrap();
            stage.sva.map(table, index, stage.data, Rights::ReadWrite).unwrap();
            grow_old(&stage, 1 << 27);
            point_hand_at(&stage, stage.data, 0);
            cpus().for_each(|cpu| stage.on(cpu, || stage.sva.flush()));
        }
    }
}
