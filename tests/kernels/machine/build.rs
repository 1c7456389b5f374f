//! Links the kernel as the library's boot expects it, but for the entry, which is hostile first.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bins=-Tsva-os.ld");
        println!("cargo:rustc-link-arg-bins=--entry=hostile_entry");
        println!("cargo:rustc-link-arg-bins=--gc-sections");
    }
}
