//! Debian packages unpacked beside the build, for machines where they cannot be installed.

use std::fs;
use std::path::Path;
use std::process::{self, Command};

use anyhow::{Result, ensure};

use crate::process::{read, run_quietly};
use crate::setup::apt_get;

/// Unpacks `packages` and all they need that is not installed, has `finish` make them usable, and
/// only then gives them the name `directory`. Changes nothing else, and needs no rights.
pub fn unpack(packages: &[&str], directory: &Path, finish: fn(&Path) -> Result<()>) -> Result<()> {
    let mut simulate = apt_get();
    simulate.args(["install", "--simulate", "--no-install-recommends"]).args(packages);
    let simulation = read(&mut simulate)?;
    let missing = installed_by(&simulation);
    ensure!(!missing.is_empty(), "apt-get finds nothing missing");

    let unfinished = directory.with_extension(process::id().to_string());
    let archives = unfinished.join("archives");
    fs::create_dir_all(&archives)?;
    run_quietly(apt_get().arg("download").args(&missing).current_dir(&archives))?;
    for archive in fs::read_dir(&archives)? {
        run_quietly(Command::new("dpkg").arg("-x").arg(archive?.path()).arg(&unfinished))?;
    }
    fs::remove_dir_all(&archives)?;
    finish(&unfinished)?;
    // Whoever was here first did the same.
    if fs::rename(&unfinished, directory).is_err() && directory.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    Ok(())
}

/// The packages that a simulated installation would install, from its lines `Inst NAME ...`.
fn installed_by(simulation: &str) -> Vec<&str> {
    simulation.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_packages_are_those_it_would_install() {
        let simulation = "Reading package lists...\nRemv qemu-utils [1:10]\n\
             Inst seabios (1.16.2-1 Debian:12.15/oldstable [all])\nInst libc6:i386 [2.36-9] (2.36-10)\n\
             Conf seabios (1.16.2-1 Debian:12.15/oldstable [all])\n";
        assert_eq!(installed_by(simulation), ["seabios", "libc6:i386"]);
    }
}
