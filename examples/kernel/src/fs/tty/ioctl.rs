//! What `ioctl` does with a terminal.

use super::super::data::{Sink, Source};
use super::super::stat::Fields;
use super::{Job, Owner, Termios, Tty, Window};
use crate::errno::{Errno, Result};

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
pub(in crate::fs) const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
pub(in crate::fs) const FIONREAD: u32 = 0x541b;
pub(in crate::fs) const FIONBIO: u32 = 0x5421;
const TIOCNOTTY: u32 = 0x5422;
const TCSBRKP: u32 = 0x5425;
const TIOCGSID: u32 = 0x5429;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;

/// What is done with a terminal: a background process may not do all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Look,
    Read,
    Write,
    Change,
}

/// What a request of `ioctl` does.
pub fn access_of(request: u32) -> Access {
    match request {
        TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 | TCSBRK | TCSBRKP | TCXONC | TCFLSH
        | TIOCSPGRP => Access::Change,
        _ => Access::Look,
    }
}

/// Gets all of what an argument points at; EFAULT if not all of it is there.
pub(in crate::fs) fn get<const N: usize>(source: &mut dyn Source) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    if source.get(&mut bytes)? == N { Ok(bytes) } else { Err(Errno::EFAULT) }
}

/// Puts all of an answer; EFAULT if there is not room for all.
pub(in crate::fs) fn put(sink: &mut dyn Sink, bytes: &[u8]) -> Result<u32> {
    if sink.put(bytes)? == bytes.len() { Ok(0) } else { Err(Errno::EFAULT) }
}

impl Tty {
    /// Does what a request says. `source` and `sink` are the memory that `argument` points at, if it does.
    ///
    /// # Errors
    ///
    /// EFAULT if that memory is not all there: nothing is done, and who can page it in calls again. ENOTTY for a
    /// request that no terminal knows, and of the job calls if it is not the caller's terminal.
    pub fn ioctl(
        &self,
        job: Job,
        request: u32,
        argument: u32,
        source: &mut dyn Source,
        sink: &mut dyn Sink,
    ) -> Result<u32> {
        match request {
            TCGETS => put(sink, &self.termios().to_bytes()),
            TCGETS2 => put(sink, &self.termios().to_bytes_2()),
            TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 => {
                let bytes = match request {
                    TCSETS | TCSETSW | TCSETSF => get::<{ Termios::SIZE }>(source)?,
                    _ => {
                        let bytes = get::<{ Termios::SIZE_2 }>(source)?;
                        bytes.first_chunk().copied().ok_or(Errno::EINVAL)?
                    }
                };
                if matches!(request, TCSETSF | TCSETSF2) {
                    self.flush_input();
                }
                self.set_termios(Termios::from_bytes(&bytes));
                Ok(0)
            }
            // Output is on its way when `write` returns.
            TCSBRK | TCSBRKP => Ok(0),
            TCXONC => match argument {
                0 | 1 => {
                    self.set_stopped(argument == 0);
                    Ok(0)
                }
                2 | 3 => Ok(0),
                _ => Err(Errno::EINVAL),
            },
            TCFLSH => match argument {
                0 | 2 => {
                    self.flush_input();
                    Ok(0)
                }
                1 => Ok(0),
                _ => Err(Errno::EINVAL),
            },
            TIOCOUTQ => put(sink, &0_u32.to_le_bytes()),
            FIONREAD => put(sink, &(self.line.lock().waiting() as u32).to_le_bytes()),
            TIOCGWINSZ => put(sink, &self.window().to_bytes()),
            TIOCSWINSZ => {
                self.set_window(Window::from_bytes(get(source)?));
                Ok(0)
            }
            TIOCSCTTY => self.acquire(job).map(|()| 0),
            TIOCNOTTY | TIOCGPGRP | TIOCSPGRP | TIOCGSID => self.job_ioctl(job, request, source, sink),
            _ => Err(Errno::ENOTTY),
        }
    }

    /// What only a process whose terminal it is may ask.
    fn job_ioctl(&self, job: Job, request: u32, source: &mut dyn Source, sink: &mut dyn Sink) -> Result<u32> {
        let Owner { session, foreground } = *self.owner.lock();
        if session != job.session || session == 0 {
            return Err(Errno::ENOTTY);
        }
        match request {
            TIOCGPGRP => put(sink, &foreground.to_le_bytes()),
            TIOCGSID => put(sink, &session.to_le_bytes()),
            TIOCSPGRP => {
                let group = i32::from_le_bytes(get(source)?);
                let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
                if self.host.session_of(group).ok_or(Errno::ESRCH)? != session {
                    return Err(Errno::EPERM);
                }
                self.owner.lock().foreground = group;
                Ok(0)
            }
            _ => {
                if job.is_leader() {
                    self.release(session);
                }
                Ok(0)
            }
        }
    }
}

impl Window {
    pub fn to_bytes(self) -> [u8; 8] {
        Fields::new().u16(self.rows).u16(self.columns).u16(self.width).u16(self.height).finish()
    }

    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        let half = |low, high| u16::from_le_bytes([low, high]);
        Self { rows: half(a, b), columns: half(c, d), width: half(e, f), height: half(g, h) }
    }
}
