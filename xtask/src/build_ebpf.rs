//! Builds the kernel object and prints what is in it.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::bpf;
use crate::elf::Object;
use crate::setup::{self, Purpose};
use crate::shell::{self, say};

/// Builds `metad-ebpf` and prints path, size, programs with their instruction counts, and maps.
pub(crate) fn run(profile: bpf::Profile) -> Result<()> {
    setup::ensure(Purpose::Build)?;
    let toolchain = bpf::find().map_err(|missing| anyhow::anyhow!("{missing}"))?;
    let started = Instant::now();
    let arch = std::env::consts::ARCH;
    let path = bpf::build(
        &toolchain,
        shell::workspace(),
        &shell::target()?,
        arch,
        profile,
    )
    .map_err(|problem| anyhow::anyhow!(problem))?;
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let object =
        Object::parse(&bytes).with_context(|| format!("cannot parse {}", path.display()))?;
    say(&format!("object    {}", path.display()));
    say(&format!(
        "built by  {}, in {}",
        toolchain.compiler.name,
        shell::duration(started.elapsed())
    ));
    let btf = if object.has_btf {
        "with BTF"
    } else {
        "WITHOUT BTF"
    };
    say(&format!("size      {} bytes, {btf}", bytes.len()));
    // What the programs call, and what the compiler adds, has no section of its own.
    let (called, programs): (Vec<_>, Vec<_>) = object
        .programs
        .iter()
        .partition(|program| program.section == ".text");
    for program in programs {
        say(&format!(
            "program   {:<20} {:>5} instructions  ({})",
            program.name, program.instructions, program.section
        ));
    }
    let sum: u64 = called.iter().map(|function| function.instructions).sum();
    say(&format!(
        "functions {:<20} {sum:>5} instructions",
        called.len()
    ));
    for name in &object.maps {
        say(&format!("map       {name}"));
    }
    Ok(())
}
