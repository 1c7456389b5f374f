//! The loudspeaker: a square wave of the timer's channel 2, let through by two bits of port 0x61.
//!
//! Neither port is handed out: with channel 2 the library measures the time stamp, and port 0x61 has the enables of NMI
//! for memory and bus errors beside the gate (IBM PC/AT technical reference; 8254 data sheet).

use super::Io;
use crate::interrupt::Timer;
use crate::machine::Machine;
use crate::observer::observed;
use crate::violation::Violation;

/// The count of channel 2, and the control words.
const COUNT: u16 = 0x42;
const CONTROL: u16 = 0x43;
/// Channel 2; low byte, then high; a square wave (mode 3); binary.
const SQUARE_WAVE: u8 = 2 << 6 | 3 << 4 | 3 << 1;

const GATES: u16 = 0x61;
/// The gate of channel 2, and the way from there to the loudspeaker.
const SPEAKER: u8 = 1 << 0 | 1 << 1;
/// The bits of port 0x61 that can be written; those above are read only.
const WRITTEN: u8 = 0x0f;

impl<M: Machine> Io<'_, M> {
    /// Lets the loudspeaker sound with `hz`, as nearly as whole ticks allow, until it is [silent](Self::silence).
    ///
    /// To [measure the time stamp](Timer::measure_time_stamp) ends the sound.
    ///
    /// # Errors
    ///
    /// [`NoSuchRate`](Violation::NoSuchRate).
    ///
    /// # Checks
    ///
    /// The rate is one of [`RATES`](Timer::RATES): the period fits the counter. Of port 0x61 two bits change.
    pub fn sound(self, hz: u32) -> Result<(), Violation> {
        if !Timer::<()>::RATES.contains(&hz) {
            return observed(self.machine, Err(Violation::NoSuchRate(hz)));
        }
        // 2 to 62,799 ticks, by the range of rates.
        let period = Timer::<()>::HZ.wrapping_add(hz / 2).checked_div(hz).unwrap_or_default();
        let [low, high, ..] = period.to_le_bytes();
        self.machine.handlers().timer.with(self.machine, |()| {
            self.write_speaker(CONTROL, SQUARE_WAVE);
            self.write_speaker(COUNT, low);
            self.write_speaker(COUNT, high);
            self.write_speaker(GATES, self.gates() | SPEAKER);
        });
        Ok(())
    }

    /// Silences the loudspeaker.
    ///
    /// # Checks
    ///
    /// None: of port 0x61 two bits change.
    pub fn silence(self) {
        self.machine.handlers().timer.with(self.machine, |()| {
            self.write_speaker(GATES, self.gates() & !SPEAKER);
        });
    }

    /// What stands in port 0x61, of what can be written.
    fn gates(self) -> u8 {
        // SAFETY: the library's own port; to read it leaves memory alone.
        let gates: u8 = unsafe { self.machine.port_read(GATES) };
        gates & WRITTEN
    }

    fn write_speaker(self, port: u16, value: u8) {
        // SAFETY: the library's own port; all that is written makes a sound, and no more.
        unsafe { self.machine.port_write(port, value) }
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
