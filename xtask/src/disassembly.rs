//! What instructions a kernel is made of: none but the library's own touches the floating-point registers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::read;

/// What `src/machine/i386/fp.rs` executes; and what the test of ring 0's exceptions tries (`fnop`). No compiler
/// makes any of these of a program's arithmetic.
const ALLOWED: [&str; 8] = ["fninit", "fnstsw", "fxsave", "fxrstor", "fnsave", "fnclex", "frstor", "fnop"];
/// What stands before an instruction.
const PREFIXES: [&str; 13] =
    ["lock", "rep", "repz", "repnz", "data16", "addr16", "cs", "ds", "es", "fs", "gs", "ss", "notrack"];
/// What touches the registers without naming one, beside what begins with an `f`.
const OTHERS: [&str; 9] =
    ["wait", "emms", "ldmxcsr", "stmxcsr", "xsave", "xsaveopt", "xsavec", "xrstor", "vzeroupper"];
const REGISTERS: [&str; 5] = ["%st", "%mm", "%xmm", "%ymm", "%zmm"];

/// Makes sure that no code of `kernel` touches the x87, MMX or SSE registers but the library's, which saves
/// and loads them: anything else would corrupt the state of user programs.
pub fn check(kernel: &Path) -> Result<()> {
    // It comes with the linker.
    let mut objdump = Command::new("objdump");
    let listing = read(objdump.args(["--disassemble", "--no-show-raw-insn"]).arg(kernel))?;
    let found = floating_point(&listing);
    let what = || kernel.display().to_string();
    ensure!(listing.lines().count() > 1000, "{} was not disassembled", what());
    // Without these the listing, or this check, is not what it should be. Init asks by FNINIT what there is.
    ensure!(found.contains_key("fninit"), "{} does not reset the floating-point registers", what());
    let wrong: Vec<_> = found.into_iter().filter(|(name, _)| !ALLOWED.contains(name)).collect();
    let first = wrong.first().map(|(_, line)| line.trim().to_owned());
    first
        .map_or(Ok(()), |line| Err(anyhow::anyhow!("`{line}` uses a floating-point register")))
        .with_context(what)
}

/// The instructions of a listing that touch a floating-point register, each with the first line that it is in.
fn floating_point(listing: &str) -> BTreeMap<&str, &str> {
    let mut found = BTreeMap::new();
    for line in listing.lines() {
        // An address, a colon, a tab, the instruction.
        let Some((_, instruction)) = line.split_once(":\t") else {
            continue;
        };
        let mut words = instruction.split_whitespace().skip_while(|word| PREFIXES.contains(word));
        let name = words.next().unwrap_or_default();
        let touches = name.starts_with('f')
            || OTHERS.contains(&name)
            || words.any(|operands| REGISTERS.iter().any(|register| operands.contains(register)));
        if touches {
            found.entry(name).or_insert(line);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_a_floating_point_register_is_found() {
        let listing = "\nc0100000 <call>:\nc0100000:\tmov    %fs:(%eax),%ebx\nc0100002:\tlock incl (%esp)\n\
            c0100003:\tfildl  (%esp)\nc0100004:\tmovups %xmm0,(%eax)\nc0100005:\trep movsl %ds:(%esi),%es:(%edi)\n\
            c0100006:\tfs fxsave (%eax)\nc0100007:\tpopf\nc0100008:\tmovd   %mm3,%eax\nc0100009:\tldmxcsr (%eax)\n\
            c010000a:\tfildl  (%eax)\nc010000b:\tcall   c0100000 <f32_add>\nc010000c:\tverr   %ax\n";
        let found = floating_point(listing);
        let names: Vec<_> = found.keys().copied().collect();
        assert_eq!(names, ["fildl", "fxsave", "ldmxcsr", "movd", "movups"]);
        assert_eq!(found["fildl"], "c0100003:\tfildl  (%esp)");
    }
}
