//! Links the kernel by its own script.

fn main() {
    println!("cargo:rerun-if-changed=climb.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        println!("cargo:rustc-link-arg-bins=-T{root}/climb.ld");
        println!("cargo:rustc-link-arg-bins=--gc-sections");
    }
}
