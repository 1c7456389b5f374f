//! What a multiboot loader says (Multiboot Specification 0.6.96, 3.3), taken for an allegation:
//! every address, length and count in it may be wrong.
//!
//! The `multiboot` crate takes the strings and counts of the loader on trust; so this is read here, from
//! bytes, through a function that answers only for memory that can be read.

use super::status::Status;
use crate::address::PhysAddr;
use crate::memory_map::{Region, Usage};
use crate::violation::Violation;

/// What a multiboot loader leaves in EAX.
pub(crate) const MAGIC: u32 = 0x2bad_b002;
/// The most boot modules that are taken.
pub(crate) const MOST_MODULES: usize = 16;
/// The most regions of a memory map that are taken.
pub(crate) const MOST_REGIONS: usize = 64;
/// The most bytes of a command line or of a module's, its final zero included.
pub(crate) const MOST_TEXT: u32 = 1024;

/// Why a boot ends before the kernel's main function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// EAX does not hold the loader's magic number, but this.
    NotMultiboot(u32),
    /// The structure at this address is cut short, cannot be read, or contradicts itself.
    BadStructure(PhysAddr),
    /// More modules than are taken.
    TooManyModules(u32),
    /// The module at this address shares bytes with another.
    ModulesOverlap(PhysAddr),
    /// The library refused.
    Refused(Violation),
}

impl Refusal {
    /// How the kernel ends for it.
    pub const fn status(self) -> Status {
        match self {
            Refusal::NotMultiboot(_) => Status::NO_LOADER,
            Refusal::BadStructure(_) | Refusal::TooManyModules(_) => Status::BAD_STRUCTURE,
            Refusal::ModulesOverlap(_) => Status::MODULES_OVERLAP,
            Refusal::Refused(Violation::Unsupported(_)) => Status::UNSUPPORTED,
            Refusal::Refused(Violation::NoRoom(_)) => Status::NO_ROOM,
            Refusal::Refused(_) => Status::REFUSED,
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refusal::NotMultiboot(magic) => {
                write!(f, "not started by a multiboot loader: EAX is {magic:#010x}")
            }
            Refusal::BadStructure(at) => write!(f, "the loader's structure at {at} is cut short or wrong"),
            Refusal::TooManyModules(count) => write!(f, "{count} boot modules are too many"),
            Refusal::ModulesOverlap(at) => write!(f, "the boot module at {at} overlaps another"),
            Refusal::Refused(violation) => write!(f, "{violation}"),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Refusal::Refused(violation)
    }
}

/// Bytes of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bytes {
    pub(crate) start: PhysAddr,
    pub(crate) length: u32,
}

impl Bytes {
    pub(crate) const EMPTY: Self = Self { start: PhysAddr::new(0), length: 0 };

    /// The address of the first byte past them.
    fn end(self) -> u64 {
        u64::from(self.start.get()).wrapping_add(self.length.into())
    }

    fn overlaps(self, other: Self) -> bool {
        let (first, second) = (u64::from(self.start.get()), u64::from(other.start.get()));
        self.length != 0 && other.length != 0 && first < other.end() && second < self.end()
    }
}

/// A boot module, where the loader put it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ModuleAt {
    pub(crate) bytes: Bytes,
    pub(crate) text: Bytes,
}

/// A list of a fixed most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct List<T, const MOST: usize> {
    places: [T; MOST],
    used: usize,
}

impl<T: Copy, const MOST: usize> List<T, MOST> {
    pub(crate) const fn new(unused: T) -> Self {
        Self { places: [unused; MOST], used: 0 }
    }

    /// Appends `value`; `None` when the list is full.
    pub(crate) fn push(&mut self, value: T) -> Option<()> {
        *self.places.get_mut(self.used)? = value;
        self.used = self.used.wrapping_add(1);
        Some(())
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        self.places.get(..self.used).unwrap_or(&[])
    }
}

/// What a loader says, each part known to lie in memory that can be named.
pub(crate) struct Loader {
    pub(crate) regions: List<Region, MOST_REGIONS>,
    pub(crate) command_line: Bytes,
    pub(crate) modules: List<ModuleAt, MOST_MODULES>,
}

/// Offsets in the information structure, and flags that say which fields there are.
mod field {
    pub(super) const FLAGS: u32 = 0;
    pub(super) const MEMORY_LOWER: u32 = 4;
    pub(super) const MEMORY_UPPER: u32 = 8;
    pub(super) const COMMAND_LINE: u32 = 16;
    pub(super) const MODULE_COUNT: u32 = 20;
    pub(super) const MODULES: u32 = 24;
    pub(super) const MAP_LENGTH: u32 = 44;
    pub(super) const MAP: u32 = 48;

    pub(super) const HAS_MEMORY: u32 = 1 << 0;
    pub(super) const HAS_COMMAND_LINE: u32 = 1 << 2;
    pub(super) const HAS_MODULES: u32 = 1 << 3;
    pub(super) const HAS_MAP: u32 = 1 << 6;
}

/// Bytes of an entry of the module list.
const MODULE_BYTES: u32 = 16;
/// Bytes that an entry of the memory map has at least, behind its size field.
const MAP_ENTRY_BYTES: u32 = 20;
/// The type of a region that is RAM.
const AVAILABLE: u32 = 1;

