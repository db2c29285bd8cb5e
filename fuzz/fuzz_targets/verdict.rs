//! The target `verdict`; what it does is `metad_fuzz::verdict`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| metad_fuzz::verdict::replay(octets));
