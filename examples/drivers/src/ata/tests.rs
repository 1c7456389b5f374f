//! Disks that work, that do not, and that are none.

use super::model::{Kind, Model, channel};
use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const LAST: u32 = 5000;

fn disk() -> Model {
    Model::new(Kind::Disk, LAST + 1)
}

fn pattern(number: u32) -> [u8; SECTOR] {
    core::array::from_fn(|index| (index as u32 * 3 + number) as u8)
}

#[test]
fn a_disk_says_what_it_is() {
    let (channel, _) = channel(disk());
    let channel = Mutex::new(channel);
    let disk = Disk::open(&channel, Unit::First).unwrap();
    assert_eq!((disk.identity().sectors, disk.identity().model()), (LAST + 1, "A MODEL OF A DISK"));
}

#[test]
fn what_is_no_disk() {
    let identify = |kind, unit| channel(Model::new(kind, 100)).0.identify(unit).map(drop);
    assert_eq!(identify(Kind::Nothing(0xff), Unit::First), Err(Error::NoDevice));
    assert_eq!(identify(Kind::Nothing(0x00), Unit::First), Err(Error::NoDevice));
    // Lines that float to another value look busy.
    assert_eq!(identify(Kind::Nothing(0x80), Unit::First), Err(Error::TimedOut));
    assert_eq!(identify(Kind::Nothing(0x7f), Unit::First), Err(Error::TimedOut));
    assert_eq!(identify(Kind::Disk, Unit::Second), Err(Error::NoDevice));
    assert_eq!(identify(Kind::Packet, Unit::First), Err(Error::NotADisk));
    // Also after a reset, when its status is 0.
    let (mut packet, model) = channel(Model::new(Kind::Packet, 100));
    packet.reset().unwrap();
    assert_eq!(packet.identify(Unit::First), Err(Error::NotADisk));
    assert_eq!(model.borrow().resets, 1);
    for sectors in [0, LAST_SECTORS + 1, u32::MAX] {
        assert_eq!(channel(Model::new(Kind::Disk, sectors)).0.identify(Unit::First), Err(Error::NotADisk));
    }
}

#[test]
fn the_first_device_works_after_the_second_was_not_there() {
    for lines in [0x00, 0xff] {
        let (mut channel, model) = channel(disk());
        model.borrow_mut().absent = lines;
        assert_eq!(channel.identify(Unit::Second), Err(Error::NoDevice));
        channel.read(Unit::First, 0, &mut [[0; SECTOR]]).unwrap();
    }
}

#[test]
fn what_was_written_is_read() {
    let (mut channel, model) = channel(disk());
    let sectors: Vec<_> = (0..300).map(pattern).collect();
    channel.write(Unit::First, 7, &sectors).unwrap();
    channel.flush(Unit::First).unwrap();
    let mut read = vec![[0; SECTOR]; 302];
    channel.read(Unit::First, 6, &mut read).unwrap();
    assert_eq!(read[0], [0; SECTOR]);
    assert!(read[1..301] == sectors);
    assert_eq!(read[301], [0; SECTOR]);
    // 128 sectors a command: three times, and once more for the flush.
    assert_eq!(model.borrow().commands, [0x30, 0x30, 0x30, 0xe7, 0x20, 0x20, 0x20]);
    assert_eq!(model.borrow().resets, 0);
}

#[test]
fn all_28_bits_of_an_address_arrive() {
    let (mut channel, model) = channel(Model::new(Kind::Disk, LAST_SECTORS));
    for bit in 0..28 {
        channel.write(Unit::First, 1 << bit, &[pattern(bit)]).unwrap();
        assert_eq!(model.borrow().contents.get(&(1 << bit)), Some(&pattern(bit)));
    }
    assert_eq!(channel.read(Unit::First, LAST_SECTORS, &mut [[0; SECTOR]]), Err(Error::Outside));
    assert_eq!(channel.read(Unit::First, LAST_SECTORS - 1, &mut [[0; SECTOR]; 2]), Err(Error::Outside));
    assert_eq!(channel.read(Unit::First, u32::MAX, &mut [[0; SECTOR]]), Err(Error::Outside));
}

