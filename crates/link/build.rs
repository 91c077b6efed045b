//! Compiles `bpf/steer.bpf.c` with clang and generates its skeleton. Without the feature `xsk` there
//! is nothing to do.

fn main() {
    #[cfg(feature = "xsk")]
    steer::build();
}

#[cfg(feature = "xsk")]
mod steer {
    use std::{
        env,
        path::{Path, PathBuf},
        process::Command,
    };

    use libbpf_cargo::SkeletonBuilder;

    pub(crate) fn build() {
        // Where the crate is now: a build directory may be moved with it.
        let here = env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the crate is");
        let bpf = Path::new(&here).join("../../bpf");
        let source = bpf.join("steer.bpf.c");
        for input in [&source, &bpf.join("steer.h")] {
            println!("cargo:rerun-if-changed={}", input.display());
        }

        let mut clang_args = vec!["-Wall".to_owned(), "-Werror".to_owned()];
        if let Some(directory) = kernel_types() {
            clang_args.push(format!("-I{}", directory.display()));
        }
        let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
        SkeletonBuilder::new()
            .source(&source)
            .clang_args(clang_args)
            .build_and_generate(PathBuf::from(out).join("steer.skel.rs"))
            .expect("bpf/steer.bpf.c builds (it needs clang and the kernel's uapi headers)");
    }

    /// Where `asm/types.h` is. Debian and its kin keep it in a directory for the architecture, which
    /// clang does not search when its target is bpf; elsewhere it lies in /usr/include.
    fn kernel_types() -> Option<PathBuf> {
        let printed = Command::new("gcc").arg("-print-multiarch").output().ok();
        let multiarch = printed
            .and_then(|output| String::from_utf8(output.stdout).ok())
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .or_else(|| Some(format!("{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").ok()?)))?;
        let directory = Path::new("/usr/include").join(multiarch);
        directory.join("asm/types.h").exists().then_some(directory)
    }
}
