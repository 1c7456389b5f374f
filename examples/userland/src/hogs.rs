//! `forkbomb` and `memhog`: want more than there is.
//!
//! `forkbomb [--seconds N]`: for so many seconds (3), this process and each that it makes make further ones.
//! `memhog`: fills memory, the data segment, files, open files and pipes, one after the other, each in a child, up to
//! the end. They print
//!
//! ```text
//! forkbomb made=1043 error=11
//! memhog what=memory reached=187
//! ```
//!
//! with the processes that were there before the first was refused and why it was; what was reached is in MiB, or in
//! open files and pipes. The kernel may end a child that wants too much.

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
        let (read, write) = sys::pipe()?;
        let first = sys::spawn(|| {
            _ = read.close();
            multiply(end, write)
        })?;
        write.close()?;
        let (mut made, mut error) = (0_u32, 0);
        let mut bytes = [0; 512];
        loop {
            let length = read.read(&mut bytes)?;
            for byte in &bytes[..length] {
                match byte {
                    0 => made += 1,
                    why if error == 0 => error = (*why).into(),
                    _ => {}
                }
            }
            if length == 0 {
                break;
            }
        }
        read.close()?;
        sys::wait(Some(first))?;
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

/// Takes one thing until it gets no more, and tells of each that it got.
type Hog = fn(File);

/// `memhog`.
pub fn memhog(_: Arguments) -> i32 {
    let hogs: [(&str, Hog); 5] = [
        ("memory", |tell| {
            while let Ok(mut pages) = Pages::map(MIB) {
                pages.touch();
                pages.keep();
                told(tell);
            }
        }),
        ("data", |tell| {
            while sys::grow_data(MIB).is_ok() {
                told(tell);
            }
        }),
        ("file", |tell| {
            let bytes = [0x5a; 4096];
            let Ok(file) = File::open(PLACE, mode::WRITE | mode::CREATE | mode::TRUNCATE) else { return };
            loop {
                for _ in 0..MIB / bytes.len() {
                    if file.write_all(&bytes).is_err() {
                        return;
                    }
                }
                told(tell);
            }
        }),
        ("open-files", |tell| {
            while File::open(c"/dev/null", mode::READ).is_ok() {
                told(tell);
            }
        }),
        ("pipes", |tell| {
            while let Ok((_, write)) = sys::pipe() {
                // As much as a pipe holds for certain.
                _ = write.write(&[0; 4096]);
                told(tell);
            }
        }),
    ];
    let mut status = 0;
    for (name, hog) in hogs {
        let reached = reach(hog);
        if let Ok(reached) = reached {
            print_to(OUTPUT, format_args!("memhog what={name} reached={reached}\n"));
        }
        status |= report("memhog", reached.map(drop));
        _ = sys::unlink(PLACE);
    }
    status
}

fn told(tell: File) {
    _ = tell.write(&[0]);
}

/// How often a child could tell that it has got more, before it ended.
fn reach(hog: Hog) -> Result<u32> {
    let (read, write) = sys::pipe()?;
    let child = sys::spawn(|| {
        _ = read.close();
        hog(write);
        0
    })?;
    write.close()?;
    let mut reached = 0;
    let mut bytes = [0; 512];
    loop {
        match read.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => reached += length as u32,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    read.close()?;
    sys::wait(Some(child))?;
    Ok(reached)
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
