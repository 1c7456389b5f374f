//! The programs for a kernel that speaks Linux's system calls, and the archive that is its root directory.
//!
//! [`root`] builds `examples/userland`, fetches Debian's static busybox, and packs both into an archive in the
//! format cpio newc, which Linux takes as its initramfs: so the very same root boots on both. It holds
//!
//! * `/init` and the other programs of `examples/userland` in `/userland`,
//! * `/bin/busybox`, and a symbolic link in `/bin` for each of its applets,
//! * a link in `/bin` for each program, and for what `tools` can do, where busybox has none of that name,
//! * `/dev` with the devices that programs expect, and the empty directories `/proc`, `/sys`, `/tmp`, `/root`, `/etc`,
//! * what was added, each file in the root directory, as a program.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::archive::{Archive, Node};
use crate::debian;
use crate::kernel::check;
use crate::process::{read, run, succeeds};
use crate::setup;
use crate::toolchain::{SourceToolchain, executables};

const PACKAGE: &str = "userland";
const ARTIFACTS: &str = "target/userland";
/// Where the small shell is, once it is built.
pub const SHELL: &str = "target/userland/sh";
/// What `tools` does, by the name it is called with.
const TOOLS: [&str; 11] =
    ["cat", "echo", "false", "kill", "ls", "mkdir", "mount", "ps", "rm", "sleep", "true"];
/// Character devices: name, permissions, major and minor number, as Linux numbers them.
const DEVICES: [(&str, u32, u32, u32); 8] = [
    ("console", 0o600, 5, 1),
    ("full", 0o666, 1, 7),
    ("null", 0o666, 1, 3),
    ("random", 0o666, 1, 8),
    ("tty", 0o666, 5, 0),
    ("ttyS0", 0o600, 4, 64),
    ("urandom", 0o666, 1, 9),
    ("zero", 0o666, 1, 5),
];

/// Builds the programs and returns where each is.
pub fn programs(toolchain: &SourceToolchain) -> Result<Vec<PathBuf>> {
    let mut build = toolchain.programs("build");
    build.args(["--package", PACKAGE, "--bins", "--release", "--message-format=json-render-diagnostics"]);
    build.args(["-Zunstable-options", "--artifact-dir", ARTIFACTS]);
    let mut programs = Vec::new();
    for built in executables(&read(&mut build)?, "bin") {
        let program = Path::new(ARTIFACTS).join(built.file_name().context("a program has a name")?);
        check(&program).with_context(|| format!("{} cannot be executed", program.display()))?;
        programs.push(program);
    }
    ensure!(!programs.is_empty(), "{PACKAGE} has no programs");
    programs.sort();
    Ok(programs)
}

/// Lints the programs for the machine they are for.
pub fn lint(toolchain: &SourceToolchain) -> Result<()> {
    let mut clippy = toolchain.programs("clippy");
    run(clippy.args(["--package", PACKAGE, "--lib", "--bins", "--release", "--", "-Dwarnings"]))
}

/// The busybox and what it can be called, or nothing where it cannot be had, which is said.
fn busybox() -> Option<Busybox> {
    Busybox::fetch().inspect_err(|error| eprintln!("xtask: no busybox, so a small shell: {error:#}")).ok()
}

/// Debian's static busybox for i386.
pub struct Busybox {
    /// The program.
    pub program: PathBuf,
    /// The names it can be called by.
    pub applets: Vec<String>,
}

impl Busybox {
    /// Fetches it the first time.
    pub fn fetch() -> Result<Self> {
        let program = debian::package("busybox-static")?.join("bin/busybox");
        check(&program).context("busybox is not what it should be")?;
        let applets = applets(&program)?;
        Ok(Self { program, applets })
    }
}

/// A command that runs a program for i386 here: by itself where the host can do that, else on an emulated CPU.
/// `busybox` shows which.
pub fn on_host(program: &Path, busybox: &Path) -> Result<Command> {
    if succeeds(Command::new(busybox).arg("true")) {
        return Ok(Command::new(program));
    }
    if !succeeds(Command::new("qemu-i386").arg("--version")) {
        setup::install(&["qemu-user"], "to run programs for i386")?;
    }
    let mut command = Command::new("qemu-i386");
    command.arg(program);
    Ok(command)
}

/// What a busybox says it can do.
fn applets(program: &Path) -> Result<Vec<String>> {
    let list = read(on_host(program, program)?.arg("--list"))?;
    let applets: Vec<_> = list.lines().map(str::to_owned).collect();
    ensure!(applets.iter().any(|name| name == "sh"), "this busybox has no shell");
    Ok(applets)
}

/// The archive of the root directory, with the files of `added`.
pub fn root(toolchain: &SourceToolchain, added: &[PathBuf]) -> Result<PathBuf> {
    let mut nodes = BTreeMap::new();
    let mut add = |path: &str, node: Node| nodes.insert(path.to_owned(), node);
    for directory in ["bin", "dev", "etc", "proc", "root", "sys", "userland"] {
        add(directory, Node::Directory { permissions: 0o755 });
    }
    add("tmp", Node::Directory { permissions: 0o1777 });
    for (name, permissions, major, minor) in DEVICES {
        add(&format!("dev/{name}"), Node::Device { permissions, major, minor });
    }
    add("etc/passwd", Node::file(0o644, *b"root:x:0:0:root:/root:/bin/sh\n"));
    add("etc/group", Node::file(0o644, *b"root:x:0:\n"));

    for program in programs(toolchain)? {
        let name = name(&program)?;
        let node = Node::file(0o755, fs::read(&program)?);
        if name == "init" {
            add("init", node);
            continue;
        }
        add(&format!("userland/{name}"), node);
        add(&format!("bin/{name}"), Node::Link(format!("../userland/{name}")));
    }
    for name in TOOLS {
        add(&format!("bin/{name}"), Node::Link("../userland/tools".to_owned()));
    }
    if let Some(busybox) = busybox() {
        for name in &busybox.applets {
            // It knows an `init` too, which is not ours.
            add(&format!("bin/{name}"), Node::Link("busybox".to_owned()));
        }
        add("bin/busybox", Node::file(0o755, fs::read(&busybox.program)?));
    }
    for file in added {
        let bytes = fs::read(file).with_context(|| format!("cannot add {}", file.display()))?;
        add(name(file)?, Node::file(0o755, bytes));
    }
    let archive = Path::new(ARTIFACTS).join(archive_name(added));
    Archive(nodes).write(&archive)?;
    Ok(archive)
}

/// One for each list of added files: one command's root does not replace that which another is about to boot.
fn archive_name(added: &[PathBuf]) -> String {
    if added.is_empty() {
        return "root.cpio".to_owned();
    }
    let mut hasher = DefaultHasher::new();
    added.hash(&mut hasher);
    format!("root-{:016x}.cpio", hasher.finish())
}

fn name(file: &Path) -> Result<&str> {
    file.file_name().and_then(|name| name.to_str()).with_context(|| format!("{} has no name", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_make_another_archive() {
        let names = [&[][..], &["a".into()], &["b".into()], &["a".into(), "b".into()]].map(archive_name);
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
        }
        assert_eq!(names[0], "root.cpio");
    }
}
