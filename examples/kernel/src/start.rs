//! From the library's boot to the first process, and from its end to that of the machine.
//!
//! Boot modules are archives of the root directory. The words of the command line that follow `--` are the arguments of
//! the first process, whose program is `/init` unless a word `init=PATH` says otherwise. A word
//! `ip=ADDRESS::GATEWAY:NETMASK` says where a network card is.

use crate::errno::{Errno, Result};
use crate::exec::load::load;
use crate::exec::stack::Given;
use crate::fs::clock::{Time, set_clock};
use crate::fs::cpio;
use crate::fs::descriptors::Descriptors;
use crate::fs::flags::OpenFlags;
use crate::fs::random;
use crate::fs::subject::Subject;
use crate::fs::tree::Tree;
use crate::machine::{self, Kernel, Mode};
use crate::memory::{PAGE, pool, space};
use crate::process::current::SignalStack;
use crate::process::tell::{About, Teller};
use crate::process::{Current, clone, table};
use crate::signal::frame;
use crate::wait::{TaskId, set_waker};
use crate::{console, net, process, schedule, syscall, time};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use spin::{Mutex, Once};
use sva_os::boot::{Boot, Status};
use sva_os::context::TLS_SLOTS;

/// The number of the first process.
pub const INIT: u32 = 1;

static TREE: Once<Tree> = Once::new();

/// All files.
///
/// # Errors
///
/// EIO before the boot is through, when there is nobody to ask.
pub fn tree() -> Result<&'static Tree> {
    TREE.get().ok_or(Errno::EIO)
}

/// How the machine ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// As the first process has ended.
    Status(process::Status),
    /// Switched off, as it has asked for.
    PowerOff,
    /// Started anew.
    Reset,
}

static END: Mutex<Option<End>> = Mutex::new(None);
/// The thread that the machine booted with.
static BOOT: AtomicU32 = AtomicU32::new(u32::MAX);

/// Ends the machine, when all processes have ended.
pub fn end(end: End) {
    END.lock().get_or_insert(end);
    schedule::wake(TaskId(BOOT.load(Ordering::Relaxed)));
}

/// The first process has ended.
pub fn init_ended(status: process::Status) {
    end(End::Status(status));
}

/// What the library's boot calls.
pub fn main(boot: &'static Boot<Mode>) -> Status {
    let sva = boot.sva();
    machine::set(sva);
    sva.interrupts().disable();
    match start(boot, sva) {
        Ok(()) => finish(sva, run()),
        Err(why) => {
            console::print(format_args!("kernel: {why}\n"));
            Status::FAILED
        }
    }
}

/// Gets everything ready, and starts the first process.
fn start(boot: &'static Boot<Mode>, sva: &'static Kernel) -> core::result::Result<(), &'static str> {
    console::init(sva).map_err(|_| "no serial port")?;
    pool::init(sva).map_err(|_| "too little memory")?;
    schedule::init();
    let thread = sva.current_thread();
    schedule::add(thread);
    BOOT.store(thread.number(), Ordering::Relaxed);
    set_waker(schedule::wake);
    time::init(sva).map_err(|_| "no timer")?;
    set_clock(|| {
        let (seconds, nanoseconds) = time::split(time::real());
        Time { seconds: seconds.into(), nanoseconds }
    });
    random::seed(time::real() ^ sva.timer().time_stamp().unwrap_or(0));
    net::machine::init(word_of(boot.command_line(), b"ip="));
    clone::init_tls();
    space::init_trampoline(&frame::TRAMPOLINE);

    let tree = files(boot).map_err(|_| "no room for the files")?;
    let tree = TREE.call_once(|| tree);
    console::init_terminal(tree).map_err(|_| "no terminal")?;
    let (program, arguments) = command(boot.command_line());
    first(tree, program, arguments).map_err(|error| {
        console::print(format_args!("kernel: {}: {error}\n", program.escape_ascii()));
        "the first process cannot be started"
    })
}

/// The part of the memory that files may take, in eighths: less than the heap gets, for other things lie there too.
const FILES: u32 = 3;

/// A root directory with what the boot modules hold.
fn files(boot: &'static Boot<Mode>) -> Result<Tree> {
    let budget = pool::total() / 8 * FILES * PAGE;
    let tree = Tree::new(budget as usize)?;
    for module in boot.modules() {
        // Besides the contents there are the names.
        if !pool::has_room(module.bytes().len() / 8 * 9 + (64 << 10)) {
            return Err(Errno::ENOMEM);
        }
        if let Err(error) = cpio::unpack(&tree, module.bytes()) {
            console::print(format_args!("kernel: {}: {error}\n", module.text().escape_ascii()));
            return Err(error.errno);
        }
    }
    // Where there is no such directory, nobody looks for it.
    _ = tree.mount_proc(&Subject::new(tree.root().clone()), b"proc", b"/proc", &Teller);
    Ok(tree)
}

