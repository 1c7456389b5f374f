//! QEMU's monitor, by which keys are pressed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::session::{PATIENCE, connect};

pub struct Monitor(BufReader<UnixStream>);

impl Monitor {
    pub fn open(path: &Path) -> Result<Self> {
        let stream = connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self(BufReader::new(stream));
        ensure!(monitor.answer()?.get("QMP").is_some(), "QEMU's monitor does not greet");
        monitor.command(&json!({ "execute": "qmp_capabilities" }))?;
        Ok(monitor)
    }

    /// Presses keys together, by QEMU's names of them.
    pub fn press(&mut self, keys: &[&str]) -> Result<()> {
        let keys: Vec<_> = keys.iter().map(|key| json!({ "type": "qcode", "data": key })).collect();
        self.command(&json!({ "execute": "send-key", "arguments": { "keys": keys, "hold-time": 20 } }))
    }

    /// The guest's physical memory from `start` on, through the file `dump`.
    pub fn memory(&mut self, start: u32, length: usize, dump: &Path) -> Result<Vec<u8>> {
        let arguments = json!({ "val": start, "size": length, "filename": dump });
        self.command(&json!({ "execute": "pmemsave", "arguments": arguments }))?;
        Ok(fs::read(dump)?)
    }

    fn command(&mut self, command: &Value) -> Result<()> {
        writeln!(self.0.get_mut(), "{command}")?;
        loop {
            let answer = self.answer()?;
            if answer.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = answer.get("error") {
                bail!("QEMU's monitor refuses {command}: {error}");
            }
        }
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("QEMU's monitor says {line:?}"))
    }
}
