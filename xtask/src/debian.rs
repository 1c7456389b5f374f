//! Packages of Debian for i386, fetched and unpacked beside the build. The machine's own apt only says where its
//! archive is: the lists, the downloads and the state are in a directory of their own, and nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{read, run_quietly};
use crate::setup::apt_get;

const DIRECTORY: &str = "target/debian";
/// Whose signature the lists must have.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// How long lists are used: an archive drops the versions that it replaces.
const KEPT: Duration = Duration::from_secs(3600);

/// Where `package` is unpacked, for i386. It is fetched the first time.
///
/// Apt verifies the signature of the lists, the lists hold the package's hash. Which version that was, and its hash,
/// is kept beside it.
pub fn package(package: &str) -> Result<PathBuf> {
    let directory = Path::new(DIRECTORY).join(package);
    if directory.exists() {
        return Ok(directory);
    }
    fetch(package, &directory).with_context(|| format!("Debian's {package} for i386 cannot be had"))?;
    Ok(directory)
}

/// What `package` stands for, as a name without a version does for the newest: its first dependency.
pub fn dependency(package: &str) -> Result<String> {
    let apt = Apt::prepare()?;
    let shown = read(apt.tool("apt-cache").args(["show", "--no-all-versions", package]))?;
    let dependencies = shown.lines().find_map(|line| line.strip_prefix("Depends: "));
    let first = dependencies.and_then(|names| names.split([' ', ',']).next());
    Ok(first.with_context(|| format!("{package} depends on nothing"))?.to_owned())
}

fn fetch(package: &str, directory: &Path) -> Result<()> {
    println!("xtask: fetching Debian's {package} for i386 into {}", directory.display());
    let apt = Apt::prepare()?;
    let unfinished = directory.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let archives = unfinished.join("archives");
    fs::create_dir_all(&archives)?;
    run_quietly(apt.tool("apt-get").args(["download", package]).current_dir(&archives))?;
    let archive = fs::read_dir(&archives)?.next().context("apt-get downloaded nothing")??.path();
    let hash = read(Command::new("sha256sum").arg(&archive))?;
    let hash = hash.split(' ').next().unwrap_or_default();
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let shown = read(apt.tool("apt-cache").args(["show", package]))?;
    ensure!(shown.contains(hash), "{name} has the hash {hash}, which is not in the archive's list");
    println!("xtask: {name}, SHA-256 {hash}");
    run_quietly(Command::new("dpkg").arg("-x").arg(&archive).arg(&unfinished))?;
    fs::write(unfinished.join("sha256"), format!("{hash}  {name}\n"))?;
    fs::remove_dir_all(&archives)?;
    fs::rename(&unfinished, directory)?;
    Ok(())
}

/// An apt of its own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// With the lists of the machine's archive, for i386.
    fn prepare() -> Result<Self> {
        let directory = std::env::current_dir()?.join(DIRECTORY).join("apt");
        for below in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(below))?;
        }
        let targets = read(apt_get().args([
            "indextargets",
            "--format",
            "$(ORIGIN) $(COMPONENT) $(REPO_URI) $(CODENAME)",
            "Created-By: Packages",
        ]))?;
        let sources = sources(&targets, Path::new(KEYRING).exists());
        ensure!(!sources.is_empty(), "this machine's apt knows no archive of Debian");
        let list = directory.join("sources.list");
        let lists = age(&list).filter(|_| fs::read_to_string(&list).is_ok_and(|old| old == sources));
        fs::write(directory.join("status"), "")?;
        let shown = directory.display();
        let options = [
            format!("Dir::State={shown}/state"),
            format!("Dir::State::status={shown}/status"),
            format!("Dir::Cache={shown}/cache"),
            format!("Dir::Etc::SourceList={}", list.display()),
            "Dir::Etc::SourceParts=-".to_owned(),
            "APT::Architecture=i386".to_owned(),
            "APT::Architectures::=i386".to_owned(),
            // As root apt would give the downloads to a user who may not write here.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        let apt = Self { options: options.to_vec() };
        if lists.is_none_or(|age| age > KEPT) {
            fs::write(&list, &sources)?;
            // What comes may be partial and still hold what is needed: only the download has to succeed.
            let update = apt.tool("apt-get").arg("update").output()?;
            if !update.status.success() {
                eprint!("xtask: not all lists: {}", String::from_utf8_lossy(&update.stderr));
            }
        }
        Ok(apt)
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("LC_ALL", "C");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// How long ago a file was written.
fn age(file: &Path) -> Option<Duration> {
    fs::metadata(file).ok()?.modified().ok()?.elapsed().ok()
}

/// The sources of an apt that knows only Debian's main archive, from lines `ORIGIN COMPONENT URI CODENAME`.
fn sources(targets: &str, keyring: bool) -> String {
    let signed = if keyring { format!("[signed-by={KEYRING}] ") } else { String::new() };
    let main = targets.lines().filter_map(|line| line.strip_prefix("Debian main "));
    main.map(|place| format!("deb {signed}{place} main\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_main_archive_is_a_source() {
        let targets = "Debian main http://mirror/debian/ bookworm\nElse main http://else/ x\n\
            Debian contrib http://mirror/debian/ bookworm\n";
        assert_eq!(sources(targets, false), "deb http://mirror/debian/ bookworm main\n");
        assert!(sources(targets, true).starts_with("deb [signed-by=/usr/share/keyrings/"));
        assert_eq!(sources("Else main http://else/ x\n", true), "");
    }
}
