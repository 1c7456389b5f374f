//! From a number to what it calls.

use super::number::*;
use super::{file, identity, lock, memory, path, poll, process, signal, socket, system, time};
use crate::errno::{Errno, Result};
use crate::process::Current;
use crate::signal::deliver::{Return, come_back};
use core::sync::atomic::{AtomicU32, Ordering};

/// How many calls there were that are not known.
static UNKNOWN: AtomicU32 = AtomicU32::new(0);
/// The number of the last of them.
static LAST_UNKNOWN: AtomicU32 = AtomicU32::new(0);

/// How many calls there were that are not known, and the last of them.
pub fn unknown() -> (u32, u32) {
    (UNKNOWN.load(Ordering::Relaxed), LAST_UNKNOWN.load(Ordering::Relaxed))
}

/// What a call is given.
#[derive(Clone, Copy)]
pub(super) struct Arguments(pub(super) [u32; 6]);

/// The program of `current` has called.
#[inline]
pub fn call(current: &mut Current) {
    let number = current.context.registers.eax;
    if number == GETPID {
        // The call that everybody measures; it says what a call costs at least.
        current.context.registers.eax = current.process.id;
        return;
    }
    answer(current, number);
}

#[inline(never)]
fn answer(current: &mut Current, number: u32) {
    let registers = &current.context.registers;
    let arguments =
        [registers.ebx, registers.ecx, registers.edx, registers.esi, registers.edi, registers.ebp];
    current.context.registers.eax = match dispatch(current, number, Arguments(arguments)) {
        Ok(value) => value,
        Err(error) => {
            if error == Errno::EINTR {
                current.interrupted = Some(number);
            }
            error.to_eax()
        }
    };
}