#[test]
fn a_disk_has_no_sector_behind_its_last() {
    let (channel, model) = channel(disk());
    let channel = Mutex::new(channel);
    let disk = Disk::open(&channel, Unit::First).unwrap();
    let before = model.borrow().commands.len();
    for (first, count) in [(LAST + 1, 1), (LAST, 2), (u32::MAX, 1), (u32::MAX, 2)] {
        assert_eq!(disk.read(first, &mut vec![[0; SECTOR]; count]), Err(Error::Outside));
        assert_eq!(disk.write(first, &vec![[0; SECTOR]; count]), Err(Error::Outside));
    }
    assert_eq!(model.borrow().commands.len(), before, "nothing was asked of it");
    disk.read(LAST, &mut [[0; SECTOR]]).unwrap();
}

#[test]
fn a_bad_sector_is_an_error_and_the_next_command_works() {
    let (mut channel, model) = channel(disk());
    model.borrow_mut().bad = Some((12, 0x40));
    assert_eq!(channel.read(Unit::First, 10, &mut [[0; SECTOR]; 5]), Err(Error::Device(0x40)));
    assert_eq!(channel.write(Unit::First, 12, &[pattern(1)]), Err(Error::Device(0x40)));
    channel.read(Unit::First, 13, &mut [[0; SECTOR]]).unwrap();
    assert_eq!(model.borrow().resets, 2);
}

#[test]
fn a_disk_that_hangs_is_given_up_and_reset() {
    for command in [IDENTIFY_DEVICE, READ_SECTORS, WRITE_SECTORS, FLUSH_CACHE] {
        let (mut channel, model) = channel(disk());
        model.borrow_mut().hangs_at = Some(command);
        let answer = match command {
            IDENTIFY_DEVICE => channel.identify(Unit::First).map(drop),
            READ_SECTORS => channel.read(Unit::First, 0, &mut [[0; SECTOR]]),
            WRITE_SECTORS => channel.write(Unit::First, 0, &[[0; SECTOR]]),
            _ => channel.flush(Unit::First),
        };
        assert_eq!(answer, Err(Error::TimedOut));
        let waited = channel.clock.now.get() - Duration::from_secs(7);
        assert!(waited < Duration::from_millis(30), "{waited:?}");
        model.borrow_mut().hangs_at = None;
        channel.read(Unit::First, 0, &mut [[0; SECTOR]]).unwrap();
        assert_eq!(model.borrow().resets, 1);
    }
}

#[test]
fn who_has_no_cache_needs_no_flush() {
    let (mut channel, model) = channel(disk());
    model.borrow_mut().knows_no_flush = true;
    assert_eq!(channel.flush(Unit::First), Ok(()));
    channel.read(Unit::First, 0, &mut [[0; SECTOR]]).unwrap();
    assert_eq!(model.borrow().resets, 0);
}

#[test]
fn a_model_is_text_or_less() {
    let mut words = [0; WORDS];
    words[49] = 1 << 9;
    words[60] = 1;
    assert_eq!(Identity::new(&words).unwrap().model(), "");
    words[27..29].copy_from_slice(&[0x4142, 0x43ff]);
    assert_eq!(Identity::new(&words).unwrap().model(), "ABC");
    words[0] = 0x8000;
    assert_eq!(Identity::new(&words), Err(Error::NotADisk));
    words[0] = 0;
    words[49] = 0;
    assert_eq!(Identity::new(&words), Err(Error::NotADisk));
}

proptest! {
    /// Registers that read as anything: an answer, never a panic, and in bounded time.
    #[test]
    fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut model = Model::new(Kind::Noise, 0);
        model.noise = noise;
        let (mut channel, _) = channel(model);
        _ = channel.identify(Unit::First);
        _ = channel.read(Unit::Second, 0, &mut [[0; SECTOR]; 3]);
        _ = channel.write(Unit::First, 0, &[[0; SECTOR]; 3]);
        _ = channel.flush(Unit::First);
        _ = channel.reset();
        let waited = channel.clock.now.get() - Duration::from_secs(7);
        prop_assert!(waited < Duration::from_secs(2), "{:?}", waited);
    }
}
