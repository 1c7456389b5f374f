//! Partition tables and FAT boot sectors, judged before anybody relies on them.
//!
//! The crate `embedded-sdmmc` takes a boot sector's numbers as they are. So [`check`] reads them first: a partition
//! lies on the disk and apart from the others, and what a FAT volume says of itself fits into it.

mod fat;

use core::fmt;
use embedded_sdmmc::{Block, BlockDevice, BlockIdx};

/// How many partitions a table has.
pub const PARTITIONS: usize = 4;
/// Where the table lies in the first sector, and how long an entry is (IBM PC DOS).
const TABLE: usize = 446;
const ENTRY: usize = 16;
/// The last two bytes of the sector.
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// A partition that is none; one that covers a disk with a table of another kind.
const UNUSED: u8 = 0x00;
const PROTECTIVE: u8 = 0xee;
/// FAT16, small, large, by sector; FAT32, and by sector.
const FAT: [u8; 5] = [0x04, 0x06, 0x0e, 0x0b, 0x0c];
/// Of an entry's first byte: the machine starts from here.
const ACTIVE: u8 = 0x80;

/// A partition that lies on its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partition {
    /// What it holds.
    pub kind: u8,
    /// Its first sector.
    pub first: u32,
    /// How many it has, 1 at least.
    pub sectors: u32,
}

impl Partition {
    /// Whether it says that it holds a FAT file system.
    pub fn is_fat(self) -> bool {
        FAT.contains(&self.kind)
    }

    fn new(entry: &[u8; ENTRY]) -> Self {
        let [_, _, _, _, kind, _, _, _, a, b, c, d, e, f, g, h] = *entry;
        Self { kind, first: u32::from_le_bytes([a, b, c, d]), sectors: u32::from_le_bytes([e, f, g, h]) }
    }

    /// The sector behind its last, if it lies behind the table on a disk of `sectors`.
    fn end(self, sectors: u32) -> Option<u32> {
        let end = self.first.checked_add(self.sectors)?;
        (self.first != 0 && self.sectors != 0 && end <= sectors).then_some(end)
    }
}

/// What is wrong with a disk's volumes. Partitions count from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// The first sector has no partition table.
    NoTable,
    /// The table is of another kind (GPT).
    OtherTable,
    /// An entry's first byte is neither of the two that there are.
    Entry(usize),
    /// A partition is empty, or does not lie on the disk behind the table.
    Outside(usize),
    /// A partition has a sector of one before it.
    Overlap(usize),
    /// A FAT volume says of itself what cannot be.
    Volume(usize),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => f.write_str("there is no partition table"),
            Self::OtherTable => f.write_str("the partition table is of another kind"),
            Self::Entry(index) => write!(f, "entry {index} of the partition table is none"),
            Self::Outside(index) => write!(f, "partition {index} does not lie on the disk"),
            Self::Overlap(index) => write!(f, "partition {index} overlaps another"),
            Self::Volume(index) => write!(f, "the volume in partition {index} is broken"),
        }
    }
}

impl core::error::Error for Broken {}

/// Why the volumes of a disk are not to be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error<E> {
    /// What the disk holds.
    Broken(Broken),
    /// It could not be read.
    Disk(E),
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => broken.fmt(f),
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for Error<E> {}

/// The partitions of a disk, none of which is broken: each lies on the disk and shares no sector with another, and
/// those that say they are FAT hold a FAT16 or FAT32 volume that fits.
///
/// # Errors
///
/// [`Error::Broken`] with the first thing that is wrong, [`Error::Disk`].
pub fn check<D: BlockDevice>(device: &D) -> Result<[Option<Partition>; PARTITIONS], Error<D::Error>> {
    let read = |at| {
        let mut block = [Block::new()];
        let done = device.read(&mut block, BlockIdx(at)).map_err(Error::Disk);
        let [block] = block;
        done.map(|()| block.contents)
    };
    let sectors = device.num_blocks().map_err(Error::Disk)?.0;
    let partitions = table(&read(0)?, sectors).map_err(Error::Broken)?;
    for (index, partition) in partitions.iter().enumerate() {
        if let Some(partition) = partition.filter(|partition| partition.is_fat())
            && !fat::is_sound(&read(partition.first)?, partition.sectors)
        {
            return Err(Error::Broken(Broken::Volume(index)));
        }
    }
    Ok(partitions)
}

/// The partitions that the first sector of a disk of `sectors` names.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn table(sector: &[u8; Block::LEN], sectors: u32) -> Result<[Option<Partition>; PARTITIONS], Broken> {
    if !sector.ends_with(&SIGNATURE) {
        return Err(Broken::NoTable);
    }
    let mut partitions = [None; PARTITIONS];
    let entries = sector.get(TABLE..).unwrap_or_default().as_chunks::<ENTRY>().0;
    for (index, entry) in entries.iter().enumerate() {
        let partition = Partition::new(entry);
        let [status, ..] = *entry;
        match partition.kind {
            UNUSED => continue,
            PROTECTIVE => return Err(Broken::OtherTable),
            _ if status & !ACTIVE != 0 => return Err(Broken::Entry(index)),
            _ => {}
        }
        let end = partition.end(sectors).ok_or(Broken::Outside(index))?;
        let before = partitions.iter().flatten();
        let meets = |other: &Partition| {
            other.first < end && other.end(sectors).is_some_and(|other| partition.first < other)
        };
        if before.into_iter().any(meets) {
            return Err(Broken::Overlap(index));
        }
        if let Some(place) = partitions.get_mut(index) {
            *place = Some(partition);
        }
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests;
