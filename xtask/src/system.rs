//! The systems that are compared: Linux, and the example kernel with and without the checks of the library. The same
//! machine and the same root directory.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Error, Result, bail, ensure};

use crate::kernel::{Checks, Kernel, Mode, Profile};
use crate::linux;
use crate::qemu::Boot;
use crate::toolchain::SourceToolchain;

const KERNEL: &str = "examples/kernel";

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    Linux,
    /// The example kernel without checks.
    Unchecked,
    /// The example kernel as it is.
    Kernel,
}

impl System {
    pub const ALL: [Self; 3] = [Self::Linux, Self::Unchecked, Self::Kernel];

    /// What `--on` calls `name`: one of them, or all.
    pub fn named(name: &str) -> Result<Vec<Self>> {
        if name == "all" { Ok(Self::ALL.to_vec()) } else { Ok(vec![name.parse()?]) }
    }

    /// The system, to be booted with `root` as its root directory, where `command` is run.
    pub fn boot(self, mode: Mode, toolchain: &SourceToolchain, root: &Path, command: &str) -> Result<Boot> {
        let checks = match self {
            Self::Linux => return linux::boot(mode, root, command),
            Self::Unchecked => Checks::Unchecked,
            Self::Kernel => Checks::Checked,
        };
        let directory = PathBuf::from(KERNEL);
        ensure!(directory.exists(), "there is no example kernel in {KERNEL}");
        let kernel = Kernel { directory, profile: Profile::Release, mode, checks };
        Ok(Boot {
            kernel: kernel.build(toolchain)?,
            cpu: mode.cpu(),
            append: format!("init=/init -- {command}"),
            modules: vec![root.display().to_string()],
            ..Boot::default()
        })
    }
}

impl FromStr for System {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "linux" => Ok(Self::Linux),
            "unchecked" => Ok(Self::Unchecked),
            "kernel" => Ok(Self::Kernel),
            _ => bail!("the systems are linux, unchecked, kernel, or all"),
        }
    }
}

impl Display for System {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "Linux",
            Self::Unchecked => "unchecked",
            Self::Kernel => "checked",
        })
    }
}
