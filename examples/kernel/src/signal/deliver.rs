//! What is done about signals before a program goes on.

use super::frame::{self, Saved};
use super::{Action, Consequence, DEFAULT, IGNORE, Info, Set, default, flags, send};
use crate::errno::{Errno, Result};
use crate::machine::sva;
use crate::memory::{PAGE, TRAMPOLINE, user};
use crate::process::Current;
use crate::schedule;
use crate::syscall::number;
use core::sync::atomic::Ordering;
use sva_os::context::{FpState, UserContext, UserFlags};

/// The selector of ring 3's code as programs see it: the descriptor before that of its data.
const CODE: u16 = UserContext::DATA - 8;
/// EFLAGS that a handler begins without: TF, DF.
const CLEARED: u32 = 1 << 8 | 1 << 10;

/// Does what there is to do before the program of `current` goes on.
#[cold]
#[inline(never)]
pub fn attend(current: &mut Current) {
    current.task.attention.store(false, Ordering::Relaxed);
    let mut interrupted = current.interrupted.take();
    loop {
        if current.process.state.lock().ending.is_some() {
            current.is_over = true;
            return;
        }
        if current.process.state.lock().stopped.is_some() {
            wait_until_continued(current);
            continue;
        }
        let Some(info) = take(current) else {
            break;
        };
        let action = current.process.action(info.signal);
        match action.handler {
            IGNORE => {}
            DEFAULT => match default(info.signal) {
                Consequence::Nothing => {}
                Consequence::Stop => send::stop(&current.process, info.signal),
                Consequence::End => current.process.end(info.signal),
            },
            _ => {
                if let Some(call) = interrupted.take()
                    && number::restarts(call)
                    && action.flags & flags::RESTART != 0
                {
                    begin_anew(current, call);
                }
                catch(current, action, info, [0; 2], 0);
            }
        }
    }
    if let Some(call) = interrupted
        && (number::restarts(call) || number::restarts_unless_caught(call))
    {
        begin_anew(current, call);
    }
    if let Some(mask) = current.mask_after.take() {
        set_blocked(current, mask);
    }
}

/// Lets the program call `call` once more.
fn begin_anew(current: &mut Current, call: u32) {
    current.context.registers.eax = call;
    // Of an `int` with its number.
    current.context.instruction = current.context.instruction.wrapping_sub(2);
}

fn take(current: &Current) -> Option<Info> {
    let mut signals = current.task.signals.lock();
    let wanted = Set(!signals.blocked.0);
    signals.pending.take(wanted).or_else(|| current.process.pending.lock().take(wanted))
}

/// What is held back is `mask` from now on.
pub fn set_blocked(current: &Current, mask: Set) {
    let mask = mask.without(Set::UNSTOPPABLE);
    let mut signals = current.task.signals.lock();
    signals.blocked = mask;
    let pending = signals.pending.set().and(current.process.pending.lock().set());
    if !pending.without(mask).is_empty() {
        current.task.attention.store(true, Ordering::Relaxed);
    }
}

/// Waits as long as the process is stopped.
fn wait_until_continued(current: &Current) {
    loop {
        {
            let state = current.process.state.lock();
            if state.stopped.is_none() || state.ending.is_some() {
                break;
            }
        }
        current.process.continued.add(current.turn);
        schedule::block(current.turn);
    }
    current.process.continued.remove(current.turn);
}

/// The program has brought `info` about itself: its handler is called at once, and if it has none, or holds the signal
/// back, it ends.
pub fn force(current: &mut Current, info: Info, trap: [u32; 2], address: u32) {
    let action = current.process.action(info.signal);
    let is_blocked = current.task.signals.lock().blocked.has(info.signal);
    if is_blocked || matches!(action.handler, DEFAULT | IGNORE) {
        current.process.end(info.signal);
        return;
    }
    catch(current, action, info, trap, address);
}

/// Lets the program go on in its handler; if there is no room for its frame, it ends.
fn catch(current: &mut Current, action: Action, info: Info, trap: [u32; 2], address: u32) {
    if action.flags & flags::RESET != 0
        && let Some(action) = current.process.actions.lock().get_mut(info.signal.wrapping_sub(1) as usize)
    {
        action.handler = DEFAULT;
    }
    if push(current, action, info, trap, address).is_err() {
        current.process.end(super::SEGV);
    }
}

