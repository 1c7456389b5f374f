//! The disk: its volumes, their files, and one that is written.

use super::clock::now;
use super::{Failure, Machine, World, say};
use core::ops::ControlFlow;
use core::time::Duration;
use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};
use drivers::ata::{Channel, Disk, Error, SECTOR, Unit};
use drivers::blocks::Bounded;
use drivers::volumes::check;
use drivers::wait::Halting;
use embedded_sdmmc::filesystem::ToShortFileName;
use embedded_sdmmc::{Directory, File, Mode, ShortFileName, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use heapless::Vec;
use spin::Mutex;
use sva_os::interrupt::Line;
use sva_os::io::PortRange;

type Ports = PortRange<'static, Machine>;
type Clock = Halting<'static, 'static, Machine>;
type Device<'c> = Bounded<Disk<'c, Ports, Clock>>;
type Folder<'v, 'c> = Directory<'v, Device<'c>, Time, 4, 4, 1>;
type Open<'v, 'c> = File<'v, Device<'c>, Time, 4, 4, 1>;
type Checksum<'c> = Digest<'c, u32, Table<1>>;

/// The line of the first channel.
const LINE: u32 = 14;
/// How long the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many blocks one volume's files may take to be walked.
const MOST_BLOCKS: u32 = 2_000;
/// Of a directory, how many entries are looked at.
const MOST_ENTRIES: usize = 32;
/// What is copied on each volume, complemented.
const SOURCE: &str = "DATA.BIN";
const COPY: &str = "COPY.BIN";

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The date of what is written.
struct Time(Timestamp);

impl Time {
    fn new(world: &World) -> Result<Self, Failure> {
        let date = now(world)?;
        let no_date = |_| Failure::new("the date is not one for files");
        Timestamp::from_calendar(date.year, date.month, date.day, date.hour, date.minute, date.second)
            .map(Self)
            .map_err(no_date)
    }
}

impl TimeSource for Time {
    fn get_timestamp(&self) -> Timestamp {
        self.0
    }
}

pub(super) fn run(world: &World) -> Result<(), Failure> {
    let io = world.sva.io();
    let interrupts = world.sva.interrupts();
    let line = Line::new(LINE).ok_or_else(|| Failure::new("there is no line 14"))?;
    // That it comes is all: the CPU halts no more.
    interrupts.register_line(line, &|_| {})?;
    interrupts.unmask(line)?;
    let clock = Halting::new(world.clock, interrupts);
    let channel = Channel::new(io.claim(0x1f0, 8)?, io.claim(0x3f6, 1)?, clock);
    let channel = Mutex::new(channel.with_limit(PATIENCE).with_interrupts());
    let disk = Disk::open(&channel, Unit::First)?;
    say!(world, "disk: {}, {} sectors", disk.identity().model(), disk.identity().sectors);
    sectors(world, &disk)?;

    let disk = Bounded::new(disk, MOST_BLOCKS);
    let partitions = check(&disk)?;
    let manager: VolumeManager<_, _, 4, 4, 1> = VolumeManager::new_with_limits(disk, Time::new(world)?, 0);
    for (index, partition) in partitions.iter().enumerate() {
        let Some(partition) = partition else { continue };
        say!(
            world,
            "volume {index}: kind {:02x}, {} sectors from {} on",
            partition.kind,
            partition.sectors,
            partition.first
        );
        if !partition.is_fat() {
            continue;
        }
        manager.device(|device| device.allow(MOST_BLOCKS, *partition));
        volume(world, &manager, index)?;
    }
    manager.device(|device| device.device().flush())?;
    Ok(())
}

/// Several sectors at once are the same as one by one; and there are none behind the last.
fn sectors(world: &World, disk: &Disk<'_, Ports, Clock>) -> Result<(), Failure> {
    let mut at_once = [[0; SECTOR]; 16];
    disk.read(0, &mut at_once)?;
    for (number, sector) in (0..).zip(&at_once) {
        let mut one = [[0; SECTOR]];
        disk.read(number, &mut one)?;
        if one != [*sector] {
            return Err(Failure::new("a sector differs when it is read again"));
        }
    }
    let last = disk.identity().sectors - 1;
    disk.read(last, &mut [[0; SECTOR]])?;
    if disk.read(last, &mut [[0; SECTOR]; 2]) != Err(Error::Outside) {
        return Err(Failure::new("there is a sector behind the last"));
    }
    say!(world, "disk: 16 sectors at once and one by one, and none behind the last");
    Ok(())
}

/// Reads every file of a volume, and writes one.
fn volume(
    world: &World,
    manager: &VolumeManager<Device<'_>, Time, 4, 4, 1>,
    index: usize,
) -> Result<(), Failure> {
    let volume = manager.open_volume(VolumeIdx(index))?;
    let root = volume.open_root_dir()?;
    for (name, is_folder) in entries(&root)? {
        if is_folder {
            let folder = root.open_dir(name)?;
            for (inner, is_folder) in entries(&folder)? {
                if !is_folder {
                    let (length, checksum) = read(&folder, inner)?;
                    say!(world, "volume {index}: {name}/{inner}: {length} bytes, CRC {checksum:08x}");
                }
            }
            folder.close()?;
        } else {
            let (length, checksum) = read(&root, name)?;
            say!(world, "volume {index}: {name}: {length} bytes, CRC {checksum:08x}");
        }
    }
    let length = copy(&root)?;
    say!(world, "volume {index}: {COPY}: {length} bytes written");
    root.close()?;
    volume.close()?;
    Ok(())
}

/// Names, and whether each is of a directory.
fn entries(folder: &Folder<'_, '_>) -> Result<Vec<(ShortFileName, bool), MOST_ENTRIES>, Failure> {
    let mut entries = Vec::new();
    folder.iterate_dir(|entry| {
        let itself = [ShortFileName::this_dir(), ShortFileName::parent_dir()].contains(&entry.name);
        if !itself && !entry.attributes.is_volume() && !entry.attributes.is_lfn() {
            _ = entries.push((entry.name, entry.attributes.is_directory()));
        }
        if entries.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(entries)
}

/// Reads a file to its end, and answers how long it is and its checksum.
fn read(folder: &Folder<'_, '_>, name: impl ToShortFileName) -> Result<(u32, u32), Failure> {
    let file = folder.open_file_in_dir(name, Mode::ReadOnly)?;
    let mut digest: Checksum<'_> = CRC.digest();
    let length = pieces(&file, |piece| {
        digest.update(piece);
        Ok(())
    })?;
    file.close()?;
    Ok((length, digest.finalize()))
}

/// Copies a file, each byte complemented, and answers how long it is.
fn copy(root: &Folder<'_, '_>) -> Result<u32, Failure> {
    let source = root.open_file_in_dir(SOURCE, Mode::ReadOnly)?;
    let target = root.open_file_in_dir(COPY, Mode::ReadWriteCreateOrTruncate)?;
    let length = pieces(&source, |piece| {
        piece.iter_mut().for_each(|byte| *byte = !*byte);
        Ok(target.write(piece)?)
    })?;
    target.close()?;
    source.close()?;
    Ok(length)
}

/// Calls `take` with a file piece by piece, and answers how long it is.
fn pieces(
    file: &Open<'_, '_>,
    mut take: impl FnMut(&mut [u8]) -> Result<(), Failure>,
) -> Result<u32, Failure> {
    let mut buffer = [0; 4096];
    let mut length = 0;
    while !file.is_eof() {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Err(Failure::new("a file ends before its end"));
        }
        take(buffer.get_mut(..count).unwrap_or_default())?;
        length += u32::try_from(count)?;
    }
    Ok(length)
}
