//! `model`: the long random walk of the model test.

use anyhow::{Result, ensure};

use crate::process::{read, run};
use crate::toolchain::cargo;

const TEST: &str = "long_model";

/// Runs the model for `steps` steps, its progress on this terminal.
pub fn model(steps: u64) -> Result<()> {
    let model = |arguments: &[&str]| {
        let mut command = cargo("test");
        command.args(["--package=sva-os", "--release", "--test=model", "--", "--ignored", TEST]);
        command.args(arguments).env("SVA_OS_MODEL_STEPS", steps.to_string());
        command
    };
    let tests = read(&mut model(&["--list"]))?;
    ensure!(tests.contains(&format!("{TEST}: test")), "tests/model.rs has no ignored test `{TEST}`");
    run(&mut model(&["--nocapture"]))
}