/// What follows `name` in a word of the command line that is the kernel's own.
fn word_of(line: &'static [u8], name: &[u8]) -> Option<&'static [u8]> {
    let own = line.split(|byte| *byte == b' ').skip(1).take_while(|word| *word != b"--");
    own.filter_map(|word| word.strip_prefix(name)).last()
}

/// The program of the first process and its arguments, by the command line, which begins with the kernel's own path.
fn command(line: &'static [u8]) -> (&'static [u8], Vec<&'static [u8]>) {
    let words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mut program: &[u8] = b"/init";
    let mut arguments = Vec::new();
    let mut is_own = true;
    for word in words.skip(1) {
        match word.strip_prefix(b"init=") {
            _ if !is_own => arguments.push(word),
            _ if word == b"--" => is_own = false,
            Some(path) => program = path,
            None => {}
        }
    }
    (program, arguments)
}

/// What the first process finds in its environment.
const ENVIRONMENT: [&[u8]; 2] = [b"HOME=/", b"TERM=linux"];

/// Starts the first process.
fn first(tree: &Tree, program: &[u8], arguments: Vec<&[u8]>) -> Result<()> {
    let id = table::new_id();
    let (process, task) = clone::first(id);
    let mut subject = Subject::new(tree.root().clone());
    subject.job = process.job();
    let mut files = Descriptors::new();
    if let Ok(console) = tree.open(&subject, &subject.directory, b"/dev/console", OpenFlags::RDWR, 0) {
        for _ in 0..3 {
            files.insert(console.clone(), false)?;
        }
    }
    let given = Given {
        name: Vec::new(),
        arguments: [program].into_iter().chain(arguments).map(<[u8]>::to_vec).collect(),
        environment: ENVIRONMENT.map(<[u8]>::to_vec).to_vec(),
    };
    process.state.lock().about = Arc::new(About::new(program, &given.arguments));
    let loaded = load(tree, &subject, program, given)?;
    let root = loaded.space.lock().root();
    let current = Box::new(Current {
        context: loaded.context,
        root,
        turn: TaskId(u32::MAX),
        task,
        process,
        space: loaded.space,
        files: Arc::new(Mutex::new(files)),
        subject: Arc::new(Mutex::new(subject)),
        tls: [None; TLS_SLOTS as usize],
        interrupted: None,
        mask_after: None,
        stack: SignalStack::default(),
        clear_at_end: 0,
        is_over: false,
    });
    let started = clone::begin_first(current);
    // This thread holds no address space: the program's is its own.
    machine::sva().load_root(machine::sva().sealed_root()).map_err(|_| Errno::EIO)?;
    started
}

/// Lets processes run until the machine is to end, and then ends them.
fn run() -> End {
    let boot = TaskId(BOOT.load(Ordering::Relaxed));
    let end = loop {
        if let Some(end) = *END.lock() {
            break end;
        }
        schedule::block(boot);
    };
    while table::counts().1 > 0 {
        table::processes().iter().for_each(|process| process.end(crate::signal::KILL));
        schedule::pass(boot);
        schedule::attend();
    }
    end
}

/// What is left when all processes have ended: says whether all of it is as it was.
fn finish(sva: &'static Kernel, end: End) -> Status {
    for process in table::processes() {
        table::remove_process(process.id);
    }
    schedule::release_stacks();
    space::end_trampoline();
    let counts = pool::counts();
    let (unknown, last) = syscall::unknown();
    if unknown > 0 {
        console::print(format_args!("kernel: {unknown} unknown system calls, the last {last}\n"));
    }
    let missing = counts.total.saturating_sub(counts.unused + counts.heap);
    let audit = sva.audit();
    let stacks = audit.map_or(u32::MAX, |summary| summary.stacks);
    match audit {
        // Without checks nothing is counted that could be recounted.
        _ if cfg!(sva_os_unchecked) => console::print(format_args!("kernel: no audit without checks")),
        Ok(_) => console::print(format_args!("kernel: audit clean")),
        Err(finding) => console::print(format_args!("kernel: audit: {finding}")),
    }
    console::print(format_args!(
        ", {missing} of {} frames missing, {stacks} stacks left, {} for the heap\n",
        counts.total, counts.heap
    ));
    if missing != 0 || !cfg!(sva_os_unchecked) && (audit.is_err() || stacks != 0) {
        return Status::FAILED;
    }
    match end {
        End::PowerOff => sva.io().power_off(),
        End::Reset => sva.io().reset(),
        End::Status(status) if status & 0x7f == 0 => {
            u8::try_from(status >> 8).ok().and_then(Status::new).unwrap_or(Status::FAILED)
        }
        End::Status(signal) => {
            console::print(format_args!(
                "kernel: the first process was killed by signal {}\n",
                signal & 0x7f
            ));
            Status::FAILED
        }
    }
}
