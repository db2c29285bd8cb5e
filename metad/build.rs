//! Builds the kernel object and leaves it as `OUT_DIR/metad-ebpf.o` for the daemon to embed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

#[expect(dead_code, reason = "xtask uses the rest of the file that both share")]
#[path = "../xtask/src/bpf.rs"]
mod bpf;

fn main() {
    for path in [
        "Cargo.toml",
        "metad-common",
        "metad-ebpf",
        "xtask/src/bpf.rs",
    ] {
        tell(&format!("cargo::rerun-if-changed=../{path}"));
    }
    if let Err(problem) = embed() {
        // cargo shows these lines as its own errors, without a backtrace or an exit status.
        for line in problem.lines() {
            tell(&format!("cargo::error={line}"));
        }
    }
}

fn embed() -> Result<(), String> {
    let variable =
        |name: &str| env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"));
    let out = PathBuf::from(variable("OUT_DIR")?);
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent().unwrap_or(Path::new(".."));
    let toolchain = bpf::find().map_err(|missing| missing.to_string())?;
    let target = bpf::target_directory(&out).unwrap_or(&out);
    let arch = arch.to_string_lossy();
    let object = bpf::build(&toolchain, workspace, target, &arch, bpf::Profile::Release)?;
    fs::copy(&object, out.join("metad-ebpf.o"))
        .map_err(|error| format!("cannot copy {}: {error}", object.display()))?;
    Ok(())
}

/// An order to cargo, which reads a build script's stdout.
fn tell(line: &str) {
    println!("{line}");
}
