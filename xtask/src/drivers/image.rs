//! The disk of the guest: a partition table, two FAT volumes with files, and a partition of another kind.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use crc::{CRC_32_ISO_HDLC, Crc};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use fscommon::StreamSlice;

const SECTOR: u64 = 512;
/// Kind, first sector, sectors. What nobody writes takes no room.
const PARTITIONS: [(u8, u32, u32); 3] =
    [(0x06, 2048, 40_960), (0x0c, 43_008, 163_840), (0x83, 206_848, 2048)];
const SECTORS: u64 = 208_896;
/// Of the volumes, what they are, and bytes of a cluster.
const TYPES: [(FatType, u32); 2] = [(FatType::Fat16, 4096), (FatType::Fat32, 1024)];
/// What the guest copies, each byte complemented.
const SOURCE: &str = "DATA.BIN";
const COPY: &str = "COPY.BIN";

/// What is wrong with a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The second partition begins in the first.
    Overlap,
    /// The first volume's clusters have no sectors.
    NoClusters,
    /// A directory of the first volume goes on in its own first cluster.
    Endless,
}

/// A file of a volume: its path, how long it is.
const FILES: [(&str, usize); 5] =
    [("README.TXT", 700), (SOURCE, 60_000), ("ODD.BIN", 511), ("EMPTY.BIN", 0), ("FOLDER/NESTED.BIN", 9_000)];

/// The bytes of a file, which tell it from every other.
fn contents(volume: usize, file: usize, length: usize) -> Vec<u8> {
    let mut state = ((volume * 16 + file + 1) as u32).wrapping_mul(0x9e37_79b9);
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// The lines that the guest has to write about the volumes: what it reads is what was written here.
pub fn expected() -> Vec<String> {
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    let mut lines = Vec::new();
    for volume in 0..TYPES.len() {
        for (file, (path, length)) in FILES.iter().enumerate() {
            let checksum = crc.checksum(&contents(volume, file, *length));
            lines.push(format!("volume {volume}: {path}: {length} bytes, CRC {checksum:08x}"));
        }
    }
    lines
}

/// Makes the disk anew.
pub fn build(path: &Path, flaw: Flaw) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut disk = options.read(true).write(true).create(true).truncate(true).open(path)?;
    disk.set_len(SECTORS * SECTOR)?;
    disk.write_all(&table(flaw))?;
    for volume in 0..TYPES.len() {
        fill(&disk, volume).with_context(|| format!("cannot make volume {volume} of {}", path.display()))?;
    }
    let first = u64::from(PARTITIONS[0].1) * SECTOR;
    match flaw {
        Flaw::None | Flaw::Overlap => {}
        Flaw::NoClusters => put(&mut disk, first + 13, &[0])?,
        Flaw::Endless => {
            // The directory's first cluster is named in the root directory; its entry in both tables is made to name
            // itself, and its own end is overwritten with names.
            let volume = Fat16::read(&mut disk, first)?;
            let cluster = volume.find(&mut disk, b"FOLDER     ")?;
            for table in 0..2 {
                put(&mut disk, volume.entry(table, cluster), &cluster.to_le_bytes())?;
            }
            // Deleted files, all of them: nothing to be found, and no end.
            let mut names = vec![0; usize::try_from(volume.cluster)?];
            names.chunks_mut(32).for_each(|name| name[..11].copy_from_slice(b"\xe5ONE    TXT"));
            put(&mut disk, volume.start(cluster), &names)?;
        }
    }
    Ok(())
}

fn put(disk: &mut File, at: u64, bytes: &[u8]) -> Result<()> {
    disk.seek(SeekFrom::Start(at))?;
    Ok(disk.write_all(bytes)?)
}

