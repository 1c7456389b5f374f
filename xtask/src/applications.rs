//! `applications`: programs in C that take long, on Linux and on the example kernel. Both have to write the same, byte
//! by byte; what they cost shows whether a program that computes notices the kernel's checks.
//!
//! bzip2 and LAME are built from the sources that the crates `bzip2-sys` and `mp3lame-sys` bring along, of the versions
//! in `tests/applications/Cargo.lock`, which cargo fetches and verifies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::ending::Ending;
use crate::kernel::{Mode, check};
use crate::process::{read, run_quietly};
use crate::qemu::Boot;
use crate::setup;
use crate::system::System;
use crate::table::{Row, Table};
use crate::toolchain::{SourceToolchain, cargo};
use crate::userland::{self, Busybox};

const SOURCES: &str = "tests/applications";
const BUILT: &str = "target/userland-c";
const SCRIPT: &str = "run.sh";
/// What is compressed, and what is encoded, in bytes at least.
const TEXT: usize = 4 << 20;
const SOUND: usize = 5 << 20;
/// RAM of the machine in MiB.
const MEMORY: u32 = 256;
/// How long one system may take.
const LIMIT: Duration = Duration::from_secs(3600);
/// The applications are for any CPU with floating point.
const CC: [&str; 6] = ["-m32", "-march=pentium", "-static", "-O2", "-w", "-D_FILE_OFFSET_BITS=64"];
const BZIP2: [&str; 8] =
    ["blocksort", "bzip2", "bzlib", "compress", "crctable", "decompress", "huffman", "randtable"];
/// The parts of LAME's front end that the program `lame` consists of.
const LAME: [&str; 8] =
    ["brhist", "console", "get_audio", "lame_main", "lametime", "main", "parse", "timestatus"];

/// Builds the applications, runs them on `systems`, and compares.
pub fn applications(systems: &[System]) -> Result<()> {
    let toolchain = SourceToolchain::find()?;
    let qemu = setup::qemu()?;
    let busybox = Busybox::fetch().context("the applications are started and compared by busybox")?;
    let added = build()?;
    let root = userland::root(&toolchain, &added)?;
    let mut table = Table::default();
    let mut first: Option<(System, Vec<String>)> = None;
    for system in systems {
        let boot = Boot {
            memory: Some(MEMORY),
            icount: true,
            limit: Some(LIMIT),
            ..system.boot(Mode::TwoLevel, &toolchain, &root, &format!("/bin/sh /{SCRIPT}"))?
        };
        println!("xtask: the applications on {system}");
        let outcome = boot.captured(&qemu)?;
        print!("{}", outcome.output);
        eprint!("{}", outcome.warnings());
        ensure!(outcome.ending == Ending::Status(0), "the applications on {system}: {}", outcome.ending);
        let (costs, written) = split(&outcome.output)?;
        table.add(*system, costs);
        match &first {
            None => first = Some((*system, written)),
            Some((other, expected)) => {
                ensure!(written == *expected, "{system} and {other} differ:\n{written:#?}\n{expected:#?}");
                println!("xtask: {system} has written what {other} has");
            }
        }
    }
    let (system, written) = first.context("no system")?;
    let expected = hash_on_host(&busybox)?;
    ensure!(
        written.iter().any(|line| line.starts_with(&expected)),
        "{system} has compressed to something else than the host, whose hash is {expected}"
    );
    println!("xtask: the host has compressed to the same\n\n{table}");
    Ok(())
}

/// Builds the programs and their input: what is added to the root directory.
fn build() -> Result<Vec<PathBuf>> {
    setup::linker_32_bit()?;
    let directory = Path::new(BUILT);
    fs::create_dir_all(directory)?;
    let bzip2 = source("bzip2-sys", "bzip2-")?;
    let lame = source("mp3lame-sys", "lame-")?;
    let at = |name: &str| directory.join(name);

    let files = BZIP2.map(|name| bzip2.join(name).with_extension("c"));
    compile(&at("bzip2"), &files, &[], &[])?;

    fs::copy(Path::new(SOURCES).join("lame-config.h"), at("config.h"))?;
    let mut files = sources(&lame.join("libmp3lame"), &["c"])?;
    files.extend(LAME.map(|name| lame.join("frontend").join(name).with_extension("c")));
    let headers =
        [directory.to_owned(), lame.join("include"), lame.join("libmp3lame"), lame.join("frontend")];
    compile(&at("lame"), &files, &headers, &["-DHAVE_CONFIG_H"])?;

    let texts = sources(&bzip2, &["c", "h", "html", "txt", "ps"])?;
    let texts = texts.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?.concat();
    fs::write(at("text"), repeated(&texts, TEXT))?;
    fs::write(at("sample.wav"), longer(&fs::read(lame.join("testcase.wav"))?, SOUND)?)?;
    fs::copy(Path::new(SOURCES).join(SCRIPT), at(SCRIPT))?;
    Ok(["bzip2", "lame", "text", "sample.wav", SCRIPT].map(at).to_vec())
}

