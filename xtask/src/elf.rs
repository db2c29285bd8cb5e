//! What is inside a kernel object: programs, maps, BTF. Reads the ELF file alone, so it needs no kernel.

use anyhow::{Context, Result, ensure};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// Octets of one BPF instruction.
const INSTRUCTION: u64 = 8;

/// The parts of a kernel object, by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) programs: Vec<Program>,
    pub(crate) maps: Vec<String>,
    pub(crate) has_btf: bool,
}

/// A function that the kernel can be handed, or that such a one calls.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// Its ELF section, which says what kind of program it is.
    pub(crate) section: String,
    pub(crate) instructions: u64,
}

impl Object {
    /// Reads an ELF file.
    ///
    /// # Errors
    /// It is no ELF file, or one without any program.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes).context("not an ELF file")?;
        let mut programs = Vec::new();
        let mut maps = Vec::new();
        for symbol in file.symbols() {
            let Some(section) = symbol.section_index() else {
                continue;
            };
            let section = file.section_by_index(section)?.name()?.to_owned();
            let name = symbol.name()?.to_owned();
            if symbol.kind() == SymbolKind::Text && symbol.size() > 0 {
                programs.push(Program {
                    name,
                    section,
                    instructions: symbol.size() / INSTRUCTION,
                });
            } else if matches!(section.as_str(), "maps" | ".maps") && symbol.size() > 0 {
                maps.push(name);
            }
        }
        ensure!(!programs.is_empty(), "it holds no program");
        programs.sort();
        maps.sort();
        let has_btf = file.section_by_name(".BTF").is_some();
        Ok(Self {
            programs,
            maps,
            has_btf,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_refused() {
        for (case, bytes) in [("empty", &b""[..]), ("text", b"#!/bin/sh\n")] {
            assert!(Object::parse(bytes).is_err(), "{case}");
        }
    }

    #[test]
    fn functions_of_this_executable_are_found() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let object = Object::parse(&own).unwrap();
        assert!(!object.has_btf, "a host executable has no BTF");
        assert!(object.maps.is_empty(), "and no maps: {:?}", object.maps);
    }
}
