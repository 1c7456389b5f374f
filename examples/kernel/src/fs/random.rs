//! Random numbers, **not for cryptography**: whoever sees some can compute the others.
//!
//! They are as good as their seed, which comes from a clock at best.

use super::data::{Sink, Source};
use crate::errno::Result;
use fastrand::Rng;
use spin::{LazyLock, Mutex};

static GENERATOR: LazyLock<Mutex<Rng>> = LazyLock::new(|| Mutex::new(Rng::with_seed(0)));

/// Makes what comes depend on this, and on what there was.
pub fn seed(value: u64) {
    let mut generator = GENERATOR.lock();
    let mixed = generator.u64(..) ^ value;
    generator.seed(mixed);
}

/// Puts so many random bytes: what `getrandom` and `/dev/urandom` give.
pub fn put(count: usize, sink: &mut dyn Sink) -> Result<usize> {
    let mut done = 0;
    while done < count {
        let mut bytes = [0; 64];
        let some = bytes.len().min(count - done);
        GENERATOR.lock().fill(&mut bytes);
        let put = match sink.put(bytes.get(..some).unwrap_or_default()) {
            Ok(put) => put,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        };
        done += put;
        if put < some {
            break;
        }
    }
    Ok(done)
}

/// Seeds with what a program writes.
pub(super) fn mix(count: usize, source: &mut dyn Source) -> Result<usize> {
    let mut done = 0;
    while done < count {
        let mut bytes = [0; 8];
        let some = bytes.len().min(count - done);
        let got = match bytes.get_mut(..some).map_or(Ok(0), |bytes| source.get(bytes)) {
            Ok(got) => got,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        };
        if got == 0 {
            break;
        }
        seed(u64::from_le_bytes(bytes));
        done += got;
    }
    Ok(done)
}
