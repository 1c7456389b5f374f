//! Sessions: what the shell does on the example kernel, and what the kernel then says of itself.
//!
//! Each boots the kernel with the root directory of the programs and lets the shell run some commands. All that is
//! expected must be in the output, in that order; whatever else happens, the kernel must find nothing amiss when it is
//! switched off.

mod web;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};

use crate::ending::Ending;
use crate::http::free_port;
use crate::kernel::{Checks, Kernel, Mode, Profile};
use crate::qemu::{Boot, Outcome};
use crate::run::{PROGRAMS, with_programs};
use crate::setup;
use crate::toolchain::SourceToolchain;

/// What a kernel says in which all is as it was at the beginning.
const CLEAN: &str = "kernel: audit clean, 0 of ";

struct Session {
    name: &'static str,
    mode: Mode,
    /// RAM in MiB.
    memory: u32,
    /// Seconds that it may take.
    limit: u64,
    /// What the shell runs from a file; empty if somebody types.
    commands: &'static str,
    /// What is typed, each when the first of the pair is there.
    typed: &'static [(&'static str, &'static str)],
    /// What this machine does with the guest, by a port that leads to it.
    visit: Option<fn(u16) -> Result<()>>,
    /// Parts of the output, in order.
    expected: &'static [&'static str],
    /// The shell's.
    status: u8,
}

const DAILY: Session = Session {
    name: "daily",
    mode: Mode::TwoLevel,
    memory: 128,
    limit: 60,
    commands: include_str!("sessions/daily.sh"),
    typed: &[],
    visit: None,
    expected: &[
        "hello from a pipe",
        "1 2 3 4 5",
        "ROOT:X:0:0",
        "kept\n",
        "lost 1",
        "exited 7",
        "killed 137",
        "caught USR1",
        "terminated 143",
        "stopped and continued",
        "1000",
        "100000",
        "sum of zeroes",
        "background done",
        "end of daily",
    ],
    status: 5,
};

/// The shell with job control: keys that end, stop and finish what is in the foreground. What is waited for is put
/// together by the shell, so that it is not seen before, where the command is typed.
const TYPED: Session = Session {
    name: "typed",
    commands: "",
    typed: &[
        ("# ", "sh -c 'echo on''ce; sleep 100'\r"),
        ("once", "\x03"),
        ("# ", "echo ended $?\r"),
        ("ended 130", "sh -c 'echo tw''ice; sleep 100'\r"),
        ("twice", "\x1a"),
        ("Stopped", "bg; jobs\r"),
        ("Running", "kill %1; wait; echo ov''er\r"),
        ("over", "echo re''ady; cat; echo got $?\r"),
        ("ready", "a line\r\x04"),
        ("got 0", "cat &\r"),
        ("# ", "sleep 0.3; jobs\r"),
        ("Stopped (tty input)", "kill -9 %1; stty -echo; stty -a | head -n 1; stty echo\r"),
        // The first of a pipe has often ended when the last joins its group.
        ("speed", "i=0; while [ $i -lt 300 ]; do true | echo >> joined; i=$((i+1)); done\r"),
        ("# ", "echo $(wc -l < joined) join''ed\r"),
        ("300 joined", "exit 4\r"),
    ],
    expected: &[
        "once",
        "ended 130",
        "twice",
        "Stopped",
        "Running",
        "over",
        "a line",
        "a line",
        "got 0",
        "tty input",
    ],
    status: 4,
    ..DAILY
};

/// An editor, which wants the terminal raw, its size, and keys one by one.
const EDITOR: Session = Session {
    name: "editor",
    commands: "",
    typed: &[
        ("# ", "vi note\r"),
        ("note 1/1 100%", "iwritten in vi\x1b"),
        ("[Modified]", ":wq\r"),
        ("1L, 14C", "md5sum note; vi note\r"),
        ("note 1/1 100%", ":q\r"),
        ("# ", "cat note; exit 6\r"),
    ],
    // By md5sum on the host.
    expected: &["'note' 1L, 14C", "3580c22824277a9db7b9011df182bae9  note", "written in vi\n"],
    status: 6,
    ..DAILY
};

/// A server that this machine and the guest itself visit. At the end connections are open.
const WEB: Session = Session {
    name: "web",
    commands: include_str!("sessions/web.sh"),
    visit: Some(web::visit),
    // By md5sum on the host.
    expected: &[
        "kernel: network card ",
        "host served",
        "7fcaf06c08d4015bcceaf7e0ad7fafe4  -",
        "b5e070d22d5ebaf12435f0d53818e85b  -",
        "a8177876b2886cb74338f9a050089431  -",
        "b5e070d22d5ebaf12435f0d53818e85b  -",
        "missing 1",
        "refused 1",
        "both ways",
        "end of web",
    ],
    status: 3,
    ..DAILY
};

/// Random arguments for every system call, for an hour: has to be named.
const HOUR: Session = Session {
    name: "hour of calls",
    mode: Mode::Pae,
    memory: 64,
    limit: 2 * 60 * 60,
    commands: "fuzz --seconds 3600 --children 100000000 --seed 1000000; echo alive",
    typed: &[],
    visit: None,
    expected: &["fuzz seed=1000000 children=", "alive\n"],
    status: 0,
};

