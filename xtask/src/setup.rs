//! What the machine lacks: installed by `apt-get` where that is possible, else named exactly.

use std::path::Path;
use std::process::Command;
use std::sync::Once;

use anyhow::{Result, bail};

use crate::process::{read, run_quietly, succeeds};

const INSTALL: [&str; 4] = ["install", "-y", "--no-install-recommends", "--no-remove"];

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

/// Installs Debian packages, saying why. Removes none: a conflict is an error.
pub fn install(packages: &[&str], why: &str) -> Result<()> {
    let names = packages.join(" ");
    if !is_root() || !succeeds(Command::new("apt-get").arg("--version")) {
        bail!("{names} needed {why}: run `apt-get update && apt-get {} {names}` as root", INSTALL.join(" "));
    }
    println!("xtask: installing {names} {why}");
    static UPDATE: Once = Once::new();
    // Stale or partial lists may still hold the packages: only the installation has to succeed.
    UPDATE.call_once(|| _ = run_quietly(apt_get().arg("update")));
    run_quietly(apt_get().args(INSTALL).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}

fn is_root() -> bool {
    read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
