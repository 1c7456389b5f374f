//! Lets a kernel that boots with the library link by `-Tsva-os.ld`.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_BOOT").is_some() {
        let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-search={}", Path::new(&root).join("src/boot").display());
    }
}
