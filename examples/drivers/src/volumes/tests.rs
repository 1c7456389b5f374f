//! Tables and volumes that are sound, and all the ways in which they are not.

use super::*;
use crate::ata::Error as DiskError;
use crate::blocks::Bounded;
use core::ops::ControlFlow;
use embedded_sdmmc::{BlockCount, Mode, ShortFileName, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::rc::Rc;
use std::sync::LazyLock;
use std::vec;
use std::vec::Vec;

const FIRST: u32 = 16;
const DISK: u32 = 6000;

fn with_entries(entries: &[(u8, u8, u32, u32)]) -> [u8; Block::LEN] {
    let mut sector = [0; Block::LEN];
    for (entry, (status, kind, first, sectors)) in sector[TABLE..].chunks_mut(ENTRY).zip(entries) {
        (entry[0], entry[4]) = (*status, *kind);
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
    }
    sector[510..].copy_from_slice(&SIGNATURE);
    sector
}

fn of(entries: &[(u8, u8, u32, u32)]) -> Result<Vec<(usize, Partition)>, Broken> {
    let partitions = table(&with_entries(entries), 1000)?;
    Ok(partitions.iter().enumerate().filter_map(|(index, partition)| Some((index, (*partition)?))).collect())
}

#[test]
fn partitions_are_found() {
    let found = of(&[(0x80, 0x06, 1, 99), (0, 0, 5, 5), (0, 0x83, 100, 900), (0, 0, 0, 0)]);
    let first = Partition { kind: 0x06, first: 1, sectors: 99 };
    let second = Partition { kind: 0x83, first: 100, sectors: 900 };
    assert_eq!(found, Ok([(0, first), (2, second)].to_vec()));
    assert!(first.is_fat() && !second.is_fat());
    assert_eq!(of(&[]), Ok(Vec::new()));
}

#[test]
fn tables_that_are_broken() {
    assert_eq!(table(&[0; Block::LEN], 1000), Err(Broken::NoTable));
    assert_eq!(of(&[(0, 0xee, 1, 999)]), Err(Broken::OtherTable));
    assert_eq!(of(&[(1, 6, 1, 9)]), Err(Broken::Entry(0)));
    for (first, sectors) in
        [(0, 5), (1, 0), (1, 1000), (1000, 1), (u32::MAX, 1), (u32::MAX, 2), (2, u32::MAX - 1)]
    {
        assert_eq!(of(&[(0, 0, 0, 0), (0, 6, first, sectors)]), Err(Broken::Outside(1)));
    }
    for (first, sectors) in [(100, 100), (50, 51), (199, 1), (150, 10), (50, 500)] {
        assert_eq!(of(&[(0, 6, 100, 100), (0, 6, first, sectors)]), Err(Broken::Overlap(1)));
    }
    assert!(of(&[(0, 6, 100, 100), (0, 6, 200, 10), (0, 6, 99, 1)]).is_ok());
}

/// A disk of so many sectors, some of which differ from what they were.
#[derive(Clone)]
struct Memory {
    bytes: &'static [u8],
    changed: Rc<RefCell<BTreeMap<u32, [u8; Block::LEN]>>>,
}

impl Memory {
    fn new(bytes: &'static [u8]) -> Self {
        Self { bytes, changed: Rc::default() }
    }

    fn sector(&self, at: u32) -> Option<[u8; Block::LEN]> {
        if let Some(changed) = self.changed.borrow().get(&at) {
            return Some(*changed);
        }
        self.bytes.as_chunks().0.get(at as usize).copied()
    }

    fn change(&self, at: u32, change: impl FnOnce(&mut [u8; Block::LEN])) {
        let mut sector = self.sector(at).unwrap();
        change(&mut sector);
        self.changed.borrow_mut().insert(at, sector);
    }
}

impl BlockDevice for Memory {
    type Error = DiskError;

    fn read(&self, blocks: &mut [Block], first: BlockIdx) -> Result<(), DiskError> {
        for (block, at) in blocks.iter_mut().zip(first.0..) {
            block.contents = self.sector(at).ok_or(DiskError::Outside)?;
        }
        Ok(())
    }

    fn write(&self, blocks: &[Block], first: BlockIdx) -> Result<(), DiskError> {
        for (block, at) in blocks.iter().zip(first.0..) {
            self.sector(at).ok_or(DiskError::Outside)?;
            self.changed.borrow_mut().insert(at, block.contents);
        }
        Ok(())
    }

    fn num_blocks(&self) -> Result<BlockCount, DiskError> {
        Ok(BlockCount((self.bytes.len() / Block::LEN) as u32))
    }
}

/// A disk with one volume, a few files and a directory.
fn image(kind: FatType, partition: u8, sectors: u32) -> Vec<u8> {
    let mut volume = Cursor::new(vec![0; (sectors - FIRST) as usize * Block::LEN]);
    let options = FormatVolumeOptions::new().fat_type(kind).bytes_per_cluster(512);
    fatfs::format_volume(&mut volume, options).unwrap();
    {
        let system = FileSystem::new(&mut volume, FsOptions::new()).unwrap();
        let root = system.root_dir();
        root.create_file("ONE.TXT").unwrap().write_all(&[1; 3000]).unwrap();
        let folder = root.create_dir("FOLDER").unwrap();
        for name in ["TWO.TXT", "THREE.TXT"] {
            folder.create_file(name).unwrap().write_all(&[2; 700]).unwrap();
        }
    }
    let mut bytes = vec![0; FIRST as usize * Block::LEN];
    bytes[..Block::LEN].copy_from_slice(&with_entries(&[(0, partition, FIRST, sectors - FIRST)]));
    bytes.extend(volume.into_inner());
    bytes
}

static FAT16: LazyLock<Vec<u8>> = LazyLock::new(|| image(FatType::Fat16, 0x06, DISK));
static FAT32: LazyLock<Vec<u8>> = LazyLock::new(|| image(FatType::Fat32, 0x0c, 68_000));

struct Epoch;

impl TimeSource for Epoch {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp::from_calendar(2026, 11, 25, 0, 0, 0).unwrap()
    }
}

