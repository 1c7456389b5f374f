//! Kernels: packages of the workspace that are built for the bare machine.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{env, fs};

use anyhow::{Context, Error, Result, bail, ensure};
use elf::ElfBytes;
use elf::abi::{EM_386, ET_EXEC, PT_DYNAMIC, PT_INTERP};
use elf::endian::LittleEndian;
use elf::file::Class;

use crate::process::read;
use crate::toolchain::{SourceToolchain, executables};

/// A kernel and how to build it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    /// Its directory, `examples/NAME` or `tests/kernels/NAME`.
    pub directory: PathBuf,
    pub profile: Profile,
    pub mode: Mode,
    pub checks: Checks,
}

/// How the compiler optimises. The library's own checks are in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    Dev,
    Release,
}

/// The paging mode, which a kernel chooses when it is compiled: by its feature `pae`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    TwoLevel,
    Pae,
}

impl Mode {
    /// QEMU's name of an emulated CPU that has the mode, where its default does not: for PAE the default lacks NX, without
    /// which there is no such mode.
    pub fn cpu(self) -> Option<String> {
        (self == Self::Pae).then(|| "qemu32,+nx".to_owned())
    }
}

/// Whether the library checks, or shows what the checks cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checks {
    Checked,
    Unchecked,
}

impl Kernel {
    /// Builds the kernel and returns where its ELF is, which no build of another kernel changes.
    pub fn build(&self, toolchain: &SourceToolchain) -> Result<PathBuf> {
        let manifest = self.directory.join("Cargo.toml");
        ensure!(manifest.exists(), "there is no kernel {}", self.directory.display());
        let mut build = toolchain.bare("build");
        build
            .arg("--manifest-path")
            .arg(&manifest)
            .args(["--bins", "--message-format=json-render-diagnostics"]);
        // Cargo's own name for it does not say the mode: the next build would replace it.
        build.args(["-Zunstable-options", "--artifact-dir"]).arg(self.artifacts());
        if self.profile == Profile::Release {
            build.arg("--release");
        }
        if self.mode == Mode::Pae {
            build.arg("--features=pae");
        }
        if self.checks == Checks::Unchecked {
            // Other flags build everything anew: in a directory of their own, once.
            let flags = env::var("RUSTFLAGS").unwrap_or_default();
            build.env("RUSTFLAGS", format!("{flags} --cfg sva_os_unchecked"));
            build.env("CARGO_TARGET_DIR", "target/bare-unchecked");
        }
        let mut kernels = executables(&read(&mut build)?, "bin");
        let (Some(kernel), None) = (kernels.pop(), kernels.pop()) else {
            bail!("{} is not one program", self.directory.display());
        };
        let name = kernel.file_name().context("a program has a name")?;
        let kernel = self.artifacts().join(name);
        check(&kernel).with_context(|| format!("{} cannot be booted", kernel.display()))?;
        Ok(kernel)
    }

    /// Where its ELF goes, which is seen from the root of the project, as the kernel's command
    /// line starts with it and should not depend on where that is.
    fn artifacts(&self) -> PathBuf {
        let checks = if self.checks == Checks::Unchecked { "-unchecked" } else { "" };
        Path::new("target/kernels").join(format!("{}-{}{checks}", self.profile, self.mode))
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "two-level" => Ok(Self::TwoLevel),
            "pae" => Ok(Self::Pae),
            _ => bail!("the paging modes are two-level and pae"),
        }
    }
}

impl Display for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy();
        write!(f, "{name} {} {}", self.profile, self.mode)?;
        match self.checks {
            Checks::Checked => Ok(()),
            Checks::Unchecked => f.write_str(" unchecked"),
        }
    }
}

impl Display for Profile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dev => "dev",
            Self::Release => "release",
        })
    }
}

impl Display for Mode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoLevel => "two-level",
            Self::Pae => "pae",
        })
    }
}

/// The names of the kernels in `directory`, sorted: the packages that have a script to link them.
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if !directory.exists() {
        return Ok(names);
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().join("build.rs").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Makes sure that the file is a 32-bit static program for i386, linked to a fixed address.
pub fn check(kernel: &Path) -> Result<()> {
    check_bytes(&fs::read(kernel)?)
}

fn check_bytes(bytes: &[u8]) -> Result<()> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(bytes).context("no little-endian ELF")?;
    let header = elf.ehdr;
    ensure!(header.class == Class::ELF32, "not a 32-bit ELF");
    ensure!(header.e_machine == EM_386, "not for i386, but machine {}", header.e_machine);
    ensure!(header.e_type == ET_EXEC, "not linked to a fixed address: ELF type {}", header.e_type);
    let segments = elf.segments().context("no program headers")?;
    let dynamic = |kind| kind == PT_INTERP || kind == PT_DYNAMIC;
    ensure!(!segments.iter().any(|segment| dynamic(segment.p_type)), "dynamically linked");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use elf::abi::{EM_X86_64, ET_DYN, PT_LOAD};

    use super::*;

    /// An ELF header and one program header, as the linker writes them.
    fn elf(class: u8, kind: u16, machine: u16, segment: u32) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, 1, 1];
        bytes.resize(16, 0);
        let mut half = |value: u16| bytes.extend(value.to_le_bytes());
        half(kind);
        half(machine);
        // Version, entry, program headers at 52, no sections, flags.
        for word in [1, 0x10_0000, 52, 0, 0_u32] {
            bytes.extend(word.to_le_bytes());
        }
        for half in [52, 32, 1, 40, 0, 0_u16] {
            bytes.extend(half.to_le_bytes());
        }
        for word in [segment, 0, 0x10_0000, 0x10_0000, 0, 0, 5, 4] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn only_a_static_program_for_i386_is_a_kernel() {
        let judge = |bytes: Vec<u8>| check_bytes(&bytes).map_err(|error| error.to_string());
        assert_eq!(judge(elf(1, ET_EXEC, EM_386, PT_LOAD)), Ok(()));
        for (bad, why) in [
            (elf(1, ET_EXEC, EM_X86_64, PT_LOAD), "not for i386"),
            (elf(1, ET_DYN, EM_386, PT_LOAD), "fixed address"),
            (elf(1, ET_EXEC, EM_386, PT_INTERP), "dynamically linked"),
            (elf(1, ET_EXEC, EM_386, PT_DYNAMIC), "dynamically linked"),
            (b"#!/bin/sh\n".to_vec(), "no little-endian ELF"),
        ] {
            assert!(judge(bad).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn no_two_ways_to_build_a_kernel_end_in_the_same_place() {
        let mut places = BTreeSet::new();
        for profile in [Profile::Dev, Profile::Release] {
            for mode in [Mode::TwoLevel, Mode::Pae] {
                for checks in [Checks::Checked, Checks::Unchecked] {
                    let kernel = Kernel { directory: "examples/one".into(), profile, mode, checks };
                    assert!(places.insert(kernel.artifacts()), "{kernel}");
                }
            }
        }
    }

    #[test]
    fn a_mode_is_read_as_it_is_written() {
        for mode in [Mode::TwoLevel, Mode::Pae] {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        assert!("PAE".parse::<Mode>().is_err());
    }

    #[test]
    fn a_64_bit_program_is_no_kernel() {
        let own = fs::read(env::current_exe().unwrap()).unwrap();
        assert!(check_bytes(&own).unwrap_err().to_string().contains("32-bit"));
    }
}