/// Reads the loader's information structure at `information`; `read` answers with so many bytes from
/// an address on, if they can be read.
pub(crate) fn read<'a>(
    magic: u32,
    information: u32,
    read: impl Fn(u32, u32) -> Option<&'a [u8]>,
) -> Result<Loader, Refusal> {
    if magic != MAGIC {
        return Err(Refusal::NotMultiboot(magic));
    }
    let reader = Reader { read };
    let get = |offset: u32| reader.field(information, offset);
    let flags = get(field::FLAGS)?;
    let mut loader = Loader {
        regions: List::new(Region { start: 0, length: 0, usage: Usage::Reserved }),
        command_line: Bytes::EMPTY,
        modules: List::new(ModuleAt { bytes: Bytes::EMPTY, text: Bytes::EMPTY }),
    };
    if flags & field::HAS_MAP != 0 {
        reader.map(get(field::MAP)?, get(field::MAP_LENGTH)?, &mut loader)?;
    } else if flags & field::HAS_MEMORY != 0 {
        let kib = |field| get(field).map(|kib| u64::from(kib) << 10);
        for (start, length) in [(0, kib(field::MEMORY_LOWER)?), (1 << 20, kib(field::MEMORY_UPPER)?)] {
            _ = loader.regions.push(Region { start, length, usage: Usage::Available });
        }
    } else {
        return Err(Refusal::BadStructure(PhysAddr::new(information)));
    }
    if flags & field::HAS_COMMAND_LINE != 0 {
        loader.command_line = reader.text(get(field::COMMAND_LINE)?)?;
    }
    if flags & field::HAS_MODULES != 0 {
        reader.modules(get(field::MODULES)?, get(field::MODULE_COUNT)?, &mut loader)?;
    }
    Ok(loader)
}

struct Reader<F> {
    read: F,
}

impl<'a, F: Fn(u32, u32) -> Option<&'a [u8]>> Reader<F> {
    /// `length` bytes at `offset` of the structure at `base`.
    fn bytes(&self, base: u32, offset: u32, length: u32) -> Result<&'a [u8], Refusal> {
        let bytes = base.checked_add(offset).and_then(|at| (self.read)(at, length));
        bytes.ok_or(Refusal::BadStructure(PhysAddr::new(base)))
    }

    /// The little-endian word at `offset` of the structure at `base`.
    fn field(&self, base: u32, offset: u32) -> Result<u32, Refusal> {
        let bytes = self.bytes(base, offset, 4)?;
        bytes.try_into().map(u32::from_le_bytes).map_err(|_| Refusal::BadStructure(PhysAddr::new(base)))
    }

    fn double(&self, base: u32, offset: u32) -> Result<u64, Refusal> {
        let (low, high) = (self.field(base, offset)?, self.field(base, offset.saturating_add(4))?);
        Ok(u64::from(high) << u32::BITS | u64::from(low))
    }

    fn map(&self, map: u32, length: u32, loader: &mut Loader) -> Result<(), Refusal> {
        let bad = Refusal::BadStructure(PhysAddr::new(map));
        let mut offset = 0u32;
        while offset < length {
            let entry = map.checked_add(offset).ok_or(bad)?;
            let size = self.field(entry, 0)?;
            let next = size.checked_add(4).and_then(|bytes| offset.checked_add(bytes)).ok_or(bad)?;
            if size < MAP_ENTRY_BYTES || next > length {
                return Err(bad);
            }
            let is_available = self.field(entry, 20)? == AVAILABLE;
            let region = Region {
                start: self.double(entry, 4)?,
                length: self.double(entry, 12)?,
                usage: if is_available { Usage::Available } else { Usage::Reserved },
            };
            loader.regions.push(region).ok_or(bad)?;
            offset = next;
        }
        Ok(())
    }

    fn modules(&self, list: u32, count: u32, loader: &mut Loader) -> Result<(), Refusal> {
        for number in 0..count {
            let bad = Refusal::BadStructure(PhysAddr::new(list));
            let offset = number.checked_mul(MODULE_BYTES).ok_or(bad)?;
            let entry = list.checked_add(offset).ok_or(bad)?;
            let (start, end) = (self.field(entry, 0)?, self.field(entry, 4)?);
            let length = end.checked_sub(start).ok_or(Refusal::BadStructure(PhysAddr::new(entry)))?;
            let text = match self.field(entry, 8)? {
                0 => Bytes::EMPTY,
                text => self.text(text)?,
            };
            let module = ModuleAt { bytes: Bytes { start: PhysAddr::new(start), length }, text };
            if loader.modules.as_slice().iter().any(|other| other.bytes.overlaps(module.bytes)) {
                return Err(Refusal::ModulesOverlap(module.bytes.start));
            }
            loader.modules.push(module).ok_or(Refusal::TooManyModules(count))?;
        }
        Ok(())
    }

    /// The bytes of a text that ends with a zero, without it.
    fn text(&self, start: u32) -> Result<Bytes, Refusal> {
        let end = (0..MOST_TEXT).find_map(|offset| match self.bytes(start, offset, 1) {
            Ok([0]) => Some(Ok(offset)),
            Ok(_) => None,
            Err(refusal) => Some(Err(refusal)),
        });
        let length = end.unwrap_or(Err(Refusal::BadStructure(PhysAddr::new(start))))?;
        Ok(Bytes { start: PhysAddr::new(start), length })
    }
}

#[cfg(test)]
mod tests;