const SESSIONS: &[Session] = &[
    DAILY,
    TYPED,
    EDITOR,
    WEB,
    Session { name: "daily, PAE", mode: Mode::Pae, ..DAILY },
    Session {
        name: "hostile",
        mode: Mode::TwoLevel,
        memory: 64,
        limit: 300,
        commands: include_str!("sessions/hostile.sh"),
        typed: &[],
        visit: None,
        expected: &[
            "badelf seed=1 count=1000",
            "fuzz child=1",
            "memhog what=connections",
            "forkbomb made=",
            "alive\n",
        ],
        status: 0,
    },
    // What a process has taken and lost is there for files.
    Session {
        name: "hungry",
        mode: Mode::TwoLevel,
        memory: 64,
        limit: 60,
        commands: "memhog > said; cat said; n=$(sed -n 's/.*what=file reached=\\([0-9]*\\).*/\\1/p' said)\n\
            [ $n -ge 16 ] && echo enough for files",
        typed: &[],
        visit: None,
        expected: &["memhog what=file", "enough for files\n"],
        status: 0,
    },
    Session {
        name: "little memory",
        mode: Mode::TwoLevel,
        memory: 16,
        limit: 60,
        commands: "memhog; forkbomb --seconds 1; echo alive",
        typed: &[],
        visit: None,
        expected: &["memhog what=connections", "forkbomb made=", "alive\n"],
        status: 0,
    },
];

/// Runs those with `name` in their name, or all but the long one.
pub fn sessions(name: Option<&str>) -> Result<()> {
    let toolchain = SourceToolchain::find()?;
    let qemu = setup::qemu()?;
    let mut failed = Vec::new();
    let chosen = |session: &&Session| name.is_none_or(|name| session.name.contains(name));
    let long = name.is_some().then_some(&HOUR);
    for session in SESSIONS.iter().chain(long).filter(chosen) {
        let kernel = Kernel {
            directory: ["examples", PROGRAMS].iter().collect(),
            profile: Profile::Release,
            mode: session.mode,
            checks: Checks::Checked,
        };
        let mut boot = Boot {
            memory: Some(session.memory),
            cpu: session.mode.cpu(),
            limit: Some(Duration::from_secs(session.limit)),
            ..Boot::default()
        };
        let commands = (!session.commands.is_empty()).then_some(session.commands);
        with_programs(&mut boot, &toolchain, Vec::new(), commands)?;
        boot.kernel = kernel.build(&toolchain)?;
        let start = Instant::now();
        let outcome = session.boot(boot, &qemu)?;
        let output = outcome.output.replace('\r', "");
        match session.judge(&output, &outcome.ending) {
            Ok(()) => {
                println!("{:>7.1} s  session {}", start.elapsed().as_secs_f64(), session.name);
                output
                    .lines()
                    .filter(|line| line.starts_with("fuzz seed="))
                    .for_each(|line| println!("    {line}"));
            }
            Err(error) => {
                println!("{output}\nsession {}: {error}", session.name);
                failed.push(session.name);
            }
        }
    }
    ensure!(failed.is_empty(), "sessions failed: {}", failed.join(", "));
    Ok(())
}

impl Session {
    fn boot(&self, mut boot: Boot, qemu: &Path) -> Result<Outcome> {
        let Some(visit) = self.visit else {
            return match self.typed {
                [] => boot.captured(qemu),
                typed => boot.typed(qemu, typed),
            };
        };
        let port = free_port()?;
        boot.forward = Some(port);
        let (outcome, visited) = thread::scope(|scope| {
            let visitor = scope.spawn(move || visit(port));
            (boot.captured(qemu), visitor.join())
        });
        let outcome = outcome?;
        let visited = visited.unwrap_or_else(|_| Err(anyhow!("the visitor panicked")));
        visited.map_err(|error| error.context(outcome.output.clone()))?;
        Ok(outcome)
    }

    fn judge(&self, output: &str, ending: &Ending) -> Result<()> {
        let mut rest = output;
        for expected in self.expected {
            match rest.split_once(expected) {
                Some((_, behind)) => rest = behind,
                None => bail!("{expected:?} is missing, or in another place"),
            }
        }
        ensure!(output.contains(CLEAN), "the kernel does not say that all is as it was");
        match ending {
            Ending::Status(status) if *status == self.status => Ok(()),
            Ending::Status(status) => bail!("status {status} instead of {}", self.status),
            other => bail!("{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(output: &str, status: u8) -> bool {
        let session = Session { expected: &["one", "two"], status: 3, ..DAILY };
        session.judge(output, &Ending::Status(status)).is_ok()
    }

    #[test]
    fn a_session_passes_with_all_in_order_a_clean_audit_and_its_status() {
        let clean = "kernel: audit clean, 0 of 7 frames missing";
        assert!(judge(&format!("one\ntwo\n{clean}"), 3));
        assert!(!judge(&format!("two\none\n{clean}"), 3));
        assert!(!judge(&format!("one\n{clean}"), 3));
        assert!(!judge("one\ntwo\nkernel: audit clean, 1 of 7 frames missing", 3));
        assert!(!judge(&format!("one\ntwo\n{clean}"), 4));
    }
}
