//! Links the kernel as the library's boot expects it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bins=-Tsva-os.ld");
        println!("cargo:rustc-link-arg-bins=--gc-sections");
    }
}
