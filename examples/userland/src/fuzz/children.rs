//! The children that make the calls.

use core::ffi::CStr;

use oorandom::Rand32;

use super::call::{Call, Places, value};
use crate::limited::{Ending, limited};
use crate::sys::{self, Address, Arguments, File, OUTPUT, PAGE, Pages, Sacrifice, mode, print_to};

const CHILDREN: u32 = 100_000;
const CALLS: u32 = 100;
const SECONDS: u32 = 10;
/// How long one child may take, in milliseconds.
const PATIENCE: u32 = 100;
/// How many words of memory change before each call.
const WORDS: u32 = 64;
/// How many children there are for each line of progress.
const PROGRESS: u32 = 100;

/// Files that calls may name. Whatever happens to them, they are there for the next child.
const DIRECTORY: &CStr = c"/tmp/fuzz";
const FILE: &CStr = c"/tmp/fuzz/file";
/// Where in its memory a child has the address of a socket that listens; the path of the file is in front of it.
const PEER: usize = 64;
/// What a child says that could not make any call.
const UNPREPARED: i32 = 99;

/// Makes children.
pub fn main(arguments: Arguments) -> i32 {
    let option = |name, otherwise| arguments.option(name).unwrap_or(otherwise);
    let seed = option("--seed", 1);
    let calls = option("--calls", CALLS);
    let plan = Plan { calls, number: arguments.option("--number"), verbose: option("--verbose", 0) != 0 };
    let Ok(start) = sys::now() else {
        print_to(OUTPUT, format_args!("fuzz: there is no clock\n"));
        return 1;
    };
    let (mut children, mut exited, mut signalled, mut stopped, mut unprepared) = (0_u32, 0, 0, 0, 0_u32);
    while children < option("--children", CHILDREN) {
        let time = sys::now().map_or(u64::MAX, |now| now.saturating_sub(start).as_secs());
        if time >= option("--seconds", SECONDS).into() {
            break;
        }
        let own = seed.wrapping_add(children);
        if plan.verbose || children.is_multiple_of(PROGRESS) {
            print_to(OUTPUT, format_args!("fuzz child={own}\n"));
        }
        _ = sys::make_directory(c"/tmp");
        _ = sys::make_directory(DIRECTORY);
        _ = sys::unlink(FILE);
        match limited(PATIENCE, || plan.run(own)) {
            Ok(Ending::Exit(status)) if i32::from(status) == UNPREPARED => unprepared += 1,
            Ok(Ending::Exit(_)) => exited += 1,
            Ok(Ending::Signal(_)) => signalled += 1,
            Ok(Ending::Stopped) => stopped += 1,
            Err(error) => {
                print_to(OUTPUT, format_args!("fuzz: no process: {error}\n"));
                return 1;
            }
        }
        children += 1;
    }
    print_to(
        OUTPUT,
        format_args!(
            "fuzz seed={seed} children={children} calls={calls} exited={exited} signalled={signalled} stopped={stopped} unprepared={unprepared}\n"
        ),
    );
    (unprepared > children / 10).into()
}

/// What each child does.
struct Plan {
    calls: u32,
    number: Option<u32>,
    verbose: bool,
}

impl Plan {
    fn run(&self, seed: u32) -> i32 {
        let mut random = Rand32::new(seed.into());
        let Some((mut memory, places, peer)) = prepare() else { return UNPREPARED };
        let own = sys::own_pid();
        let mut sacrifice = Sacrifice::of_this_process();
        for _ in 0..self.calls {
            for _ in 0..WORDS {
                let at = random.rand_range(0..places.length);
                memory.write(at as usize, &value(&mut random, &places).to_ne_bytes());
            }
            memory.write(0, FILE.to_bytes_with_nul());
            memory.write(PEER, &peer);
            let call = Call::any(&mut random, &places, self.number);
            if self.verbose {
                print_to(File(VERBOSE), format_args!("{call:x?}\n"));
            }
            sacrifice.call(call.number, call.arguments);
            if call.may_fork() && sys::own_pid() != own {
                return 0;
            }
        }
        0
    }
}

/// Where a verbose child prints: none of the numbers that are tried.
const VERBOSE: u32 = 300;

/// Takes away what belongs to others, and leaves a few files to play with.
fn prepare() -> Option<(Pages, Places, Address)> {
    _ = sys::new_session();
    OUTPUT.duplicate_to(File(VERBOSE)).ok()?;
    (0..16).for_each(|number| _ = File(number).close());
    let (read, write) = sys::pipe().ok()?;
    _ = File::open(FILE, mode::READ_WRITE | mode::CREATE);
    _ = File::open(DIRECTORY, mode::READ);
    // Where there are no sockets, there are fewer files.
    let peer = sockets().unwrap_or_default();
    _ = read.duplicate_from(9);
    _ = write.duplicate_from(12);
    let mut memory = Pages::map(3 * PAGE).ok()?;
    memory.shorten(2 * PAGE);
    let start = memory.address();
    let here = 0_u32;
    let places = Places {
        memory: start,
        length: 2 * PAGE as u32,
        code: prepare as *const () as u32,
        stack: (&raw const here).addr() as u32,
        names: [start, address(c"/"), address(DIRECTORY), address(c"/proc/self/status"), start + PEER as u32],
    };
    Some((memory, places, peer))
}

/// A socket that listens, both ends of a connection to it, and one for datagrams; the first one's address.
fn sockets() -> sys::Result<Address> {
    let listener = File::stream()?;
    let peer = listener.bind()?;
    listener.listen()?;
    File::stream()?.connect(&peer)?;
    listener.accept()?;
    File::datagrams()?.bind()?;
    Ok(peer)
}

fn address(path: &'static CStr) -> u32 {
    path.as_ptr().addr() as u32
}
