//! `forkbomb` and `memhog`: want more than there is.
//!
//! `forkbomb [--seconds N]`: for so many seconds (3), this process and each that it makes make further ones.
//! `memhog`: fills memory, the data segment, files, open files, pipes and connections, one after the other, each in a
//! child, up to the end. They print
//!
//! ```text
//! forkbomb made=1043 error=11
//! memhog what=memory reached=187 error=0
//! ```
//!
//! with the number of processes that were made, of MiB, open files, pipes or connections that were reached, and the
//! first error, as Linux numbers them: 0 if there was none, as the kernel may end a child that wants too much.

use core::time::Duration;

use crate::sys::{self, Arguments, Errno, File, OUTPUT, Pages, Result, mode, print_to};

const SECONDS: u32 = 3;
const MIB: usize = 1 << 20;
const PLACE: &core::ffi::CStr = c"/tmp/memhog";

/// `forkbomb`.
pub fn forkbomb(arguments: Arguments) -> i32 {
    let seconds = arguments.option("--seconds").unwrap_or(SECONDS);
    let bomb = || -> Result<()> {
        let end = sys::now()? + Duration::from_secs(seconds.into());
        let (made, error) = tell(|tell| multiply(end, tell))?;
        print_to(OUTPUT, format_args!("forkbomb made={made} error={error}\n"));
        Ok(())
    };
    report("forkbomb", bomb())
}

/// Makes children until `end`, which do the same. Says 0 for each, and why one was refused, once.
fn multiply(end: Duration, tell: File) -> i32 {
    let mut refused = false;
    while sys::now().is_ok_and(|now| now < end) {
        match sys::fork() {
            Ok(Some(_)) => _ = tell.write(&[0]),
            Ok(None) => refused = false,
            Err(error) => {
                if !refused {
                    _ = tell.write(&[error.0 as u8]);
                }
                refused = true;
                sys::give_way();
            }
        }
    }
    while sys::wait(None).is_ok() {}
    0
}

/// Gets a number of things more, and tells of it; why it got no more.
type Hog = fn(&mut dyn FnMut()) -> Errno;

/// `memhog`.
pub fn memhog(_: Arguments) -> i32 {
    let hogs: [(&str, Hog); 6] = [
        ("memory", memory),
        ("data", data),
        ("file", file),
        ("open-files", open_files),
        ("pipes", pipes),
        ("connections", connections),
    ];
    let mut status = 0;
    for (name, hog) in hogs {
        let reached = tell(|tell| {
            let why = hog(&mut || _ = tell.write(&[0]));
            _ = tell.write(&[why.0 as u8]);
            0
        });
        if let Ok((reached, error)) = reached {
            print_to(OUTPUT, format_args!("memhog what={name} reached={reached} error={error}\n"));
        }
        status |= report("memhog", reached.map(drop));
        _ = sys::unlink(PLACE);
    }
    status
}

fn memory(tell: &mut dyn FnMut()) -> Errno {
    loop {
        match Pages::map(MIB) {
            Ok(mut pages) => {
                pages.touch();
                pages.keep();
                tell();
            }
            Err(error) => return error,
        }
    }
}

fn data(tell: &mut dyn FnMut()) -> Errno {
    loop {
        match sys::grow_data(MIB) {
            Ok(()) => tell(),
            Err(error) => return error,
        }
    }
}

fn file(tell: &mut dyn FnMut()) -> Errno {
    let bytes = [0x5a; 4096];
    let mut fill = || -> Result<()> {
        let file = File::open(PLACE, mode::WRITE | mode::CREATE | mode::TRUNCATE)?;
        loop {
            for _ in 0..MIB / bytes.len() {
                file.write_all(&bytes)?;
            }
            tell();
        }
    };
    fill().err().unwrap_or(Errno::INVAL)
}

fn open_files(tell: &mut dyn FnMut()) -> Errno {
    loop {
        match File::open(c"/dev/null", mode::READ) {
            Ok(_) => tell(),
            Err(error) => return error,
        }
    }
}

fn pipes(tell: &mut dyn FnMut()) -> Errno {
    loop {
        match sys::pipe() {
            // As much as a pipe holds for certain.
            Ok((_, write)) => _ = write.write(&[0; 4096]),
            Err(error) => return error,
        }
        tell();
    }
}

fn connections(tell: &mut dyn FnMut()) -> Errno {
    let mut connect = || -> Result<()> {
        let listener = File::stream()?;
        let peer = listener.bind()?;
        listener.listen()?;
        loop {
            File::stream()?.connect(&peer)?;
            listener.accept()?;
            tell();
        }
    };
    connect().err().unwrap_or(Errno::INVAL)
}

/// Has a child, and those that it makes, tell through a pipe: how often they said that there is one more, and the
/// first error that they told, 0 if none.
fn tell(child: impl FnOnce(File) -> i32) -> Result<(u32, u8)> {
    let (read, write) = sys::pipe()?;
    let first = sys::spawn(|| {
        _ = read.close();
        child(write)
    })?;
    write.close()?;
    let (mut more, mut error) = (0, 0);
    let mut bytes = [0; 512];
    loop {
        let length = match read.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => length,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        for byte in &bytes[..length] {
            match byte {
                0 => more += 1,
                why if error == 0 => error = *why,
                _ => {}
            }
        }
    }
    read.close()?;
    sys::wait(Some(first))?;
    Ok((more, error))
}

fn report(name: &str, result: Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            print_to(OUTPUT, format_args!("{name}: {error}\n"));
            1
        }
    }
}
