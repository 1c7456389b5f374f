//! A disk for the crate `embedded-sdmmc`, and a bound on what it does with one.

use crate::ata::{Disk, Error};
use crate::registers::Registers;
use crate::volumes::Partition;
use crate::wait::Clock;
use core::cell::Cell;
use embedded_sdmmc::{Block, BlockCount, BlockDevice, BlockIdx};

impl<R: Registers, C: Clock> BlockDevice for Disk<'_, R, C> {
    type Error = Error;

    fn read(&self, blocks: &mut [Block], first: BlockIdx) -> Result<(), Error> {
        for (block, at) in blocks.iter_mut().zip(first.0..) {
            Disk::read(self, at, core::slice::from_mut(&mut block.contents))?;
        }
        Ok(())
    }

    fn write(&self, blocks: &[Block], first: BlockIdx) -> Result<(), Error> {
        for (block, at) in blocks.iter().zip(first.0..) {
            Disk::write(self, at, core::slice::from_ref(&block.contents))?;
        }
        Ok(())
    }

    fn num_blocks(&self) -> Result<BlockCount, Error> {
        Ok(BlockCount(self.identity().sectors))
    }
}

/// A device that moves so many blocks and no more, all of them of one partition, until it is told otherwise.
///
/// A chain of clusters that ends in itself has no end, and one that leads out of its volume leads into another, or to
/// the partition table. So who walks a file system that a stranger made sets bounds. Block 0 can be read always.
#[derive(Debug)]
pub struct Bounded<D> {
    device: D,
    left: Cell<u32>,
    range: Cell<(u32, u32)>,
}

impl<D> Bounded<D> {
    /// Allows `device` so many blocks, which may be any.
    pub const fn new(device: D, blocks: u32) -> Self {
        Self { device, left: Cell::new(blocks), range: Cell::new((0, u32::MAX)) }
    }

    /// From now on, so many blocks, and only of `partition`.
    pub fn allow(&self, blocks: u32, partition: Partition) {
        self.left.set(blocks);
        self.range.set((partition.first, partition.first.saturating_add(partition.sectors)));
    }

    /// The device itself, which has no bounds.
    pub const fn device(&self) -> &D {
        &self.device
    }

    fn take(&self, blocks: usize, first: BlockIdx) -> Result<(), Error> {
        let blocks = u32::try_from(blocks).map_err(|_| Error::TooMuch)?;
        let (start, end) = self.range.get();
        if first.0 < start || first.0.checked_add(blocks).is_none_or(|last| last > end) {
            return Err(Error::Outside);
        }
        let left = self.left.get().checked_sub(blocks).ok_or(Error::TooMuch)?;
        self.left.set(left);
        Ok(())
    }
}

impl<D: BlockDevice<Error = Error>> BlockDevice for Bounded<D> {
    type Error = Error;

    fn read(&self, blocks: &mut [Block], first: BlockIdx) -> Result<(), Error> {
        if first.0 != 0 || blocks.len() != 1 {
            self.take(blocks.len(), first)?;
        }
        self.device.read(blocks, first)
    }

    fn write(&self, blocks: &[Block], first: BlockIdx) -> Result<(), Error> {
        self.take(blocks.len(), first)?;
        self.device.write(blocks, first)
    }

    fn num_blocks(&self) -> Result<BlockCount, Error> {
        self.device.num_blocks()
    }
}
