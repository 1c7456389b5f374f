//! B2: any plan is refused, or kept.

use crate::common::world::{frame, frames, page, pages};
use crate::counts::Numbers;
use crate::hardware::all_pages;
use crate::plan::{BASE, Plan, RAM, accepted, region, segment};
use crate::stage::{Machine, cpu};
use sva_os::address::Frame;
use sva_os::frame::Kind;
use sva_os::layout::{GUARD_PAGES, InUse, Role};
use sva_os::memory_map::{Region, Usage};
use sva_os::mmu::PagingMode;

/// What a correct world of `plan` must hold besides a clean audit.
fn keeps_the_layout<P: PagingMode>(plan: &Plan, sva: &Machine<P>) -> Result<(), String> {
    let fail = |text: &str, frame: Frame| Err(format!("{frame}: {text}"));
    let bytes = |frame: Frame| {
        let start = u64::from(frame.start().get());
        (start, start + 4096)
    };
    for frame in (0..RAM + 16).map(frame) {
        let (start, end) = bytes(frame);
        let touches = |r: &&Region| r.length > 0 && r.start < end && start < r.start + r.length;
        let whole = |r: &Region| r.start <= start && end <= r.start + r.length;
        let is_reserved = plan.map.iter().filter(|r| r.usage == Usage::Reserved).any(|r| touches(&r));
        let is_ram = plan.map.iter().filter(|r| r.usage == Usage::Available).any(whole) && !is_reserved;
        let kind = sva.kind(frame);
        let in_image = plan.image.iter().any(|segment| segment.frames.contains(frame));
        let in_use = plan.in_use.iter().any(|part| part.frames().contains(frame));
        if kind == Kind::Free && (!is_ram || in_image || in_use || frame == Frame::ZERO) {
            return fail("it is free and is not the client's", frame);
        }
        if kind == Kind::Free && !plan.direct_map.frames.contains(frame) {
            return fail("it is free and beyond the direct map", frame);
        }
        if kind != Kind::None && !is_ram {
            return fail("it is not RAM", frame);
        }
        if (in_image || in_use) && matches!(kind, Kind::None | Kind::Monitor | Kind::KernelTable | Kind::Root)
        {
            return fail("it holds the kernel's values and is something else", frame);
        }
    }
    for (at, to) in sva.machine().reachable(cpu(0), all_pages()) {
        let roles = plan.image.iter().filter(|segment| segment.frames.contains(to.frame));
        let constant = roles.clone().any(|segment| matches!(segment.role, Role::Text | Role::ReadOnly));
        let text = roles.clone().any(|segment| segment.role == Role::Text);
        if to.user || plan.user.contains(at) || constant && to.writable {
            return fail("users reach it, or it is constant and written", to.frame);
        }
        if P::NO_EXECUTE && to.executable && !text {
            return fail("it is executed", to.frame);
        }
        let guarded = plan.image.iter().filter(|segment| segment.role == Role::Stack);
        if guarded.clone().any(|s| (s.first.number() - GUARD_PAGES..s.first.number()).contains(&at.number()))
        {
            return fail("it is mapped at a guard page", to.frame);
        }
        if sva.kind(to.frame) == Kind::None {
            return fail("it is mapped and no RAM", to.frame);
        }
    }
    for segment in &plan.image {
        for (at, frame) in segment.pages().unwrap().iter().zip(segment.frames.iter()) {
            let mapped = sva.translate(sva.sealed_root(), at).unwrap().map(|leaf| leaf.frame());
            if mapped != Some(frame) {
                return fail("it is not where the image was linked", frame);
            }
        }
    }
    Ok(())
}

attacks! {
    /// The plan that the other tests spoil.
    fn attack_b02_a_sound_plan_is_kept<P>() {
        let (sva, free) = accepted::<P>(|_| {});
        keeps_the_layout(&Plan::sound(), &sva).unwrap();
        assert!(free.len() > 40 && !free.contains(&0));
    }

    /// Any map and any layout: refused, or a world whose audit is clean and that keeps both.
    fn attack_b02_any_plan_is_refused_or_kept<P>() {
        use proptest::test_runner::{Config, TestRunner};
        let count = [std::cell::Cell::new(0), std::cell::Cell::new(0)];
        let mut runner =
            TestRunner::new(Config { cases: 2000, failure_persistence: None, ..Config::default() });
        runner
            .run(&proptest::prelude::any::<u64>(), |seed| {
                let plan = any_plan(&mut Numbers(seed | 1));
                match plan.init::<P>() {
                    Err(_) => count[0].set(count[0].get() + 1),
                    Ok(sva) => {
                        count[1].set(count[1].get() + 1);
                        let audit = sva.audit().map_err(|finding| finding.to_string()).map(drop);
                        let kept = audit.and_then(|()| keeps_the_layout(&plan, &sva));
                        proptest::prop_assert!(kept.is_ok(), "{:?}", kept);
                    }
                }
                Ok(())
            })
            .unwrap();
        assert!(count.iter().all(|count| count.get() > 200), "{count:?}");
    }
}

/// A plan that is sometimes sound: parts lie anywhere, but often where they would fit.
fn any_plan(numbers: &mut Numbers) -> Plan {
    let mut plan = Plan::sound();
    let odd = |numbers: &mut Numbers, of: u32| numbers.below(of) == 0;
    for _ in 0..numbers.below(4) {
        let usage = if odd(numbers, 2) { Usage::Available } else { Usage::Reserved };
        let start = if odd(numbers, 3) { numbers.below(RAM << 12) } else { numbers.below(RAM) << 12 };
        let room = (RAM << 12) - start;
        let most = if odd(numbers, 8) { 0x10_0000 } else { room.clamp(1, 0x4000) };
        let length = numbers.below(most);
        plan.map.push(region(start.into(), length.into(), usage));
    }
    if odd(numbers, 8) {
        plan.map.remove(0);
    }
    if odd(numbers, 4) {
        let first = numbers.below(4);
        plan.direct_map.frames = frames((first, numbers.below(RAM + 8)));
        plan.direct_map.first = page(BASE + first + if odd(numbers, 8) { 1 } else { 0 });
    }
    let roles = [Role::Text, Role::ReadOnly, Role::Data, Role::Stack];
    if odd(numbers, 2) {
        plan.image.clear();
        plan.in_use.clear();
        plan.image.push(segment(BASE + 1, (1, 1 + numbers.below(2)), Role::Text));
    }
    for _ in 0..numbers.below(4) {
        let (first, count) = (1 + numbers.below(RAM), numbers.below(5));
        let role = roles[numbers.below(4) as usize];
        let at = match numbers.below(8) {
            0 => BASE + numbers.below(2 * RAM),
            1 | 2 => BASE + 0x1000 + numbers.below(RAM),
            _ => BASE + first,
        };
        plan.image.push(segment(at, (first, count), role));
    }
    for _ in 0..numbers.below(3) {
        let part = frames((numbers.below(RAM), numbers.below(5)));
        plan.in_use.push(if odd(numbers, 2) { InUse::Heap(part) } else { InUse::Kept(part) });
    }
    if odd(numbers, 16) {
        plan.user = pages((numbers.below(0xc00) << 8, numbers.below(0x400) << 8));
    }
    plan
}