type Answer<T> = Result<T, embedded_sdmmc::Error<DiskError>>;

/// Reads all files, and writes one, as a kernel would; answers how many bytes were read. `None` if the disk was refused.
fn walk(disk: &Memory) -> Option<Answer<usize>> {
    let disk = Bounded::new(disk.clone(), 3000);
    let [first, ..] = check(&disk).ok()?;
    disk.allow(3000, first?);
    let manager: VolumeManager<_, _, 4, 4, 1> = VolumeManager::new_with_limits(disk, Epoch, 0);
    Some((|| {
        let volume = manager.open_volume(VolumeIdx(0))?;
        let root = volume.open_root_dir()?;
        let mut all = 0;
        let entries = |folder: &embedded_sdmmc::Directory<'_, _, _, 4, 4, 1>| -> Answer<Vec<_>> {
            let mut entries: Vec<(ShortFileName, bool)> = Vec::new();
            folder.iterate_dir(|entry| {
                if !entry.attributes.is_volume() && !entry.attributes.is_lfn() {
                    entries.push((entry.name, entry.attributes.is_directory()));
                }
                if entries.len() < 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok(entries)
        };
        let read =
            |folder: &embedded_sdmmc::Directory<'_, _, _, 4, 4, 1>, name: &ShortFileName| -> Answer<usize> {
                let file = folder.open_file_in_dir(name, Mode::ReadOnly)?;
                let (mut buffer, mut length) = ([0; 1000], 0);
                while !file.is_eof() {
                    match file.read(&mut buffer)? {
                        0 => break,
                        count => length += count,
                    }
                }
                Ok(length)
            };
        for (name, is_folder) in entries(&root)? {
            if is_folder {
                let folder = root.open_dir(name)?;
                for (name, is_folder) in entries(&folder)? {
                    if !is_folder {
                        all += read(&folder, &name)?;
                    }
                }
            } else {
                all += read(&root, &name)?;
            }
        }
        let file = root.open_file_in_dir("NEW.TXT", Mode::ReadWriteCreateOrTruncate)?;
        file.write(&[3; 1500])?;
        file.close()?;
        all += read(&root, &ShortFileName::create_from_str("NEW.TXT").unwrap())?;
        Ok(all)
    })())
}

#[test]
fn volumes_are_walked() {
    for bytes in [&FAT16, &FAT32] {
        let disk = Memory::new(bytes);
        assert_eq!(check(&disk).map(|partitions| partitions.iter().flatten().count()), Ok(1));
        assert!(matches!(walk(&disk), Some(Ok(5900))), "{:?}", walk(&disk));
    }
}

