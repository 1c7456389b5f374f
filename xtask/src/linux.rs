//! Linux itself, to compare with: Debian's kernel for i386 on the same machine, with the same root directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::debian;
use crate::kernel::Mode;
use crate::qemu::Boot;

/// The name of Debian's newest kernel for i386 in a paging mode.
fn newest(mode: Mode) -> &'static str {
    match mode {
        Mode::TwoLevel => "linux-image-686",
        Mode::Pae => "linux-image-686-pae",
    }
}

/// Debian's Linux, to be booted with `archive` as its root, where `command`, its first process's arguments, is run.
///
/// Nothing is printed but by programs. Mitigations are off: no program here attacks the CPU, and what they cost is not what is to be compared.
pub fn boot(mode: Mode, archive: &Path, command: &str) -> Result<Boot> {
    let append = ["console=ttyS0,115200 quiet loglevel=0 mitigations=off panic=-1 rdinit=/init --", command];
    Ok(Boot {
        kernel: kernel(mode)?,
        cpu: mode.cpu(),
        append: append.join(" "),
        modules: vec![archive.display().to_string()],
        ..Boot::default()
    })
}

/// Where the kernel's image is. It is fetched the first time.
fn kernel(mode: Mode) -> Result<PathBuf> {
    let package = debian::package(&debian::dependency(newest(mode))?)?;
    let images = fs::read_dir(package.join("boot"))?.filter_map(Result::ok).map(|entry| entry.path());
    let image = images.filter_map(|path| Some((path.file_name()?.to_str()?.starts_with("vmlinuz"), path)));
    image.filter(|(is, _)| *is).map(|(_, path)| path).next().context("the package has no kernel")
}
