//! That the kernels are safe Rust, to the last macro.
//!
//! `#![forbid(unsafe_code)]` does not look into the macros of other crates. So each package of the tree that a kernel
//! links, but the library itself, is expanded by the compiler, and no word `unsafe` may be left but those of
//! [`entry!`](../../src/boot/mod.rs), which names the entry point, and of the compiler's own `derive`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use proc_macro2::{TokenStream, TokenTree};

use crate::kernel::names;
use crate::process::{line, read};
use crate::toolchain::SourceToolchain;

const EXAMPLES: &str = "examples";
/// It runs in ring 3, where nobody relies on it.
const PROGRAMS: &str = "userland";
/// It climbs from a kernel that was not safe before, and says so.
const CLIMBS: &str = "climb";
/// What the compiler makes: of `derive(Clone)` for a type that is `Copy` too; of a comparison that is derived, behind the
/// last variant; of `#[global_allocator]`, whose type somebody else has to vouch for.
const DERIVED: [&str; 3] = [
    ":: core :: clone :: TrivialClone for",
    "{ :: core :: intrinsics :: unreachable () }",
    "{ :: core :: alloc :: GlobalAlloc ::",
];
/// What `entry!` is made of: the name of the function, and the call of the library's own.
const ENTRY: [&str; 2] = ["(no_mangle)", ":: sva_os :: boot :: start"];

/// Expands all packages, and says how long they are.
pub fn safe() -> Result<()> {
    let toolchain = SourceToolchain::find()?;
    for name in names(Path::new(EXAMPLES))?.iter().filter(|name| ![PROGRAMS, CLIMBS].contains(&name.as_str()))
    {
        let sources = Path::new(EXAMPLES).join(name).join("src");
        let mut targets = vec![("main.rs", vec!["--bin", name])];
        if sources.join("lib.rs").exists() {
            targets.push(("lib.rs", vec!["--lib"]));
        }
        for (root, target) in targets {
            let root = sources.join(root);
            let text = fs::read_to_string(&root).with_context(|| root.display().to_string())?;
            ensure!(
                text.contains("#![forbid(unsafe_code)]"),
                "{} does not forbid unsafe code",
                root.display()
            );
            let mut expand = toolchain.bare("rustc");
            expand
                .args(["--quiet", "--release", "--package", name])
                .args(target)
                .args(["--", "-Zunpretty=expanded"]);
            let expanded = read(&mut expand)?;
            ensure!(expanded.lines().count() > 10, "`{}` said nothing", line(&expand));
            let found =
                judge(&expanded, root.ends_with("main.rs")).with_context(|| root.display().to_string())?;
            println!("{}: {} lines expanded, {found} derived", root.display(), expanded.lines().count());
        }
        println!("{name}: {} lines of safe Rust without its tests", lines(&sources)?);
    }
    println!("sva-os: {} lines without its tests", lines(Path::new("src"))?);
    Ok(())
}

/// Looks for `unsafe` in expanded source, and says how often a `derive` is what it comes from.
fn judge(expanded: &str, is_entry: bool) -> Result<usize> {
    let tokens: TokenStream = expanded.parse().map_err(|error| anyhow!("not Rust: {error}"))?;
    let mut found = Vec::new();
    collect(tokens, &mut found);
    let (derived, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|after| DERIVED.iter().any(|part| after.contains(part)));
    let expected: &[&str] = if is_entry { &ENTRY } else { &[] };
    let as_expected = others.len() == expected.len()
        && others.iter().zip(expected).all(|(after, part)| after.contains(part));
    ensure!(as_expected, "unsafe code: {others:?}");
    Ok(derived.len())
}

/// What follows each word `unsafe`, up to the next braces, these included.
fn collect(tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (place, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) if word == "unsafe" => {
                let rest = &tokens[place + 1..];
                let end = rest.iter().position(|token| {
                    matches!(token, TokenTree::Group(group)
                    if group.delimiter() == proc_macro2::Delimiter::Brace)
                });
                let after = rest.iter().take(end.map_or(rest.len(), |end| end + 1)).cloned();
                found.push(after.collect::<TokenStream>().to_string());
            }
            TokenTree::Group(group) => collect(group.stream(), found),
            _ => {}
        }
    }
}

/// The lines of Rust below `directory` that are neither blank, nor comments, nor tests beside the code.
fn lines(directory: &Path) -> Result<usize> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if name == "tests" || name == "loom_tests" || name == "fixture" {
            continue;
        }
        if path.is_dir() {
            sum += lines(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let code = text.lines().take_while(|line| *line != "mod tests {").map(str::trim);
            sum += code.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DERIVE: &str = "#[doc(hidden)] unsafe impl<'a> ::core::clone::TrivialClone for Script<'a> { }\n";
    const ENTRY_FUNCTION: &str = "const _: () = { #[unsafe(no_mangle)] extern \"C\" fn f(a: u32) -> ! {\n\
        unsafe { ::sva_os::boot::start(a, main) } } };\n";

    #[test]
    fn nothing_but_the_entry_and_what_is_derived_is_unsafe() {
        let library = format!("#![forbid(unsafe_code)]\nfn f() -> &'static str {{ \"unsafe\" }}\n{DERIVE}");
        assert_eq!(judge(&library, false).unwrap(), 1);
        assert_eq!(judge(&format!("{library}{ENTRY_FUNCTION}"), true).unwrap(), 1);
        assert!(judge(&library, true).is_err(), "no entry");
        assert!(judge(&format!("{library}{ENTRY_FUNCTION}"), false).is_err(), "an entry in a library");
        for bad in ["fn f() { unsafe { g() } }", "unsafe impl Send for A {}", "mod a { unsafe fn f() {} }"] {
            assert!(judge(&format!("{library}{bad}"), false).is_err(), "{bad}");
            assert!(judge(&format!("{library}{ENTRY_FUNCTION}{bad}"), true).is_err(), "{bad}");
        }
        assert!(judge("fn f( {", false).is_err());
    }
}
