//! Cards that work, that lie, and that are none.

use super::model::{ADDRESS, Kind, Model, Sending, open};
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn frame(length: usize, number: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 5 + number) as u8).collect()
}

fn received(card: &mut model::Card) -> Result<Option<Vec<u8>>, Error> {
    card.receive().map(|frame| frame.map(<[u8]>::to_vec))
}

#[test]
fn a_card_says_its_address_and_is_quiet() {
    let (card, model) = open(Model::new(Kind::Honest));
    let mut card = card.unwrap();
    assert_eq!(card.address(), ADDRESS);
    assert_eq!(model.borrow().mask, 0);
    card.enable_interrupts();
    assert_eq!(model.borrow().mask, 0x1d);
    card.disable_interrupts();
    assert_eq!(model.borrow().mask, 0);
}

#[test]
fn what_is_no_card() {
    for lines in 0..=u8::MAX {
        let error = open(Model::new(Kind::Nothing(lines))).0.map(drop).unwrap_err();
        assert!(matches!(error, Error::NoCard | Error::TimedOut | Error::NotWords), "{lines:#x}: {error:?}");
    }
    assert_eq!(open(Model::new(Kind::Nothing(0xff))).0.map(drop), Err(Error::NoCard));
    assert_eq!(open(Model::new(Kind::Nothing(0x00))).0.map(drop), Err(Error::NoCard));
    let with = |change: fn(&mut Model)| {
        let mut model = Model::new(Kind::Honest);
        change(&mut model);
        open(model).0.map(drop)
    };
    assert_eq!(with(|model| model.prom[28] = 0x42), Err(Error::NotWords));
    assert_eq!(with(|model| model.prom[30] = 0x42), Err(Error::NotWords));
    assert_eq!(with(|model| model.prom[0] |= 1), Err(Error::NoAddress));
    assert_eq!(with(|model| model.prom[..12].fill(0)), Err(Error::NoAddress));
    assert_eq!(with(|model| model.is_deaf = true), Err(Error::TimedOut));
}

#[test]
fn frames_of_every_length_arrive_in_order() {
    let (card, model) = open(Model::new(Kind::Honest));
    let mut card = card.unwrap();
    // Round the ring many times: frames end in every page, and at its end.
    for length in SHORTEST..=LONGEST {
        assert!(model.borrow_mut().arrive(&frame(length, length)));
        assert!(model.borrow_mut().arrive(&frame(SHORTEST, length + 1)));
        assert_eq!(received(&mut card), Ok(Some(frame(length, length))));
        assert_eq!(received(&mut card), Ok(Some(frame(SHORTEST, length + 1))));
        assert_eq!(received(&mut card), Ok(None));
    }
    let count = 2 * (LONGEST - SHORTEST + 1) as u32;
    assert_eq!(card.counts(), Counts { received: count, ..Counts::default() });
}

#[test]
fn an_interrupt_is_taken_back_before_frames_are() {
    let (card, model) = open(Model::new(Kind::Honest));
    let mut card = card.unwrap();
    model.borrow_mut().arrive(&frame(100, 1));
    assert_ne!(model.borrow().interrupts & WANTED, 0);
    card.acknowledge();
    assert_eq!(model.borrow().interrupts & WANTED, 0);
    assert_eq!(received(&mut card), Ok(Some(frame(100, 1))));
}

#[test]
fn a_full_ring_is_emptied_in_order_and_goes_on() {
    let (card, model) = open(Model::new(Kind::Honest));
    let mut card = card.unwrap();
    let mut number = 0;
    while model.borrow_mut().arrive(&frame(700, number)) {
        number += 1;
    }
    assert!(number > 15);
    assert_ne!(model.borrow().interrupts & OVERRUN, 0);
    for number in 0..number {
        assert_eq!(received(&mut card), Ok(Some(frame(700, number))));
        assert_eq!(model.borrow().interrupts & OVERRUN, 0, "the first made room");
    }
    assert_eq!(received(&mut card), Ok(None));
    assert!(model.borrow_mut().arrive(&frame(700, 1000)));
    assert_eq!(received(&mut card), Ok(Some(frame(700, 1000))));
    let counts = Counts { received: number as u32 + 1, overruns: 1, ..Counts::default() };
    assert_eq!(card.counts(), counts);
}

