//! Who uses the guest: it is told over the second serial port what the guest is ready for.

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use crc::{CRC_32_ISO_HDLC, Crc};

use super::frames::Neighbour;
use super::monitor::Monitor;
use crate::http::Server;

/// How long QEMU and the guest are waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What is sent over the serial port: more than its FIFO and the guest's buffer hold.
const LETTERS: usize = 3000;
/// What is typed, as QEMU names the keys, and what that says.
const KEYS: [&[&str]; 13] = [
    &["shift", "s"],
    &["a"],
    &["f"],
    &["e"],
    &["spc"],
    &["shift", "r"],
    &["u"],
    &["s"],
    &["t"],
    &["comma"],
    &["1"],
    &["shift", "1"],
    &["ret"],
];
const TYPED: &str = "Safe Rust,1!";
/// The guest's long answer to HTTP: how long it is, and its byte at an index.
const LONG: usize = 150_000;

fn long(index: usize) -> u8 {
    let [low, middle, high, ..] = index.to_le_bytes();
    (low ^ middle ^ high).wrapping_mul(167)
}

/// What the host reaches the guest by.
pub struct Host {
    pub link: PathBuf,
    pub monitor: PathBuf,
    /// Where QEMU leaves what is in the guest's memory.
    pub dump: PathBuf,
    pub http: Server,
    pub wire: UdpSocket,
    /// The port of the guest's end of the wire.
    pub theirs: u16,
}

/// The bytes that are sent over the serial port.
fn letters() -> Vec<u8> {
    (0..LETTERS).map(|index| b'a' + (index * index % 23) as u8).collect()
}

/// The lines that the guest has to write about what it was sent.
pub fn expected() -> [String; 2] {
    let checksum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&letters());
    [format!("serial: {LETTERS} bytes, CRC {checksum:08x}"), format!("keyboard: {TYPED:?}")]
}

impl Host {
    /// Does what the guest asks for, until it is gone.
    pub fn serve(&self) -> Result<()> {
        let link = connect(&self.link)?;
        link.set_read_timeout(Some(PATIENCE))?;
        let mut answers = link.try_clone()?;
        for line in BufReader::new(link).lines() {
            match line?.as_str() {
                "serial" => {
                    answers.write_all(&letters())?;
                    answers.write_all(b"\n")?;
                }
                "keyboard" => {
                    let mut monitor = Monitor::open(&self.monitor)?;
                    KEYS.iter().try_for_each(|keys| monitor.press(keys))?;
                }
                "screen" => {
                    let cells = Monitor::open(&self.monitor)?.memory(0xb8000, 80 * 25 * 2, &self.dump)?;
                    check_screen(&cells)?;
                    answers.write_all(b"\n")?;
                }
                "network" => {
                    self.http.fetch("/", "200", |body| body.starts_with(b"<!doctype html>"))?;
                    self.http.fetch("/long", "200", |body| body.iter().copied().eq((0..LONG).map(long)))?;
                    self.http.fetch("/none", "404", <[u8]>::is_empty)?;
                    Neighbour::new(&self.wire, self.theirs)?.visit()?;
                    self.http.fetch("/long", "200", |body| body.iter().copied().eq((0..LONG).map(long)))?;
                    answers.write_all(b"\n")?;
                }
                other => bail!("the guest asks for {other:?}"),
            }
        }
        Ok(())
    }
}

/// Makes sure that the screen shows the last of the guest's thirty rows.
fn check_screen(cells: &[u8]) -> Result<()> {
    let rows: Vec<String> = cells
        .chunks(160)
        .map(|row| row.chunks(2).map(|cell| char::from(cell[0])).collect::<String>().trim_end().to_owned())
        .collect();
    // The last row is empty: the cursor is there. The square is a letter that the screen has not.
    let row = |number: usize| match number {
        30 => String::new(),
        _ => format!("{:8}{number} \u{fe} sva-os", format!("row {number}")),
    };
    let expected: Vec<_> = (6..=30).map(row).collect();
    ensure!(rows == expected, "the screen shows {rows:#?}");
    Ok(())
}

/// Connects to a socket that QEMU is about to make.
pub fn connect(path: &Path) -> Result<UnixStream> {
    let started = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if started.elapsed() > PATIENCE => {
                return Err(error).with_context(|| format!("no {}", path.display()));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
