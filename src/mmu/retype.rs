//! Frames between uses: free, user data, kernel data, DMA.

use crate::address::Frame;
use crate::frame::Kind;
use crate::machine::Machine;
use crate::sva::Sva;
use crate::violation::Violation;

impl<M: Machine> Sva<M> {
    /// Makes `frame`, free, user data or kernel data, one of `kind`: free, user data, kernel data
    /// or DMA. What does not become free is filled with zeroes.
    ///
    /// # Errors
    ///
    /// [`KindNotOffered`](Violation::KindNotOffered), [`NotRetypable`](Violation::NotRetypable),
    /// [`FrameIsDma`](Violation::FrameIsDma), [`FrameSealed`](Violation::FrameSealed),
    /// [`FrameInUse`](Violation::FrameInUse), [`FrameBusy`](Violation::FrameBusy),
    /// [`NoSuchFrame`](Violation::NoSuchFrame).
    ///
    /// # Checks
    ///
    /// Nothing maps or copies the frame, no token owns it, and no TLB remembers it (invariants 3, 5,
    /// 9, 10). Without an IOMMU a DMA frame stays one. Attacks C4, C5, C11, F3, F4, F17.
    pub fn retype(&self, frame: Frame, kind: Kind) -> Result<(), Violation> {
        self.intrinsic(|| self.retype_if_offered(frame, kind))
    }

    fn retype_if_offered(&self, frame: Frame, kind: Kind) -> Result<(), Violation> {
        if !matches!(kind, Kind::Free | Kind::UserData | Kind::KernelData | Kind::Dma) {
            return Err(Violation::KindNotOffered(kind.bits()));
        }
        match self.kind(frame) {
            from @ (Kind::Free | Kind::UserData | Kind::KernelData) => self.change_kind(frame, from, kind),
            Kind::None => Err(Violation::NoSuchFrame(frame)),
            Kind::Dma => Err(Violation::FrameIsDma(frame)),
            _ if self.frames.word(&self.machine, frame).is_sealed() => Err(Violation::FrameSealed(frame)),
            _ => Err(Violation::NotRetypable(frame)),
        }
    }
}
