//! Compiles the generator's BPF programs with clang.

use std::path::PathBuf;
use std::{env, process::Command};

use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "bpf/blast.bpf.c";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    SkeletonBuilder::new()
        .source(SOURCE)
        .obj(out.join("blast.bpf.o"))
        .clang_args(["-Wall".to_owned(), format!("-I/usr/include/{}", multiarch())])
        .build()
        .expect(
            "bpf/blast.bpf.c builds (it needs clang, libbpf-dev and the kernel's uapi headers)",
        );
}

/// Debian keeps `asm/types.h` in a directory for the architecture, which clang does not search when its
/// target is bpf.
fn multiarch() -> String {
    let printed = Command::new("gcc").arg("-print-multiarch").output().ok();
    printed
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "x86_64-linux-gnu".to_owned())
}
