//! The boot sector of a FAT volume (Microsoft FAT specification, 2005).

use super::SIGNATURE;
use embedded_sdmmc::Block;

/// Bytes of a directory entry.
const ENTRY: u64 = 32;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// The first cluster that holds data.
const FIRST_CLUSTER: u64 = 2;
/// How many clusters make a FAT16, a FAT32, and more than there can be.
const FAT16: u64 = 4085;
const FAT32: u64 = 65525;
const TOO_MANY: u64 = 0x0fff_fff5;

/// Whether `sector` begins a FAT16 or FAT32 volume that fits into `sectors`, its tables into it, and its clusters
/// into the tables.
pub(super) fn is_sound(sector: &[u8; Block::LEN], sectors: u32) -> bool {
    is_signed(sector) && fits(sector, sectors).unwrap_or(false)
}

fn is_signed(sector: &[u8; Block::LEN]) -> bool {
    sector.ends_with(&SIGNATURE)
}

/// `None` for a number that would wrap.
fn fits(sector: &[u8; Block::LEN], sectors: u32) -> Option<bool> {
    let byte = |at| sector.get(at).copied().map(u64::from);
    let half = |at| sector.get(at..)?.first_chunk().map(|bytes| u64::from(u16::from_le_bytes(*bytes)));
    let word = |at| sector.get(at..)?.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)));

    let (cluster, reserved, tables, root_entries) = (byte(13)?, half(14)?, byte(16)?, half(17)?);
    if half(11)? != SECTOR || !cluster.is_power_of_two() || reserved == 0 || !(1..=2).contains(&tables) {
        return Some(false);
    }
    let either = |short: u64, long: u64| if short != 0 { short } else { long };
    let total = either(half(19)?, word(32)?);
    let table = either(half(22)?, word(36)?);
    let root = root_entries.checked_mul(ENTRY)?.div_ceil(SECTOR);
    let before = tables.checked_mul(table)?.checked_add(reserved)?.checked_add(root)?;
    if total > sectors.into() || before >= total {
        return Some(false);
    }
    let clusters = total.checked_sub(before)?.checked_div(cluster)?;
    let end = clusters.checked_add(FIRST_CLUSTER)?;
    let room = |bytes: u64| Some(table.checked_mul(SECTOR)?.checked_div(bytes)? >= end);
    Some(match clusters {
        FAT16..FAT32 => half(22)? != 0 && root_entries != 0 && room(2)?,
        FAT32..TOO_MANY => {
            let (root_cluster, information) = (word(44)?, half(48)?);
            let has_root = (FIRST_CLUSTER..end).contains(&root_cluster);
            root_entries == 0 && has_root && (1..reserved).contains(&information) && room(4)?
        }
        _ => false,
    })
}
