//! How a boot ended, judged by what the guest said last.
//!
//! An exit code alone proves nothing: with `-no-reboot` a triple fault gives 0, as a power-off
//! does. So a guest that is done writes the line `status N` to its serial port, N from 0 to 127, and
//! then N to the debug exit port, whose exit code 2N + 1 has to agree. Or it powers off.

use std::fmt::{self, Display, Formatter};
use std::process::ExitStatus;
use std::time::Duration;

/// The greatest status: the debug exit port keeps seven bits.
const LAST_STATUS: u8 = 127;

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest gave this status and left.
    Status(u8),
    /// The guest was at work for so long that it was stopped.
    TimeLimit(Duration),
    /// A fault in the handling of a double fault.
    TripleFault,
    /// The guest was reset or powered off, or its user left, and it gave no status.
    Reset,
    /// The guest wrote this value to the debug exit port, and gave no status.
    NoStatus(u8),
    /// The guest gave one status, and wrote another to the debug exit port.
    Disagree { said: u8, wrote: u8 },
    /// The last line that starts as a status does holds none.
    NotAStatus(String),
    /// QEMU could not boot the guest, or was ended from outside.
    Qemu(String),
}

impl Display for Ending {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::TimeLimit(limit) => write!(f, "time limit: stopped after {} s", limit.as_secs_f64()),
            Self::TripleFault => f.write_str("triple fault"),
            Self::Reset => f.write_str("reset, powered off or left, without a status"),
            Self::NoStatus(wrote) => write!(f, "left through the debug exit with {wrote}, without a status"),
            Self::Disagree { said, wrote } => {
                write!(f, "gave the status {said}, but left through the debug exit with {wrote}")
            }
            Self::NotAStatus(line) => write!(f, "gave no status from 0 to {LAST_STATUS}, but {line:?}"),
            Self::Qemu(message) => write!(f, "QEMU failed: {message}"),
        }
    }
}

/// What is left of a boot that ended by itself.
pub struct Remains<'a> {
    /// What the guest wrote to its serial port.
    pub output: &'a str,
    /// What QEMU complained about.
    pub errors: &'a str,
    /// QEMU's log of resets.
    pub log: &'a str,
    /// How QEMU ended.
    pub exit: ExitStatus,
}

impl Remains<'_> {
    /// Judges how the boot ended.
    pub fn judge(&self) -> Ending {
        if self.log.lines().any(|line| line == "Triple fault") {
            return Ending::TripleFault;
        }
        let complaints: Vec<_> = self.errors.lines().filter(|line| !line.contains(": warning: ")).collect();
        let said = match last_status(self.output) {
            Ok(said) => said,
            Err(line) => return Ending::NotAStatus(line),
        };
        let powered_off = self.exit.success();
        match (said, self.wrote()) {
            (None, _) if !complaints.is_empty() => Ending::Qemu(complaints.join("; ")),
            (None, _) if powered_off => Ending::Reset,
            (Some(said), _) if powered_off => Ending::Status(said),
            (Some(said), Some(wrote)) if said == wrote => Ending::Status(said),
            (Some(said), Some(wrote)) => Ending::Disagree { said, wrote },
            (None, Some(wrote)) => Ending::NoStatus(wrote),
            (_, None) => Ending::Qemu(self.exit.to_string()),
        }
    }

    /// What the guest wrote to the debug exit port, if QEMU ended as that makes it.
    fn wrote(&self) -> Option<u8> {
        let code = u8::try_from(self.exit.code()?).ok()?;
        (code % 2 == 1).then_some(code / 2)
    }
}

/// The status in the last line of `output` that starts as one; the line, if it holds none.
///
/// A line ends with its newline: half a number is no status.
fn last_status(output: &str) -> Result<Option<u8>, String> {
    let Some(line) = output.split_inclusive('\n').rfind(|line| line.starts_with("status ")) else {
        return Ok(None);
    };
    let status = line.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let digits = status.and_then(|line| line.strip_prefix("status "));
    let number = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match number.and_then(|number| number.parse().ok()) {
        Some(status @ 0..=LAST_STATUS) => Ok(Some(status)),
        _ => Err(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn judge(output: &str, errors: &str, log: &str, code: i32) -> Ending {
        Remains { output, errors, log, exit: ExitStatus::from_raw(code << 8) }.judge()
    }

    #[test]
    fn the_last_line_that_starts_so_is_the_status() {
        assert_eq!(last_status("boot\r\nstatus 0\r\n"), Ok(Some(0)));
        assert_eq!(last_status("status 3\nstatus 127\nbye\n"), Ok(Some(127)));
        assert_eq!(last_status("status 1\nthe status 2\n"), Ok(Some(1)));
        assert_eq!(last_status("boot\nstatus: 0\nstatus\n"), Ok(None));
        assert_eq!(last_status(""), Ok(None));
    }

    #[test]
    fn what_is_not_a_whole_number_up_to_127_is_no_status() {
        for bad in ["128", "256", "-1", "+1", "", " 1", "1 ", "0x1", "1\r", "1\0"] {
            let output = format!("status 0\nstatus {bad}\r\n");
            assert_eq!(last_status(&output), Err(format!("status {bad}\r\n")), "{bad:?}");
        }
        assert_eq!(last_status("status 0\nstatus 1"), Err("status 1".to_owned()), "cut off");
    }

    #[test]
    fn a_status_counts_if_the_exit_agrees() {
        for status in [0, 1, 5, 126, 127] {
            let output = format!("status {status}\n");
            let code = 2 * i32::from(status) + 1;
            assert_eq!(judge(&output, "", "", code), Ending::Status(status));
            assert_eq!(judge(&output, "", "", 0), Ending::Status(status), "powered off");
            let other = Ending::Disagree { said: status, wrote: 64 };
            assert_eq!(judge(&output, "", "", 129), other);
        }
    }

    #[test]
    fn no_status_is_a_failure_that_says_how_it_ended() {
        assert_eq!(judge("boot\n", "", "", 0), Ending::Reset);
        assert_eq!(judge("boot\n", "", "", 1), Ending::NoStatus(0));
        assert_eq!(judge("boot\n", "", "", 255), Ending::NoStatus(127));
        assert_eq!(judge("boot\n", "", "CPU Reset (CPU 0)\n\nTriple fault\n", 0), Ending::TripleFault);
        assert_eq!(judge("status 128\n", "", "", 1), Ending::NotAStatus("status 128\n".to_owned()));
    }

    #[test]
    fn a_triple_fault_after_the_status_is_one() {
        assert_eq!(judge("status 0\n", "", "Triple fault\n", 0), Ending::TripleFault);
        assert_eq!(judge("status 0\n", "", "CPU Reset (CPU 0)\n", 0), Ending::Status(0));
    }

    #[test]
    fn what_qemu_complains_about_is_not_the_guests_end() {
        let warning = "qemu-system-i386: warning: TCG doesn't support it\n";
        let error = "qemu-system-i386: could not load kernel\n";
        let failed = Ending::Qemu(error.trim_end().to_owned());
        assert_eq!(judge("", error, "", 1), failed);
        assert_eq!(judge("", &format!("{warning}{error}"), "", 1), failed);
        assert_eq!(judge("", warning, "", 1), Ending::NoStatus(0));
        assert_eq!(judge("", "", "", 2), Ending::Qemu("exit status: 2".to_owned()));
        let killed = Remains { output: "status 0\n", errors: "", log: "", exit: ExitStatus::from_raw(9) };
        assert!(matches!(killed.judge(), Ending::Qemu(message) if message.contains("signal: 9")));
    }
}
