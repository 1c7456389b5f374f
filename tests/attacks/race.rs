//! Two CPUs that race, in every order with a few preemptions.

use crate::ram::Table;
use crate::stage::{Machine, Stage, sound};
use std::sync::{Arc, Mutex};
use sva_os::Violation;
use sva_os::address::Page;
use sva_os::machine::emulated::explore;
use sva_os::mmu::PagingMode;

pub(crate) type Answer = Result<(), Violation>;
pub(crate) type Body<'a, P> = &'a (dyn Fn(&Machine<P>) -> Answer + Sync);

/// A world in which two CPUs race, and what they were answered.
pub(crate) struct Race<P: PagingMode> {
    sva: Arc<Machine<P>>,
    answers: [Mutex<Option<Answer>>; 2],
}

/// What is done between any two steps; `None` saves the time.
pub(crate) type Watch<P> = Option<fn(&Machine<P>, Scene)>;

/// What a watch needs to know of the stage.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) frame_table: Table,
    pub(crate) page: Page,
}

/// Runs the two bodies as CPUs 0 and 1 on copies of the stage, in every order with up to
/// `preemptions`, then `check` with their answers. Each time the world must be sound.
#[track_caller]
pub(crate) fn race<P: PagingMode>(
    stage: &Stage<P>,
    preemptions: usize,
    watch: Watch<P>,
    bodies: [Body<'_, P>; 2],
    check: impl Fn(&Machine<P>, [Answer; 2]),
) {
    let scene = Scene { frame_table: stage.frame_table, page: stage.page };
    let make_world = || {
        let sva = Arc::new(Machine::<P>::clone(&stage.sva));
        let weak = Arc::downgrade(&sva);
        if let Some(watch) = watch {
            sva.machine().set_hook(Some(Arc::new(move |_| {
                if let Some(sva) = weak.upgrade() {
                    watch(&sva, scene);
                }
            })));
        }
        Race { sva, answers: [Mutex::new(None), Mutex::new(None)] }
    };
    let run = |slot: usize| {
        move |race: &Race<P>| {
            let answer = bodies[slot](&race.sva);
            *race.answers[slot].lock().unwrap() = Some(answer);
        }
    };
    let (first, second) = (run(0), run(1));
    let outcome = explore(
        preemptions,
        make_world,
        |race| race.sva.machine(),
        &[&first, &second],
        |race| {
            race.sva.machine().set_hook(None);
            let answers = [0, 1].map(|slot| race.answers[slot].lock().unwrap().expect("an answer"));
            sound(&race.sva);
            check(&race.sva, answers);
        },
    );
    match outcome {
        Ok(runs) => assert!(runs > 10, "only {runs} orders"),
        Err(failure) => panic!("{failure}"),
    }
}

/// Exactly one of the two succeeded. Answers whether it was the first.
#[track_caller]
pub(crate) fn one_wins(answers: [Answer; 2]) -> bool {
    assert!(answers[0].is_ok() != answers[1].is_ok(), "{answers:?}");
    answers[0].is_ok()
}