fn push(current: &mut Current, action: Action, info: Info, trap: [u32; 2], address: u32) -> Result<()> {
    let blocked = current.task.signals.lock().blocked;
    let mask = current.mask_after.take().unwrap_or(blocked);
    let context = &mut current.context;
    let stack = current.stack;
    let uses_stack = action.flags & flags::ON_STACK != 0 && stack.size > 0;
    let esp = context.registers.esp;
    let top = if uses_stack && !stack.contains(esp) { stack.start.wrapping_add(stack.size) } else { esp };
    let is_rich = action.flags & flags::INFO != 0;
    let size = if is_rich { frame::RICH } else { frame::PLAIN };
    let (at, floats) = frame::place(top, size).ok_or(Errno::EFAULT)?;

    let space = &current.space;
    let state = sva().save_fp();
    user::put_words(space, floats + frame::FLOATS_MAGIC, [0])?;
    user::write(space, floats + frame::FLOATS_FXSAVE, state.bytes())?;

    let registers = &context.registers;
    let saved = Saved {
        segments: [context.gs, context.fs, context.es, context.ds],
        general: [
            registers.edi,
            registers.esi,
            registers.ebp,
            registers.esp,
            registers.ebx,
            registers.edx,
            registers.ecx,
            registers.eax,
        ],
        trap,
        instruction: context.instruction,
        flags: context.flags.bits(),
        floats,
        mask: mask.0 as u32,
        address,
    };
    let words = saved.words(CODE, UserContext::DATA);
    let code = TRAMPOLINE * PAGE;
    let own = if is_rich { code + frame::TRAMPOLINE_RICH } else { code };
    let back = if action.flags & flags::RESTORER != 0 { action.restorer } else { own };
    if is_rich {
        let (info_at, ucontext_at) = (at + frame::RICH_INFO, at + frame::RICH_UCONTEXT);
        user::put_words(space, at, [back, info.signal, info_at, ucontext_at])?;
        let mut bytes = [0; 128];
        for (to, from) in bytes.iter_mut().zip(info.bytes()) {
            *to = from;
        }
        user::write(space, info_at, &bytes)?;
        user::put_words(space, ucontext_at, [0, 0, stack.start, 0, stack.size])?;
        user::put_words(space, at + frame::RICH_CONTEXT, words)?;
        let mask_at = at + frame::RICH_CONTEXT + frame::CONTEXT as u32;
        user::put_words(space, mask_at, [mask.0 as u32, (mask.0 >> 32) as u32])?;
    } else {
        let mut plain = [0; 2 + frame::CONTEXT_WORDS];
        plain[0] = back;
        plain[1] = info.signal;
        plain[2..].copy_from_slice(&words);
        user::put_words(space, at, plain)?;
        user::put_words(space, at + frame::PLAIN_MASK, [(mask.0 >> 32) as u32])?;
    }

    let own = if action.flags & flags::NO_DEFER != 0 { Set::EMPTY } else { Set::of(&[info.signal]) };
    let context = &mut current.context;
    context.registers.esp = at;
    context.registers.eax = info.signal;
    context.registers.edx = if is_rich { at + frame::RICH_INFO } else { 0 };
    context.registers.ecx = if is_rich { at + frame::RICH_UCONTEXT } else { 0 };
    context.instruction = action.handler;
    context.flags = UserFlags::new(context.flags.bits() & !CLEARED);
    context.ds = UserContext::DATA;
    context.es = UserContext::DATA;
    set_blocked(current, blocked.and(action.mask).and(own));
    Ok(())
}

/// Which way a handler returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Return {
    /// `sigreturn`: of a handler without siginfo.
    Plain,
    /// `rt_sigreturn`
    Rich,
}

/// Puts back what a handler's frame holds, and answers with EAX.
///
/// # Errors
///
/// EFAULT if the frame is not there. The process ends then.
pub fn come_back(current: &mut Current, way: Return) -> Result<u32> {
    restore(current, way).inspect_err(|_| current.process.end(super::SEGV))
}

fn restore(current: &mut Current, way: Return) -> Result<u32> {
    let esp = current.context.registers.esp;
    let space = &current.space;
    let (at, high) = match way {
        // Its trampoline has taken two words from the stack, or the restorer has.
        Return::Plain => {
            let at = esp.wrapping_sub(8);
            (at.wrapping_add(frame::PLAIN_CONTEXT), at.wrapping_add(frame::PLAIN_MASK))
        }
        Return::Rich => {
            let at = esp.wrapping_sub(4).wrapping_add(frame::RICH_CONTEXT);
            (at, at.wrapping_add(frame::CONTEXT as u32 + 4))
        }
    };
    let saved = Saved::from_words(&user::words(space, at)?);
    let high = user::word(space, high)?;
    let low = match way {
        Return::Plain => saved.mask,
        Return::Rich => user::word(space, at.wrapping_add(frame::CONTEXT as u32))?,
    };
    if saved.floats != 0 {
        let mut state = FpState::new([0; 512]);
        user::read(space, saved.floats.wrapping_add(frame::FLOATS_FXSAVE), state.bytes_mut())?;
        sva().load_fp(&state);
    }
    let context = &mut current.context;
    let [gs, fs, es, ds] = saved.segments;
    (context.gs, context.fs, context.es, context.ds) = (gs, fs, es, ds);
    let [edi, esi, ebp, esp, ebx, edx, ecx, eax] = saved.general;
    let registers = &mut context.registers;
    (registers.edi, registers.esi, registers.ebp, registers.esp) = (edi, esi, ebp, esp);
    (registers.ebx, registers.edx, registers.ecx) = (ebx, edx, ecx);
    context.instruction = saved.instruction;
    context.flags = UserFlags::new(saved.flags);
    set_blocked(current, Set(u64::from(low) | u64::from(high) << 32));
    Ok(eax)
}