#[test]
fn what_an_overrun_interrupts_is_sent_again() {
    let (card, model) = open(Model::new(Kind::Honest));
    let mut card = card.unwrap();
    model.borrow_mut().sending = Sending::Hangs;
    card.send(&frame(80, 1)).unwrap();
    while model.borrow_mut().arrive(&frame(700, 2)) {}
    model.borrow_mut().sending = Sending::Works;
    assert_eq!(received(&mut card), Ok(Some(frame(700, 2))));
    assert_eq!(model.borrow().sent, [frame(80, 1)]);
    assert_eq!(model.borrow().sends, 2);
    // One that has been sent is not.
    card.send(&frame(90, 3)).unwrap();
    while model.borrow_mut().arrive(&frame(700, 2)) {}
    received(&mut card).unwrap();
    assert_eq!(model.borrow().sends, 3);
}

#[test]
fn frames_are_sent_and_filled_up() {
    let (card, model) = open(Model::new(Kind::Honest));
    let mut card = card.unwrap();
    for length in [0, 1, 59, 60, 61, 1513, 1514] {
        card.send(&frame(length, length)).unwrap();
        let mut expected = frame(length, length);
        expected.resize(length.max(SHORTEST), 0);
        assert_eq!(model.borrow().sent.last(), Some(&expected));
    }
    assert_eq!(card.send(&frame(1515, 0)), Err(Error::TooLong));
    assert_eq!(model.borrow().sent.len(), 7);
}

#[test]
fn what_is_not_sent_is_said_when_the_next_is() {
    for (sending, error) in [(Sending::Hangs, Error::TimedOut), (Sending::Collides, Error::NotSent)] {
        let (card, model) = open(Model::new(Kind::Honest));
        let mut card = card.unwrap();
        model.borrow_mut().sending = sending;
        assert_eq!(card.send(&frame(60, 1)), Ok(()));
        model.borrow_mut().sending = Sending::Works;
        assert_eq!(card.send(&frame(60, 2)), Err(error));
        assert_eq!(card.wait_until_sent(), Ok(()));
        assert_eq!(card.counts(), Counts { sent: 2, send_errors: 1, ..Counts::default() });
    }
}

#[test]
fn a_damaged_frame_or_one_too_long_is_passed_over() {
    let (card, model) = open(Model::new(Kind::Honest));
    let mut card = card.unwrap();
    let length = 300;
    let [low, high] = ((length + CHECKSUM) as u16).to_le_bytes();
    model.borrow_mut().header = Some([0, after(RING, 1 + 2), low, high]);
    model.borrow_mut().arrive(&frame(length, 1));
    model.borrow_mut().header = None;
    model.borrow_mut().arrive(&frame(LONGEST + 1, 2));
    model.borrow_mut().arrive(&frame(SHORTEST - 1, 3));
    model.borrow_mut().arrive(&frame(length, 4));
    assert_eq!(received(&mut card), Ok(Some(frame(length, 4))));
    assert_eq!(card.counts(), Counts { received: 1, dropped: 3, ..Counts::default() });
}