fn dispatch(current: &mut Current, number: u32, arguments: Arguments) -> Result<u32> {
    let Arguments([a, b, c, d, e, f]) = arguments;
    match number {
        READ => file::read(current, a, b, c),
        WRITE => file::write(current, a, b, c),
        READV => file::read_vector(current, a, b, c),
        WRITEV => file::write_vector(current, a, b, c),
        PREAD64 => file::read_at(current, a, b, c, wide(d, e)),
        PWRITE64 => file::write_at(current, a, b, c, wide(d, e)),
        CLOSE => file::close(current, a),
        CLOSE_RANGE => file::close_range(current, a, b, c),
        LSEEK => file::seek(current, a, b.cast_signed().into(), c).and_then(narrow),
        LLSEEK => file::long_seek(current, a, wide(c, b), d, e),
        DUP => file::duplicate(current, a),
        DUP2 => file::duplicate_over(current, a, b),
        DUP3 => file::duplicate_to(current, a, b, c),
        PIPE => file::pipe(current, a, 0),
        PIPE2 => file::pipe(current, a, b),
        FCNTL | FCNTL64 => file::control(current, a, b, c),
        IOCTL => file::ioctl(current, a, b, c),
        FSTAT64 => file::stat64(current, a, b),
        FSTAT => file::stat(current, a, b),
        FSTATFS => file::stat_fs(current, a, b),
        FSTATFS64 => file::stat_fs64(current, a, b, c),
        FTRUNCATE => file::truncate(current, a, b.into()),
        FTRUNCATE64 => file::truncate(current, a, wide(b, c)),
        FSYNC | FDATASYNC => file::sync(current, a),
        FLOCK => lock::flock(current, a, b),
        GETDENTS => file::directory(current, a, b, c, crate::fs::dirent::Layout::Old),
        GETDENTS64 => file::directory(current, a, b, c, crate::fs::dirent::Layout::New),
        SENDFILE => file::send(current, a, b, c, d, file::Offset::Word),
        SENDFILE64 => file::send(current, a, b, c, d, file::Offset::Long),

        OPEN => path::open(current, path::HERE, a, b, c),
        OPENAT => path::open(current, a, b, c, d),
        CREAT => path::open(current, path::HERE, a, path::CREATE, b),
        STAT64 => path::stat64(current, path::HERE, a, b, 0),
        LSTAT64 => path::stat64(current, path::HERE, a, b, path::NO_FOLLOW),
        FSTATAT64 => path::stat64(current, a, b, c, d),
        STAT => path::stat(current, a, b, 0),
        LSTAT => path::stat(current, a, b, path::NO_FOLLOW),
        STATX => path::statx(current, a, b, c, e),
        STATFS => path::stat_fs(current, a, b),
        STATFS64 => path::stat_fs64(current, a, b, c),
        ACCESS => path::access(current, path::HERE, a, b, 0),
        FACCESSAT => path::access(current, a, b, c, 0),
        FACCESSAT2 => path::access(current, a, b, c, d),
        READLINK => path::read_link(current, path::HERE, a, b, c),
        READLINKAT => path::read_link(current, a, b, c, d),
        LINK => path::link(current, path::HERE, a, path::HERE, b, 0),
        LINKAT => path::link(current, a, b, c, d, e),
        SYMLINK => path::symlink(current, a, path::HERE, b),
        SYMLINKAT => path::symlink(current, a, b, c),
        UNLINK => path::unlink(current, path::HERE, a, 0),
        UNLINKAT => path::unlink(current, a, b, c),
        RMDIR => path::unlink(current, path::HERE, a, path::REMOVE_DIRECTORY),
        MKDIR => path::make_directory(current, path::HERE, a, b),
        MKDIRAT => path::make_directory(current, a, b, c),
        MKNOD => path::make_node(current, path::HERE, a, b, c),
        MKNODAT => path::make_node(current, a, b, c, d),
        RENAME => path::rename(current, path::HERE, a, path::HERE, b, 0),
        RENAMEAT => path::rename(current, a, b, c, d, 0),
        RENAMEAT2 => path::rename(current, a, b, c, d, e),
        CHDIR => path::change_directory(current, a),
        FCHDIR => path::change_directory_to(current, a),
        CHROOT => path::change_root(current, a),
        GETCWD => path::directory(current, a, b),
        CHMOD => path::change_mode(current, path::HERE, a, b),
        FCHMODAT => path::change_mode(current, a, b, c),
        FCHMOD => path::change_mode_of(current, a, b),
        CHOWN => path::change_owner(current, path::HERE, a, b, c, 0),
        LCHOWN => path::change_owner(current, path::HERE, a, b, c, path::NO_FOLLOW),
        FCHOWNAT => path::change_owner(current, a, b, c, d, e),
        FCHOWN => path::change_owner_of(current, a, b, c),
        CHOWN16 => path::change_owner(current, path::HERE, a, identity::widen(b), identity::widen(c), 0),
        LCHOWN16 => path::change_owner(
            current,
            path::HERE,
            a,
            identity::widen(b),
            identity::widen(c),
            path::NO_FOLLOW,
        ),
        FCHOWN16 => path::change_owner_of(current, a, identity::widen(b), identity::widen(c)),
        TRUNCATE => path::truncate(current, a, b.into()),
        TRUNCATE64 => path::truncate(current, a, wide(b, c)),
        UTIMENSAT => path::set_times(current, a, b, c, d, time::Width::Word),
        UTIMENSAT_TIME64 => path::set_times(current, a, b, c, d, time::Width::Long),
        UTIMES => path::set_times_micro(current, a, b),
        UTIME => path::set_times_seconds(current, a, b),
        UMASK => path::mask(current, a),
        MOUNT => path::mount(current, a, b, c),
        UMOUNT | UMOUNT2 => path::unmount(current, a),
        SYNC => Ok(0),

        BRK => Ok(memory::brk(current, a)),
        MMAP2 => memory::map(current, a, b, c, d, e, u64::from(f) << 12),
        OLD_MMAP => memory::old_map(current, a),
        MUNMAP => memory::unmap(current, a, b),
        MPROTECT => memory::protect(current, a, b, c),
        MREMAP => memory::remap(current, a, b, c, d, e),
        MADVISE => memory::advise(current, a, b, c),
        MSYNC => memory::sync(current, a, b),

        EXIT => process::exit(current, a),
        EXIT_GROUP => process::exit_group(current, a),
        FORK => process::fork(current),
        VFORK => process::vfork(current),
        CLONE => process::clone(current, [a, b, c, d, e]),
        EXECVE => process::execute(current, a, b, c),
        WAITPID => process::wait(current, a, b, c, 0),
        WAIT4 => process::wait(current, a, b, c, d),
        GETTID => Ok(current.task.id),
        SET_TID_ADDRESS => process::set_tid_address(current, a),
        SET_ROBUST_LIST => process::set_robust_list(b),
        SET_THREAD_AREA => process::set_thread_area(current, a),
        GET_THREAD_AREA => process::get_thread_area(current, a),
        FUTEX => process::futex(current, a, b, c, d, e, f, time::Width::Word),
        FUTEX_TIME64 => process::futex(current, a, b, c, d, e, f, time::Width::Long),
        SCHED_YIELD => process::pass(current),
        SCHED_GETAFFINITY => process::affinity(current, a, b, c),
        SCHED_SETAFFINITY => Ok(0),
        SCHED_GETSCHEDULER => Ok(0),
        GETPRIORITY => Ok(20),
        SETPRIORITY | NICE => Ok(0),
        PRCTL => process::control(current, a, b),

        GETPPID => Ok(current.process.parent_id()),
        GETPGRP => identity::group(current, 0),
        GETPGID => identity::group(current, a),
        GETSID => identity::session(current, a),
        SETPGID => identity::set_group(current, a, b),
        SETSID => identity::set_session(current),
        GETUID | GETEUID | GETUID16 | GETEUID16 => Ok(current.subject.lock().uid),
        GETGID | GETEGID | GETGID16 | GETEGID16 => Ok(current.subject.lock().gid),
        SETUID | SETUID16 => identity::set_user(current, a),
        SETGID | SETGID16 => identity::set_user_group(current, a),
        SETREUID => identity::set_users(current, [a, b]),
        SETREGID => identity::set_user_groups(current, [a, b]),
        SETRESUID => identity::set_users(current, [a, b, c]),
        SETRESGID => identity::set_user_groups(current, [a, b, c]),
        GETRESUID => identity::users(current, [a, b, c]),
        GETRESGID => identity::user_groups(current, [a, b, c]),
        GETGROUPS => identity::groups(current, a, b),
        SETGROUPS => identity::set_groups(current, a, b),

        RT_SIGACTION => signal::action(current, a, b, c, d),
        SIGACTION => signal::old_action(current, a, b, c),
        RT_SIGPROCMASK => signal::mask(current, a, b, c, d),
        RT_SIGPENDING => signal::pending(current, a, b),
        RT_SIGSUSPEND => signal::suspend(current, a, b),
        RT_SIGTIMEDWAIT => signal::timed_wait(current, a, b, c, d, time::Width::Word),
        RT_SIGTIMEDWAIT_TIME64 => signal::timed_wait(current, a, b, c, d, time::Width::Long),
        SIGALTSTACK => signal::stack(current, a, b),
        SIGRETURN => come_back(current, Return::Plain),
        RT_SIGRETURN => come_back(current, Return::Rich),
        KILL => signal::kill(current, a, b),
        TKILL => signal::kill_task(current, None, a, b),
        TGKILL => signal::kill_task(current, Some(a), b, c),
        PAUSE => signal::pause(current),
        ALARM => signal::alarm(current, a),
        SETITIMER => signal::set_timer(current, a, b, c),
        GETITIMER => signal::timer(current, a, b),

        POLL => poll::poll(current, a, b, c),
        PPOLL => poll::precise_poll(current, a, b, c, d, time::Width::Word),
        PPOLL_TIME64 => poll::precise_poll(current, a, b, c, d, time::Width::Long),
        SELECT => poll::select(current, a, [b, c, d], e),
        PSELECT6 => poll::precise_select(current, a, [b, c, d], e, f, time::Width::Word),
        PSELECT6_TIME64 => poll::precise_select(current, a, [b, c, d], e, f, time::Width::Long),

        SOCKETCALL => socket::behind_one(current, a, b),
        SOCKET..=SHUTDOWN => socket::call_by_number(current, number, [a, b, c, d, e, f]),

        TIME => time::seconds(current, a),
        STIME => time::set_seconds(current, a),
        GETTIMEOFDAY => time::time_of_day(current, a, b),
        SETTIMEOFDAY => time::set_time_of_day(current, a),
        CLOCK_GETTIME => time::get(current, a, b, time::Width::Word),
        CLOCK_GETTIME64 => time::get(current, a, b, time::Width::Long),
        CLOCK_SETTIME => time::set(current, a, b, time::Width::Word),
        CLOCK_SETTIME64 => time::set(current, a, b, time::Width::Long),
        CLOCK_GETRES => time::resolution(current, a, b, time::Width::Word),
        CLOCK_GETRES_TIME64 => time::resolution(current, a, b, time::Width::Long),
        NANOSLEEP => time::sleep(current, 1, 0, a, b, time::Width::Word),
        CLOCK_NANOSLEEP => time::sleep(current, a, b, c, d, time::Width::Word),
        CLOCK_NANOSLEEP_TIME64 => time::sleep(current, a, b, c, d, time::Width::Long),
        TIMES => time::times(current, a),

        UNAME => system::name(current, a),
        SYSINFO => system::information(current, a),
        GETRANDOM => system::random(current, a, b),
        GETRLIMIT => system::limit(current, a, b, u32::MAX),
        OLD_GETRLIMIT => system::limit(current, a, b, 0x7fff_ffff),
        SETRLIMIT => system::set_limit(current, a, b),
        PRLIMIT64 => system::process_limit(current, a, b, c, d),
        GETRUSAGE => system::usage(current, b),
        REBOOT => system::reboot(current, a, b, c),
        _ => {
            UNKNOWN.fetch_add(1, Ordering::Relaxed);
            LAST_UNKNOWN.store(number, Ordering::Relaxed);
            Err(Errno::ENOSYS)
        }
    }
}

/// A number of 64 bits from its halves.
const fn wide(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// A number that must fit what programs without large files understand.
fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).ok().filter(|value| value.cast_signed() >= 0).ok_or(Errno::EOVERFLOW)
}
