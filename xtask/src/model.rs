//! `model`: the long random walks of the model tests.

use anyhow::{Result, ensure};

use crate::process::{read, run};
use crate::toolchain::cargo;

/// Test programs, and the walk in each.
const WALKS: [(&str, &str); 2] = [("model", "long_model"), ("threads", "long_threads")];

/// Runs the models, memory's and then the threads', for `steps` steps each, their progress on this terminal.
pub fn model(steps: u64) -> Result<()> {
    let walk = |(program, test): (&str, &str), arguments: &[&str]| {
        let mut command = cargo("test");
        command.args(["--package=sva-os", "--release", "--test", program, "--", "--ignored", test]);
        command.args(arguments).env("SVA_OS_MODEL_STEPS", steps.to_string());
        command
    };
    for (program, test) in WALKS {
        let tests = read(&mut walk((program, test), &["--list"]))?;
        ensure!(tests.contains(&format!("{test}: test")), "tests/{program}.rs has no ignored test `{test}`");
    }
    for which in WALKS {
        run(&mut walk(which, &["--nocapture"]))?;
    }
    Ok(())
}