/// The directory in the crate `name` whose name starts with `prefix`: the C sources.
fn source(name: &str, prefix: &str) -> Result<PathBuf> {
    let mut metadata = cargo("metadata");
    metadata.args(["--locked", "--format-version=1", "--manifest-path"]);
    let metadata: Value = serde_json::from_str(&read(metadata.arg(format!("{SOURCES}/Cargo.toml")))?)?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let package = packages.iter().find(|package| package["name"] == name).context("no such crate")?;
    let manifest = package["manifest_path"].as_str().context("a crate without a manifest")?;
    let crate_directory = Path::new(manifest).parent().context("a manifest in no directory")?;
    for entry in fs::read_dir(crate_directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) && entry.path().is_dir() {
            return Ok(entry.path());
        }
    }
    bail!("{name} has no {prefix}*")
}

/// The files of a directory with one of these extensions, sorted.
fn sources(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Compiles and links a static program, unless it is there.
fn compile(program: &Path, files: &[PathBuf], headers: &[PathBuf], defines: &[&str]) -> Result<()> {
    if !program.exists() {
        println!("xtask: building {}", program.display());
        let unfinished = program.with_extension("unfinished");
        let mut cc = Command::new("cc");
        cc.args(CC).args(defines).args(files).arg("-o").arg(&unfinished).arg("-lm");
        for directory in headers {
            cc.arg("-I").arg(directory);
        }
        run_quietly(&mut cc)?;
        fs::rename(&unfinished, program)?;
    }
    check(program).with_context(|| format!("{} cannot be executed", program.display()))
}

/// `bytes` again and again, up to `length`.
fn repeated(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(length).collect()
}

/// A WAV file that plays `wav` so often that its sound is `length` bytes or more.
fn longer(wav: &[u8], length: usize) -> Result<Vec<u8>> {
    const RIFF: usize = 4;
    let at = wav.windows(4).position(|name| name == b"data").context("the WAV has no sound")?;
    let size = |at: usize| -> Result<usize> {
        let bytes = wav.get(at..at + 4).context("the WAV is too short")?;
        Ok(u32::from_le_bytes(bytes.try_into()?).try_into()?)
    };
    let start = at + 8;
    let sound = wav.get(start..start + size(at + 4)?).context("the WAV ends in its sound")?;
    ensure!(!sound.is_empty(), "the WAV is silent");
    let sound = sound.repeat(length.div_ceil(sound.len()));
    let mut longer = wav[..start].to_vec();
    longer[at + 4..start].copy_from_slice(&u32::try_from(sound.len())?.to_le_bytes());
    longer[RIFF..RIFF + 4].copy_from_slice(&u32::try_from(start + sound.len() - 8)?.to_le_bytes());
    longer.extend(sound);
    Ok(longer)
}

/// What the script printed: what each application cost, and the lines that say what was written.
fn split(output: &str) -> Result<(Vec<Row>, Vec<String>)> {
    let (mut costs, mut written) = (Vec::new(), Vec::new());
    for line in output.lines().map(str::trim_end) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["ticks", name, ticks, "status=0"] => {
                costs.push(Row { name: name.to_owned(), bytes: 0, median: ticks.parse()?, spread: 0.0 });
            }
            ["ticks", name, ..] => bail!("{name} has failed: {line}"),
            [_, "text.bz2" | "sample.mp3"] | ["the", "text", ..] => written.push(line.to_owned()),
            _ => {}
        }
    }
    ensure!(costs.len() == 3 && written.len() == 5, "the script did not come to its end");
    Ok((costs, written))
}

/// The hash of the text as the host compresses it, by the same program.
fn hash_on_host(busybox: &Busybox) -> Result<String> {
    let directory = Path::new(BUILT);
    let compressed = directory.join("text.bz2");
    let mut bzip2 = userland::on_host(&directory.join("bzip2"), &busybox.program)?;
    run_quietly(bzip2.args(["-9", "-k", "-f"]).arg(directory.join("text")))?;
    let hash = read(Command::new("sha256sum").arg(&compressed))?;
    Ok(hash.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_sound_has_the_right_sizes() {
        let mut wav = b"RIFF\x0e\0\0\0WAVEdata\x02\0\0\0xy".to_vec();
        let longer = super::longer(&wav, 5).unwrap();
        assert_eq!(longer, b"RIFF\x12\0\0\0WAVEdata\x06\0\0\0xyxyxy");
        wav.pop();
        assert!(super::longer(&wav, 5).is_err(), "cut off");
        assert!(super::longer(b"RIFF", 5).is_err());
    }

    #[test]
    fn only_a_whole_output_counts() {
        let output = "ticks bzip2-compress 12 status=0\r\nticks bzip2-decompress 13 status=0\n\
            the text is the same again\nticks lame 14 status=0\n 1 text.bz2\n 2 sample.mp3\n 3 total\n\
            aa  text.bz2\nbb  sample.mp3\n\nstatus 0\n";
        let (costs, written) = split(output).unwrap();
        assert_eq!(costs.iter().map(|row| row.median).collect::<Vec<_>>(), [12.0, 13.0, 14.0]);
        assert_eq!(written[3], "aa  text.bz2");
        assert!(split(&output.replace("14 status=0", "14 status=1")).is_err());
        assert!(split(&output.replace("the text is the same again\n", "")).is_err());
        assert!(split(&output.replace("bb  sample.mp3\n", "")).is_err());
    }
}
