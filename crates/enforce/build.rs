//! Compiles `bpf/bulkhead.bpf.c` with clang for the BPF target.
//!
//! Needs clang 14 or newer and the kernel's UAPI headers; both are ordinary Debian packages and are
//! named when missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

fn main() -> ExitCode {
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), String> {
    let source = Path::new("../../bpf");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?;
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    for name in ["bulkhead", "bench"] {
        let object = PathBuf::from(&out).join(format!("{name}.bpf.o"));
        compile_one(&clang, &source.join(format!("{name}.bpf.c")), &object)?;
    }
    Ok(())
}

fn compile_one(clang: &OsStr, source: &Path, object: &Path) -> Result<(), String> {
    let output = Command::new(clang)
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(multiarch_headers())
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
        .map_err(|error| {
            format!(
                "cannot run `{}` to compile the kernel programs: {error}; \
                 install it with `apt-get install clang`",
                Path::new(clang).display()
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("linux/bpf.h") || errors.contains("asm/types.h") {
        return Err(format!(
            "the kernel's UAPI headers are missing; install them with \
             `apt-get install linux-libc-dev`\n{errors}"
        ));
    }
    Err(format!("the kernel programs do not compile\n{errors}"))
}

/// Debian keeps `asm/` under the architecture's name, where clang for BPF does not look.
fn multiarch_headers() -> Vec<String> {
    let folders = fs::read_dir("/usr/include").into_iter().flatten().flatten();
    let mut found: Vec<String> = folders
        .map(|entry| entry.path())
        .filter(|path| path.join("asm/types.h").is_file())
        .map(|path| format!("-I{}", path.display()))
        .collect();
    let host = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    found.sort_by_key(|flag| !flag.contains(&host));
    found
}
