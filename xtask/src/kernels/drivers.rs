//! The runs of the example of drivers.

use super::{Expect, Host, MODES, Q35, RUN, Run};
use crate::drivers;

/// The example, with all devices and somebody who uses them, and on machines where something is wrong.
pub fn add(runs: &mut Vec<Run>) {
    let run = Run { kernel: "examples/drivers", ..RUN };
    let used = Run {
        append: "clock speaker serial keyboard screen disk network",
        host: Some(drivers::used),
        expect: Expect { status: 0, texts: USED },
        ..run
    };
    runs.extend(MODES.map(|(mode, cpus)| Run { mode, cpu: cpus.last().copied(), ..used }));
    runs.push(Run { cpu: Some("486"), ..used });
    runs.push(Run { extra: Q35, ..used });
    let nothing = Expect { status: 0, texts: NOTHING };
    runs.push(Run { append: "absent", expect: nothing, ..run });
    runs.push(Run {
        append: "absent",
        extra: &["-machine", "q35,i8042=off"],
        expect: Expect { status: 0, texts: NO_KEYBOARD },
        ..run
    });
    for (extra, host, text) in REFUSED {
        let expect = Expect { status: 1, texts: text };
        runs.push(Run { append: "disk", extra, host: Some(host), expect, ..run });
    }
}

/// A name, what is wrong with the disk, and what the guest has to say.
const REFUSED: [(&[&str], Host, &[&str]); 5] = [
    (&["-name", "overlap"], drivers::overlap, &["partition 1 overlaps another", "audit: Summary"]),
    (&["-name", "no-clusters"], drivers::no_clusters, &["volume in partition 0 is broken", "audit: Summary"]),
    (&["-name", "endless"], drivers::endless, &["more was read or written than allowed", "audit: Summary"]),
    (&["-name", "failing"], drivers::failing, &["the device reports the error", "audit: Summary"]),
    (&["-name", "slow"], drivers::slow, &["the device did not answer in time", "audit: Summary"]),
];

const USED: &[&str] = &["audit: Summary"];

const NO_KEYBOARD: &[&str] =
    &["first channel, First: no device", "keyboard: there is no keyboard controller", "audit: Summary"];

const NOTHING: &[&str] = &[
    "first channel, First: no device is connected",
    "first channel, Second: no device is connected",
    "second channel, First: no device is connected",
    "second channel, Second: no device is connected",
    "ISA network card: there is no card",
    "serial port 4: there is no serial port",
    "screen: there is no VGA",
    "audit: Summary",
];
