//! What the machine lacks: installed by `apt-get` where that is possible, else named exactly.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{read, run_quietly, succeeds};
use crate::unpack::unpack;

const INSTALL: [&str; 4] = ["install", "-y", "--no-install-recommends", "--no-remove"];
/// How long to wait for another apt that is at work, in seconds.
const PATIENCE: u64 = 300;

/// Makes sure that `cc` links 32-bit programs.
pub fn linker_32_bit() -> Result<()> {
    let present = |query: &str| {
        let path = read(Command::new("cc").args(["-m32", query])).unwrap_or_default();
        Path::new(path.trim()).is_absolute() && Path::new(path.trim()).exists()
    };
    if !present("-print-file-name=crt1.o") || !present("-print-libgcc-file-name") {
        install(&["gcc-multilib"], "to link 32-bit programs")?;
    }
    Ok(())
}

/// Makes sure that there is a `valgrind` for 32-bit programs.
pub fn valgrind() -> Result<()> {
    if !succeeds(Command::new("valgrind").arg("--version")) {
        install(&["valgrind"], "to count instructions")?;
    }
    Ok(())
}

/// Makes sure that there is a QEMU for i386 and its firmware, and returns how to call it.
pub fn qemu() -> Result<PathBuf> {
    const PACKAGES: [&str; 1] = ["qemu-system-x86"];
    let starts = |qemu: &Path| succeeds(Command::new(qemu).arg("--version"));
    let installed = PathBuf::from("qemu-system-i386");
    let directory = Path::new("target/tools/qemu");
    let unpacked = directory.join(&installed);
    if starts(&installed) {
        return Ok(installed);
    }
    if starts(&unpacked) {
        return Ok(unpacked);
    }
    if can_install(&PACKAGES) {
        install(&PACKAGES, "to boot kernels")?;
        return Ok(installed);
    }
    println!("xtask: QEMU cannot be installed without removing packages, or not by us");
    println!("xtask: unpacking {} into {} instead", PACKAGES.join(" "), directory.display());
    unpack(&PACKAGES, directory, |root| write_launcher(&root.join("qemu-system-i386")))
        .with_context(|| format!("no qemu-system-i386: run `{}` as root", command_line(&PACKAGES)))?;
    ensure!(starts(&unpacked), "{} does not start", unpacked.display());
    Ok(unpacked)
}

/// Writes a script that starts the QEMU unpacked beside it. QEMU finds its firmware by itself, its
/// libraries it has to be told.
fn write_launcher(path: &Path) -> Result<()> {
    fs::write(path, include_str!("qemu-system-i386.sh"))?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}

/// Whether `packages` can be installed here, and without removing any other.
pub fn can_install(packages: &[&str]) -> bool {
    if !is_root() || !succeeds(Command::new("apt-get").arg("--version")) {
        return false;
    }
    update_lists();
    succeeds(apt_get().args(INSTALL).arg("--simulate").args(packages))
}

/// Installs Debian packages, saying why. Removes none: a conflict is an error.
pub fn install(packages: &[&str], why: &str) -> Result<()> {
    let names = packages.join(" ");
    if !is_root() || !succeeds(Command::new("apt-get").arg("--version")) {
        bail!("{names} needed {why}: run `{}` as root", command_line(packages));
    }
    println!("xtask: installing {names} {why}");
    update_lists();
    run_quietly(apt_get().args(INSTALL).args(packages))
}

/// What to type to install `packages`.
pub fn command_line(packages: &[&str]) -> String {
    format!("apt-get update && apt-get {} {}", INSTALL.join(" "), packages.join(" "))
}

/// Fetches the lists of packages, once. They may be stale or partial and still hold what is
/// needed, so only the installation has to succeed.
fn update_lists() {
    static UPDATE: Once = Once::new();
    UPDATE.call_once(|| {
        let patience = Instant::now() + Duration::from_secs(PATIENCE);
        // The lock on the lists is one that apt itself does not wait for.
        while let Ok(output) = apt_get().arg("update").output()
            && !output.status.success()
            && String::from_utf8_lossy(&output.stderr).contains("Could not get lock")
            && Instant::now() < patience
        {
            thread::sleep(Duration::from_secs(1));
        }
    });
}

/// An `apt-get` that asks nothing, waits for its turn and speaks the language we read.
pub fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command.args(["-o", &format!("DPkg::Lock::Timeout={PATIENCE}")]);
    command
}

fn is_root() -> bool {
    read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
