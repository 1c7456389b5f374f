use super::super::fixture::frame;
use super::*;

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(1);
        (mix(self.0, 7) % u64::from(limit)) as u32
    }
}

#[test]
fn a_value_of_each_size_lies_where_it_should() {
    let ram = Ram::new(2);
    ram.exchange(PhysAddr::new(0x1008), 0x8877_6655_4433_2211_u64);
    for (i, byte) in (0x1008..).zip([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88_u8]) {
        assert_eq!(ram.load::<u8>(PhysAddr::new(i)), byte);
    }
    assert_eq!(ram.load::<u16>(PhysAddr::new(0x100a)), 0x4433);
    assert_eq!(ram.load::<u32>(PhysAddr::new(0x100c)), 0x8877_6655);
    assert_eq!(ram.exchange(PhysAddr::new(0x100c), 0xaaaa_bbbb_u32), 0x8877_6655);
    assert_eq!(ram.compare_exchange(PhysAddr::new(0x1008), 0x1111_1111_u32, 1), Err(0x4433_2211));
    assert_eq!(ram.compare_exchange(PhysAddr::new(0x1008), 0x4433_2211_u32, 1), Ok(0x4433_2211));
    assert_eq!(ram.fetch_add(PhysAddr::new(0x1008), u32::MAX), 1);
    assert_eq!(ram.exchange(PhysAddr::new(0x100f), 0xcc_u8), 0xaa);
    assert_eq!(ram.exchange(PhysAddr::new(0x1008), 0x1234_u16), 0);
    assert_eq!(ram.load::<u64>(PhysAddr::new(0x1008)), 0xccaa_bbbb_0000_1234);
    let old = 0xccaa_bbbb_0000_1234;
    assert_eq!(ram.compare_exchange(PhysAddr::new(0x1008), old, u64::MAX), Ok(old));
    assert_eq!(ram.load::<u64>(PhysAddr::new(0x1000)), 0);
    assert_eq!(ram.load::<u64>(PhysAddr::new(0x1010)), 0);
}

#[test]
fn the_digest_follows_every_write() {
    let ram = Ram::new(4);
    let mut numbers = Numbers(0);
    for _ in 0..2000 {
        let at = PhysAddr::new(numbers.below(4 * 4096 / 8) * 8);
        let value = u64::from(numbers.below(3)) << numbers.below(64);
        match numbers.below(9) {
            0 => _ = ram.exchange(at, value),
            1 => _ = ram.exchange(at, u32::low_bits_of(value)),
            2 => _ = ram.exchange(at.plus(6), u16::low_bits_of(value)),
            3 => _ = ram.exchange(at.plus(3), u8::low_bits_of(value)),
            4 => _ = ram.fetch_add(at.plus(4), u32::low_bits_of(value)),
            5 => _ = ram.compare_exchange(at, 0, value),
            6 => ram
                .copy_in(PhysAddr::new(at.get() & !0xfff | 3), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
            7 => ram.zero(frame(numbers.below(4))),
            _ if numbers.below(20) == 0 => {
                ram.lend(FrameRange::new(frame(numbers.below(3)), 2).unwrap());
            }
            _ => {}
        }
        assert_eq!(ram.digest(), ram.recomputed_digest());
    }
    (0..4).for_each(|number| ram.zero(frame(number)));
    assert_eq!(ram.digest(), 0);
}

#[test]
fn the_digest_tells_contents_apart_not_histories() {
    let one = Ram::new(2);
    let other = Ram::new(2);
    one.exchange(PhysAddr::new(8), 1u32);
    one.exchange(PhysAddr::new(0x1000), 2u32);
    other.exchange(PhysAddr::new(0x1000), 7u8);
    other.exchange(PhysAddr::new(0x1000), 2u8);
    assert_ne!(one.digest(), other.digest());
    other.exchange(PhysAddr::new(8), 1u64);
    assert_eq!(one.digest(), other.digest());
    // The same values in each other's places.
    one.exchange(PhysAddr::new(8), 2u32);
    one.exchange(PhysAddr::new(0x1000), 1u32);
    assert_ne!(one.digest(), other.digest());
}

#[test]
fn copies_begin_and_end_anywhere_in_a_frame() {
    let ram = Ram::new(2);
    let bytes: Vec<u8> = (1..=40).collect();
    for start in 0..9 {
        for length in 0..=40 {
            let at = PhysAddr::new(0x1000 + start);
            ram.copy_in(at, &bytes[..length]);
            let mut back = std::vec![0; length];
            ram.copy_out(at, &mut back);
            assert_eq!(back, bytes[..length]);
            assert_eq!(ram.load::<u8>(at.plus(length as u32)), 0);
            assert_eq!(ram.digest(), ram.recomputed_digest());
            ram.zero(frame(1));
        }
    }
    ram.copy_in(PhysAddr::new(0xfff), &[1]);
    assert_eq!(ram.load::<u8>(PhysAddr::new(0xfff)), 1);
}

#[test]
#[should_panic(expected = "passes the end")]
fn a_copy_that_leaves_its_frame_is_a_bug() {
    Ram::new(2).copy_in(PhysAddr::new(0xfff), &[1, 2]);
}

#[test]
#[should_panic(expected = "outside of RAM")]
fn an_access_outside_is_a_bug() {
    Ram::new(2).load::<u32>(PhysAddr::new(0x2000));
}

#[test]
#[should_panic(expected = "not a multiple")]
fn a_misaligned_access_is_a_bug() {
    Ram::new(2).load::<u64>(PhysAddr::new(4));
}

#[test]
fn a_loan_can_be_written_and_ends_when_it_is_zeroed() {
    let ram = Ram::new(4);
    ram.exchange(PhysAddr::new(0x1000), 5u32);
    let before = ram.digest();
    let bytes = ram.lend(FrameRange::new(frame(1), 2).unwrap());
    assert_eq!(bytes.len(), 8192);
    // SAFETY: the frames are lent, and nothing else reaches them while this borrow lives.
    let bytes = unsafe { &mut *bytes };
    assert!(bytes.as_ptr().addr().is_multiple_of(4096));
    bytes[0].write(9);
    bytes[4096].write(9);
    let lent = ram.digest();
    assert_ne!(lent, before);
    let moved = ram;
    bytes[8191].write(9);
    assert_eq!(moved.digest(), lent);
    assert_eq!(moved.clone().load::<u8>(PhysAddr::new(0x1000)), 0, "a copy does not look");
    assert_eq!(moved.clone().digest(), lent);
    assert_eq!(moved.load::<u8>(PhysAddr::new(0x1000)), 9);
    moved.zero(frame(1));
    moved.zero(frame(2));
    assert_eq!(moved.digest(), 0);
    assert_eq!(moved.load::<u64>(PhysAddr::new(0x2ff8)), 0);
    moved.exchange(PhysAddr::new(0x1000), 5u32);
    assert_eq!(moved.digest(), before);
}
