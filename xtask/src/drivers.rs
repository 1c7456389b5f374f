//! The world around the example of drivers: a disk with files, a network, a keyboard and somebody who uses them.

mod frames;
mod image;
mod monitor;
mod session;

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, process, thread};

use anyhow::{Result, anyhow, ensure};

use crate::http::{Server, free_port};
use crate::qemu::{Boot, Outcome};
use image::Flaw;

/// Where the images and sockets are while a guest runs.
const WORLDS: &str = "target/drivers";
/// The address of the second card, as QEMU is told, and as it is on the wire.
const CARD: &str = "52:54:00:12:34:57";
const CARD_BYTES: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x57];

/// A directory of its own, which goes with its owner.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = Path::new(WORLDS).join(format!("{}-{number}", process::id()));
        fs::create_dir_all(&place)?;
        Ok(Self(place))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn add(boot: &mut Boot, arguments: &[&str]) {
    boot.extra.extend(arguments.iter().map(|&argument| argument.to_owned()));
}

/// A path as QEMU wants it in a list.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Where the disk is, on a machine that has such a controller and on one that gets a plain one.
fn add_disk(boot: &mut Boot, image: &Path) {
    let image = escaped(image);
    add(boot, &["-drive", &format!("if=none,id=disk,format=raw,cache=unsafe,file={image}")]);
    add_controller(boot);
}

/// A disk on the first channel. The controllers of q35 cannot be driven without DMA.
fn add_controller(boot: &mut Boot) {
    if boot.extra.iter().any(|argument| argument == "q35") {
        add(boot, &["-device", "isa-ide,id=plain", "-device", "ide-hd,bus=plain.0,drive=disk"]);
    } else {
        add(boot, &["-device", "ide-hd,bus=ide.0,drive=disk"]);
    }
}

/// A card on a network of QEMU's own, and the port of this machine at which the guest then serves.
fn add_network(boot: &mut Boot) -> Result<u16> {
    let http = free_port()?;
    let network = format!("user,id=n0,hostfwd=tcp:127.0.0.1:{http}-:80");
    add(boot, &["-netdev", &network, "-device", "ne2k_pci,netdev=n0"]);
    Ok(http)
}

/// Boots with all devices, uses them, and checks what comes of it: the answers, the files, the guest's own words.
pub fn used(mut boot: Boot, qemu: &Path) -> Result<Outcome> {
    let place = Place::new()?;
    let disk = place.path("disk");
    image::build(&disk, Flaw::None)?;
    add_disk(&mut boot, &disk);
    let http = add_network(&mut boot)?;
    let wire = UdpSocket::bind("127.0.0.1:0")?;
    let (ours, theirs) = (wire.local_addr()?.port(), free_port()?);
    add(
        &mut boot,
        &[
            "-netdev",
            &format!("socket,id=n1,udp=127.0.0.1:{ours},localaddr=127.0.0.1:{theirs}"),
            "-device",
            &format!("ne2k_isa,netdev=n1,iobase=0x300,irq=9,mac={CARD}"),
        ],
    );
    let (link, monitor) = (place.path("link"), place.path("monitor"));
    let socket = |path: &Path| format!("path={},server=on,wait=off", path.display());
    add(&mut boot, &["-chardev", &format!("socket,id=link,{}", socket(&link)), "-serial", "chardev:link"]);
    add(&mut boot, &["-qmp", &format!("unix:{},server=on,wait=off", monitor.display())]);

    // A second of a leap day, shortly before it ends.
    add(&mut boot, &["-rtc", "base=2028-02-29T23:59:50"]);

    add(&mut boot, &["-vga", "std"]);
    let host =
        session::Host { link, monitor, dump: place.path("dump"), http: Server { port: http }, wire, theirs };
    let (outcome, used) = thread::scope(|scope| {
        let user = scope.spawn(|| host.serve());
        (boot.captured(qemu), user.join())
    });
    let outcome = outcome?;
    let used = used.unwrap_or_else(|_| Err(anyhow!("the host's side panicked")));
    let checked = used.and_then(|()| said(&outcome.output)).and_then(|()| image::check(&disk));
    checked.map(|()| outcome.clone()).map_err(|error| error.context(outcome.output))
}

/// Makes sure that the guest saw what there was to see.
fn said(output: &str) -> Result<()> {
    let lines = || output.lines().map(str::trim_end);
    for expected in image::expected().into_iter().chain(session::expected()) {
        ensure!(lines().any(|line| line == expected), "the guest did not write {expected:?}");
    }
    let dates = ["clock: 2028-02-29 23:59:5", "clock: 2028-03-01 00:0"];
    ensure!(
        lines().any(|line| dates.iter().any(|date| line.starts_with(date))),
        "the guest has another date"
    );
    Ok(())
}

/// Boots with a disk whose second partition overlaps the first.
pub fn overlap(boot: Boot, qemu: &Path) -> Result<Outcome> {
    flawed(boot, qemu, Flaw::Overlap)
}

/// Boots with a disk whose volume has clusters of no sectors.
pub fn no_clusters(boot: Boot, qemu: &Path) -> Result<Outcome> {
    flawed(boot, qemu, Flaw::NoClusters)
}

/// Boots with a disk where a directory never ends.
pub fn endless(boot: Boot, qemu: &Path) -> Result<Outcome> {
    flawed(boot, qemu, Flaw::Endless)
}

fn flawed(mut boot: Boot, qemu: &Path, flaw: Flaw) -> Result<Outcome> {
    let place = Place::new()?;
    let disk = place.path("disk");
    image::build(&disk, flaw)?;
    add_disk(&mut boot, &disk);
    boot.captured(qemu)
}

/// Boots with a disk that cannot read one of its sectors.
pub fn failing(mut boot: Boot, qemu: &Path) -> Result<Outcome> {
    let place = Place::new()?;
    let disk = place.path("disk");
    image::build(&disk, Flaw::None)?;
    let image = escaped(&disk);
    let file = format!("file.driver=blkdebug,file.image.driver=file,file.image.filename={image}");
    let error = "file.inject-error.0.event=read_aio,file.inject-error.0.sector=3,file.inject-error.0.errno=5";
    add(&mut boot, &["-drive", &format!("if=none,id=disk,format=raw,rerror=report,{file},{error}")]);
    add_controller(&mut boot);
    boot.captured(qemu)
}

/// Boots with a disk that takes longer for a sector than the driver waits.
pub fn slow(mut boot: Boot, qemu: &Path) -> Result<Outcome> {
    add(
        &mut boot,
        &[
            "-drive",
            "if=none,id=disk,format=raw,file.driver=null-co,file.size=1048576,file.latency-ns=9000000000",
        ],
    );
    add_controller(&mut boot);
    boot.captured(qemu)
}

/// What somebody who watches gets: a disk and a network, whose port this prints.
pub fn show(boot: &mut Boot) -> Result<()> {
    let disk = Path::new(WORLDS).join("disk");
    fs::create_dir_all(WORLDS)?;
    image::build(&disk, Flaw::None)?;
    add_disk(boot, &disk);
    let http = add_network(boot)?;
    eprintln!("xtask: the guest's disk is {}; it serves http://127.0.0.1:{http}/", disk.display());
    Ok(())
}
