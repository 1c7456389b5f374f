use super::*;
use crate::wait::TaskId;
use crate::wait::tests::woken;
use proptest::prelude::*;
use std::collections::VecDeque;

const READS: Ends = Ends { reads: true, writes: false };
const WRITES: Ends = Ends { reads: false, writes: true };

fn pipe() -> Arc<Pipe> {
    let pipe = Pipe::new(&Arc::new(Budget::new(1 << 20))).unwrap();
    pipe.attach(READS);
    pipe.attach(WRITES);
    pipe
}

#[derive(Clone, Debug)]
enum Step {
    /// So many bytes, of which the source has so many.
    Write(usize, usize),
    /// So many bytes, of which the sink takes so many.
    Read(usize, usize),
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![0..20_usize, 4000..4200_usize, 60_000..70_000_usize]
}

fn step() -> impl Strategy<Value = Step> {
    let of = |step: fn(usize, usize) -> Step| {
        (size(), prop_oneof![Just(100), 0..100_usize])
            .prop_map(move |(count, part)| step(count, count * part / 100))
    };
    prop_oneof![of(Step::Write), of(Step::Read)]
}

proptest! {
    #[test]
    fn a_pipe_is_a_queue(steps in prop::collection::vec(step(), 0..60)) {
        let pipe = pipe();
        let mut model = VecDeque::new();
        let mut next = 0_u8;
        for step in steps {
            match step {
                Step::Write(count, has) => {
                    let bytes: Vec<u8> = (0..has).map(|place| next.wrapping_add(place as u8)).collect();
                    let free = PIPE_SIZE - model.len();
                    let expected = match count {
                        0 => Ok(0),
                        1..=PIPE_BUF if free < count => Err(Errno::EAGAIN),
                        1..=PIPE_BUF if has < count => Ok(0),
                        _ if free == 0 => Err(Errno::EAGAIN),
                        _ => Ok(has.min(free)),
                    };
                    prop_assert_eq!(pipe.write(count, &mut &bytes[..]), expected);
                    let done = expected.unwrap_or(0);
                    model.extend(&bytes[..done]);
                    next = next.wrapping_add(done as u8);
                }
                Step::Read(count, takes) => {
                    let mut bytes = vec![0; takes];
                    let expected = match (count, model.len()) {
                        (0, _) => Ok(0),
                        (_, 0) => Err(Errno::EAGAIN),
                        (_, len) => Ok(count.min(len).min(takes)),
                    };
                    prop_assert_eq!(pipe.read(count, &mut &mut bytes[..]), expected);
                    let done = expected.unwrap_or(0);
                    prop_assert!(bytes[..done].iter().copied().eq(model.drain(..done)));
                }
            }
            prop_assert_eq!(pipe.len(), model.len());
            prop_assert_eq!(pipe.poll(READS).contains(Events::IN), !model.is_empty());
            prop_assert_eq!(pipe.poll(WRITES).contains(Events::OUT), PIPE_SIZE - model.len() >= PIPE_BUF);
        }
    }
}

#[test]
fn ends_that_go_are_noticed() {
    let pipe = pipe();
    assert_eq!(pipe.read(1, &mut Vec::new()), Err(Errno::EAGAIN));
    pipe.write(2, &mut &b"ab"[..]).unwrap();
    pipe.detach(WRITES);
    assert_eq!(pipe.poll(READS), Events::IN | Events::HUP);
    let mut bytes = Vec::new();
    assert_eq!(pipe.read(9, &mut bytes), Ok(2));
    assert_eq!(pipe.read(9, &mut bytes), Ok(0));
    assert_eq!(pipe.poll(READS), Events::HUP);
    pipe.attach(WRITES);
    pipe.detach(READS);
    assert_eq!(pipe.write(1, &mut &b"a"[..]), Err(Errno::EPIPE));
    assert_eq!(pipe.write(0, &mut &b""[..]), Err(Errno::EPIPE));
    assert_eq!(pipe.poll(WRITES), Events::OUT | Events::ERR);
}

#[test]
fn who_waits_is_woken_by_the_other_end() {
    let pipe = pipe();
    let wait = |ends, interest, task| pipe.queues(ends, interest, &mut |queue| queue.add(TaskId(task)));
    woken();
    wait(READS, Events::IN, 1);
    wait(WRITES, Events::OUT, 2);
    pipe.write(1, &mut &b"a"[..]).unwrap();
    assert_eq!(woken(), [TaskId(1)]);
    pipe.read(1, &mut Vec::new()).unwrap();
    assert_eq!(woken(), [TaskId(2)]);
    wait(READS, Events::empty(), 3);
    wait(WRITES, Events::empty(), 4);
    pipe.detach(WRITES);
    assert_eq!(woken(), [TaskId(3), TaskId(4)]);
}

#[test]
fn a_full_pipe_wakes_its_writer_when_there_is_room_again() {
    let pipe = pipe();
    let full = vec![0; PIPE_SIZE];
    assert_eq!(pipe.write(PIPE_SIZE, &mut &full[..]), Ok(PIPE_SIZE));
    pipe.queues(WRITES, Events::OUT, &mut |queue| queue.add(TaskId(1)));
    woken();
    pipe.read(PIPE_BUF - 1, &mut Vec::new()).unwrap();
    assert_eq!(woken(), []);
    assert!(!pipe.poll(WRITES).contains(Events::OUT));
    pipe.read(1, &mut Vec::new()).unwrap();
    assert_eq!(woken(), [TaskId(1)]);
    assert_eq!(pipe.write(PIPE_BUF, &mut &full[..]), Ok(PIPE_BUF));
}

#[test]
fn a_pipe_that_cannot_grow_holds_less() {
    let budget = Arc::new(Budget::new(FIRST_SIZE));
    let pipe = Pipe::new(&budget).unwrap();
    pipe.attach(READS);
    assert_eq!(Pipe::new(&budget).err(), Some(Errno::ENFILE));
    let bytes = [0; FIRST_SIZE + 1];
    assert_eq!(pipe.write(bytes.len(), &mut &bytes[..]), Ok(FIRST_SIZE));
    assert_eq!(pipe.write(1, &mut &bytes[..]), Err(Errno::EAGAIN));
    assert!(!pipe.poll(WRITES).contains(Events::OUT));
    drop(pipe);
    assert_eq!(budget.left(), FIRST_SIZE);
}
