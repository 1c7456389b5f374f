//! A disk for the crate `embedded-sdmmc`, and a bound on what it does with one.

use crate::ata::{Disk, Error};
use crate::registers::Registers;
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

/// A device that moves so many blocks and no more, until it is allowed to again.
///
/// A chain of clusters that ends in itself has no end. Who walks a file system that a stranger made sets a bound.
#[derive(Debug)]
pub struct Bounded<D> {
    device: D,
    left: Cell<u32>,
}

impl<D> Bounded<D> {
    /// Allows `device` so many blocks.
    pub const fn new(device: D, blocks: u32) -> Self {
        Self { device, left: Cell::new(blocks) }
    }

    /// From now on, so many blocks.
    pub fn allow(&self, blocks: u32) {
        self.left.set(blocks);
    }

    /// The device itself, whose blocks are not counted.
    pub const fn device(&self) -> &D {
        &self.device
    }

    fn take(&self, blocks: usize) -> Result<(), Error> {
        let blocks = u32::try_from(blocks).map_err(|_| Error::TooMuch)?;
        let left = self.left.get().checked_sub(blocks).ok_or(Error::TooMuch)?;
        self.left.set(left);
        Ok(())
    }
}

impl<D: BlockDevice<Error = Error>> BlockDevice for Bounded<D> {
    type Error = Error;

    fn read(&self, blocks: &mut [Block], first: BlockIdx) -> Result<(), Error> {
        self.take(blocks.len())?;
        self.device.read(blocks, first)
    }

    fn write(&self, blocks: &[Block], first: BlockIdx) -> Result<(), Error> {
        self.take(blocks.len())?;
        self.device.write(blocks, first)
    }

    fn num_blocks(&self) -> Result<BlockCount, Error> {
        self.device.num_blocks()
    }
}
