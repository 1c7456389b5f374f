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

/// Makes sure that `kernel` leaves the floating-point registers alone, and, if it is the one that has the functions for
/// that, that `accesses` to a device cost what they may.
pub fn check(kernel: &Path, accesses: bool) -> Result<()> {
    // It comes with the linker.
    let mut objdump = Command::new("objdump");
    let listing = read(objdump.args(["--disassemble", "--no-show-raw-insn"]).arg(kernel))?;
    check_registers(kernel, &listing)?;
    if accesses { check_accesses(&listing).with_context(|| kernel.display().to_string()) } else { Ok(()) }
}

/// Makes sure that no code of `kernel` touches the x87, MMX or SSE registers but the library's, which saves
/// and loads them: anything else would corrupt the state of user programs.
fn check_registers(kernel: &Path, listing: &str) -> Result<()> {
    let found = floating_point(listing);
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

/// What an access to a register of a device may be made of, by the functions of a test kernel that do nothing else: the
/// most instructions up to the end, and whether it may decide anything. What is known when the register is named costs
/// nothing when it is used; what is not costs four instructions over the move of a place, the sum, and the end.
const ACCESSES: [(&str, usize, bool); 4] = [
    ("constant_port", 3, false),
    ("constant_register", 3, false),
    ("computed_port", 3 + 4, true),
    ("computed_register", 3 + 4, true),
];

/// Makes sure that an access to a device costs what it may.
fn check_accesses(listing: &str) -> Result<()> {
    for (name, most, may_decide) in ACCESSES {
        let path = path(listing, name).with_context(|| format!("there is no function {name}"))?;
        let decides = |instruction: &&str| instruction.starts_with('j') && !instruction.starts_with("jmp");
        ensure!(path.len() <= most, "{name} takes {} instructions, not {most}: {path:?}", path.len());
        ensure!(may_decide == path.iter().any(decides), "{name} decides, or does not: {path:?}");
    }
    Ok(())
}

/// The names of the instructions of the function with `name` in its own, up to the first end.
fn path<'l>(listing: &'l str, name: &str) -> Option<Vec<&'l str>> {
    let is_start = |line: &&str| line.ends_with(">:") && line.contains(name);
    let function = listing.lines().skip_while(|line| !is_start(line)).skip(1);
    let mut path = Vec::new();
    for line in function {
        let (_, instruction) = line.split_once(":\t")?;
        let name = instruction.split_whitespace().next()?;
        path.push(name);
        if name == "ret" {
            return Some(path);
        }
    }
    None
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

    #[test]
    fn an_access_is_as_long_as_it_may_be() {
        let function = |name: &str, body: &[&str]| {
            let lines = body.iter().map(|instruction| format!("c0100000:\t{instruction}\n"));
            format!("\nc0100000 <_ZN{name}E>:\n{}", lines.collect::<String>())
        };
        let judge = |constant: &[&str], computed: &[&str]| {
            let names = ACCESSES.map(|(name, _, decides)| (name, if decides { computed } else { constant }));
            check_accesses(&names.map(|(name, body)| function(name, body)).concat())
                .map_err(|error| error.to_string())
        };
        let sound = ["mov %ecx,%edx", "in (%dx),%al", "ret", "nop"];
        let checked =
            ["cmp %eax,%edx", "jae 1", "add %eax,%edx", "in (%dx),%al", "ret", "xor %eax,%eax", "ret"];
        assert_eq!(judge(&sound, &checked), Ok(()));
        assert!(judge(&["nop", "mov %ecx,%edx", "in (%dx),%al", "ret"], &checked).is_err(), "too long");
        assert!(judge(&["jae 1", "in (%dx),%al", "ret"], &checked).is_err(), "it decides");
        assert!(judge(&sound, &sound).is_err(), "it does not check");
        let long = ["nop", "nop", "nop", "cmp 1,2", "jae 1", "add 1,2", "in (%dx),%al", "ret"];
        assert!(judge(&sound, &long).is_err(), "too long");
        assert!(check_accesses("").is_err() && judge(&["nop"], &checked).is_err(), "no function, or no end");
    }
}