#[test]
fn boot_sectors_that_cannot_be() {
    // Where, and what is written there.
    let cases: [(usize, &[u8]); 14] = [
        (11, &[0, 4]),
        (13, &[0]),
        (13, &[3]),
        (13, &[128]),
        (14, &[0, 0]),
        (14, &[0xff, 0xff]),
        (16, &[0]),
        (16, &[3]),
        (17, &[0, 0]),
        (17, &[0xff, 0xff]),
        (19, &[0xff, 0xff]),
        (19, &[0x20, 0]),
        (22, &[1, 0]),
        (510, &[0, 0]),
    ];
    for (at, bytes) in cases {
        let disk = Memory::new(&FAT16);
        disk.change(FIRST, |sector| sector[at..at + bytes.len()].copy_from_slice(bytes));
        assert_eq!(check(&disk), Err(Error::Broken(Broken::Volume(0))), "{at}: {bytes:x?}");
    }
    for (at, bytes) in [
        (17, &[1, 0][..]),
        (36, &[1, 0, 0, 0]),
        (36, &[0xff; 4]),
        (44, &[1, 0, 0, 0]),
        (44, &[0xff; 4]),
        (48, &[0, 0]),
        (48, &[0xff; 2]),
    ] {
        let disk = Memory::new(&FAT32);
        disk.change(FIRST, |sector| sector[at..at + bytes.len()].copy_from_slice(bytes));
        assert_eq!(check(&disk), Err(Error::Broken(Broken::Volume(0))), "{at}: {bytes:x?}");
    }
}

#[test]
fn a_disk_that_cannot_be_read() {
    assert_eq!(check(&Memory::new(&[])), Err(Error::Disk(DiskError::Outside)));
    // The table can be read always, the boot sector counts.
    assert_eq!(check(&Bounded::new(Memory::new(&FAT16), 0)), Err(Error::Disk(DiskError::TooMuch)));
    assert!(check(&Bounded::new(Memory::new(&FAT16), 1)).is_ok());
}

#[test]
fn bounds_are_those_of_a_partition() {
    let disk = Bounded::new(Memory::new(&FAT16), 0);
    disk.allow(10, Partition { kind: 6, first: 100, sectors: 50 });
    let read = |at| disk.read(&mut [Block::new()], BlockIdx(at));
    let write = |at, count| disk.write(&vec![Block::new(); count], BlockIdx(at));
    for outside in [1, 99, 150, u32::MAX] {
        assert_eq!(read(outside), Err(DiskError::Outside));
        assert_eq!(write(outside, 1), Err(DiskError::Outside));
    }
    assert_eq!(write(0, 1), Err(DiskError::Outside));
    assert_eq!(write(149, 2), Err(DiskError::Outside));
    assert_eq!(read(0), Ok(()));
    assert_eq!((read(100), read(149)), (Ok(()), Ok(())));
    assert_eq!((write(101, 8), write(149, 1)), (Ok(()), Err(DiskError::TooMuch)));
}

proptest! {
    #[test]
    fn any_table_is_sound_or_refused(entries in prop::collection::vec(any::<(u8, u8, u32, u32)>(), 4), sectors: u32) {
        let small = |(status, kind, first, count): (u8, u8, u32, u32)| (status & 0x80, kind, first % 3000, count % 1500);
        for entries in [entries.clone(), entries.into_iter().map(small).collect()] {
            if let Ok(partitions) = table(&with_entries(&entries), sectors) {
                let mut ranges: Vec<_> = partitions.iter().flatten().map(|p| (u64::from(p.first), u64::from(p.sectors))).collect();
                ranges.sort();
                prop_assert!(ranges.iter().all(|(first, count)| *first > 0 && *count > 0 && first + count <= sectors.into()));
                prop_assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
            }
        }
    }

    /// A volume with bytes changed anywhere that counts: refused, or walked with an error or without, never a panic, and
    /// with no more blocks than were allowed.
    #[test]
    fn a_damaged_volume_is_survived(
        changes in prop::collection::vec((0..6_u8, any::<u16>(), any::<u16>(), any::<[u8; 4]>()), 1..12),
        fat32: bool,
    ) {
        let disk = Memory::new(if fat32 { &FAT32 } else { &FAT16 });
        let boot = disk.sector(FIRST).unwrap();
        let half = |at: usize| u32::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let table = FIRST + half(14);
        let length = if half(22) != 0 { half(22) } else { half(36) };
        let root = table + 2 * length;
        for (place, sector, at, bytes) in changes {
            let at = usize::from(at) % 509;
            let (sector, at) = match place {
                0 => (0, at),
                1 => (FIRST, at % 64),
                2 => (FIRST + u32::from(sector) % half(14), at),
                // The first clusters' entries, in both tables.
                3 => (table, at % 64),
                4 => (table + length, at % 64),
                _ => (root + u32::from(sector) % 40, at % 128),
            };
            disk.change(sector, |sector| sector[at..at + bytes.len()].copy_from_slice(&bytes));
        }
        let outside: Vec<_> = (1..FIRST).map(|at| disk.sector(at)).collect();
        _ = walk(&disk);
        prop_assert!(outside == (1..FIRST).map(|at| disk.sector(at)).collect::<Vec<_>>(), "written in front of the volume");
    }
}