/// The first sector of the disk.
fn table(flaw: Flaw) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    let entries = sector[446..510].chunks_exact_mut(16);
    for (entry, (index, (kind, first, sectors))) in entries.zip(PARTITIONS.iter().enumerate()) {
        let first = if index == 1 && flaw == Flaw::Overlap { first - 1 } else { *first };
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&sectors.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn slice(disk: &File, volume: usize) -> Result<StreamSlice<File>> {
    let (_, first, sectors) = PARTITIONS[volume];
    let (start, length) = (u64::from(first) * SECTOR, u64::from(sectors) * SECTOR);
    Ok(StreamSlice::new(disk.try_clone()?, start, start + length)?)
}

/// Formats a volume and writes its files; the longest a piece at a time, between pieces of another, so that its
/// clusters lie apart.
fn fill(disk: &File, volume: usize) -> Result<()> {
    let (kind, cluster) = TYPES[volume];
    let options = FormatVolumeOptions::new().fat_type(kind).bytes_per_cluster(cluster);
    let options = options.volume_id(0x5a05_0000 + volume as u32).fats(2);
    fatfs::format_volume(&mut slice(disk, volume)?, options)?;
    let system = FileSystem::new(slice(disk, volume)?, FsOptions::new())?;
    {
        let root = system.root_dir();
        root.create_dir("FOLDER")?;
        let mut files = Vec::new();
        for (file, (path, length)) in FILES.iter().enumerate() {
            files.push((root.create_file(path)?, contents(volume, file, *length)));
        }
        for piece in 0.. {
            let mut done = true;
            for (file, bytes) in &mut files {
                if let Some(bytes) = bytes.chunks(5000).nth(piece) {
                    file.write_all(bytes)?;
                    done = false;
                }
            }
            if done {
                break;
            }
        }
    }
    system.unmount()?;
    Ok(())
}

/// Makes sure that the guest wrote what it should, and changed nothing else.
pub fn check(path: &Path) -> Result<()> {
    let disk = OpenOptions::new().read(true).write(true).open(path)?;
    for volume in 0..TYPES.len() {
        let system = FileSystem::new(slice(&disk, volume)?, FsOptions::new())?;
        let read = |path: &str| -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            system.root_dir().open_file(path)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        for (file, (path, length)) in FILES.iter().enumerate() {
            let bytes = read(path)?;
            ensure!(bytes == contents(volume, file, *length), "volume {volume}: {path} has changed");
            if *path == SOURCE {
                let copy = read(COPY).with_context(|| format!("volume {volume}: no {COPY}"))?;
                let complement: Vec<_> = bytes.iter().map(|byte| !byte).collect();
                ensure!(copy == complement, "volume {volume}: {COPY} is not the complement of {SOURCE}");
            }
        }
    }
    Ok(())
}

/// Where the parts of a FAT16 volume are.
struct Fat16 {
    tables: u64,
    table: u64,
    root: u64,
    data: u64,
    /// Bytes of a cluster.
    cluster: u64,
}

impl Fat16 {
    fn read(disk: &mut File, first: u64) -> Result<Self> {
        let mut sector = [0; SECTOR as usize];
        disk.seek(SeekFrom::Start(first))?;
        disk.read_exact(&mut sector)?;
        let half = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        ensure!(sector[16] == 2, "not as it was formatted");
        let tables = first + half(14) * SECTOR;
        let table = half(22) * SECTOR;
        let root = tables + 2 * table;
        let cluster = u64::from(sector[13]) * SECTOR;
        Ok(Self { tables, table, root, data: root + half(17) * 32, cluster })
    }

    fn entry(&self, table: u64, cluster: u16) -> u64 {
        self.tables + table * self.table + u64::from(cluster) * 2
    }

    /// Where a cluster starts.
    fn start(&self, cluster: u16) -> u64 {
        self.data + u64::from(cluster - 2) * self.cluster
    }

    /// The first cluster of the file with this name in the root directory.
    fn find(&self, disk: &mut File, name: &[u8; 11]) -> Result<u16> {
        let mut root = vec![0; usize::try_from(self.data - self.root)?];
        disk.seek(SeekFrom::Start(self.root))?;
        disk.read_exact(&mut root)?;
        let entry = root.chunks_exact(32).find(|entry| entry.starts_with(name)).context("no such file")?;
        Ok(u16::from_le_bytes([entry[26], entry[27]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_always_the_same() {
        let directory = std::env::temp_dir().join(format!("sva-os-image-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let make = |name: &str, flaw| {
            let path = directory.join(name);
            build(&path, flaw).unwrap();
            // Behind the first files of the second volume nothing is written.
            let mut bytes = Vec::new();
            File::open(&path).unwrap().take(24 << 20).read_to_end(&mut bytes).unwrap();
            bytes
        };
        let first = make("first", Flaw::None);
        assert!(first == make("second", Flaw::None));
        for flaw in [Flaw::Overlap, Flaw::NoClusters, Flaw::Endless] {
            assert!(first != make("flawed", flaw));
        }
        let missing = check(&directory.join("first")).unwrap_err();
        assert!(format!("{missing:#}").contains("no COPY.BIN"), "{missing:#}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