#[test]
fn a_ring_that_makes_no_sense_is_emptied() {
    let length = 300;
    let [low, high] = ((length + CHECKSUM) as u16).to_le_bytes();
    let first = after(RING, 1);
    for header in [
        [INTACT, RING - 1, low, high],
        [INTACT, END, low, high],
        [INTACT, first, low, high],
        [INTACT, after(first, 1), low, high],
        // A page more than it needs may be left, but not one that the card has not received into.
        [INTACT, after(first, 3), low, high],
        [INTACT, after(first, 4), low, high],
        [INTACT, after(first, 2), 0xff, 0xff],
        [INTACT, 0, low, high],
        [0, 0xff, low, high],
    ] {
        let (card, model) = open(Model::new(Kind::Honest));
        let mut card = card.unwrap();
        model.borrow_mut().header = Some(header);
        model.borrow_mut().arrive(&frame(length, 1));
        model.borrow_mut().header = None;
        assert_eq!(received(&mut card), Err(Error::BrokenRing), "{header:x?}");
        assert_eq!(received(&mut card), Ok(None), "{header:x?}");
        model.borrow_mut().arrive(&frame(length, 2));
        assert_eq!(received(&mut card), Ok(Some(frame(length, 2))), "{header:x?}");
    }
    // A card that receives outside of its ring.
    for current in [0, RING - 1, END, 0xff] {
        let (card, model) = open(Model::new(Kind::Honest));
        model.borrow_mut().current = current;
        assert_eq!(received(&mut card.unwrap()), Err(Error::BrokenRing));
    }
}

#[test]
fn pages_go_round() {
    assert_eq!(after(END - 1, 1), RING);
    assert_eq!(after(RING, PAGES - 1), END - 1);
    for page in RING..END {
        for pages in 0..PAGES {
            assert_eq!(distance(page, after(page, pages)), pages);
        }
    }
}

proptest! {
    /// Headers, frames and registers as a liar has them: never a panic, never more than one frame's bytes, and the card
    /// works afterwards.
    #[test]
    fn a_ring_of_lies(
        lies in prop::collection::vec((any::<[u8; 4]>(), any::<bool>(), 60..1400_usize, any::<Option<u8>>()), 1..40)
    ) {
        let (card, model) = open(Model::new(Kind::Honest));
        let mut card = card.unwrap();
        for (header, plausible, length, current) in lies {
            {
                let mut model = model.borrow_mut();
                // Some that nearly fit: the next page, or the length, is right.
                let pages = (length + CHECKSUM + HEADER).div_ceil(PAGE) as u8;
                let next = if (RING..END).contains(&model.current) { after(model.current, pages) } else { RING };
                let [low, high] = ((length + CHECKSUM) as u16).to_le_bytes();
                let [status, page, a, b] = header;
                model.header = Some(if plausible { [status, page, low, high] } else { [status, next, a, b % 8] });
                if (RING..END).contains(&model.current) {
                    model.arrive(&frame(length, 0));
                }
                if let Some(current) = current {
                    model.current = current;
                }
            }
            if let Ok(Some(frame)) = card.receive() {
                prop_assert!((SHORTEST..=LONGEST).contains(&frame.len()));
            }
        }
        {
            let mut model = model.borrow_mut();
            model.header = None;
            model.current = 0;
        }
        prop_assert_eq!(received(&mut card), Err(Error::BrokenRing));
        model.borrow_mut().arrive(&frame(100, 9));
        prop_assert_eq!(received(&mut card), Ok(Some(frame(100, 9))));
    }

    /// Registers that read as anything: an end in bounded time, and no panic.
    #[test]
    fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 1..200)) {
        let (card, model) = open(Model::new(Kind::Honest));
        let mut card = card.unwrap();
        {
            let mut model = model.borrow_mut();
            model.kind = Kind::Noise;
            model.noise = noise.clone().into();
        }
        for _ in 0..5 {
            _ = card.receive();
            _ = card.send(&frame(200, 0));
            card.acknowledge();
        }
        _ = card.wait_until_sent();
        let waited = card.clock.now.get() - Duration::from_secs(7);
        prop_assert!(waited < Duration::from_secs(60), "{:?}", waited);
        let mut model = Model::new(Kind::Noise);
        model.noise = noise.into();
        _ = open(model).0;
    }
}
