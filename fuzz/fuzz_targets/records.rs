//! The target `records`; what it does is `metad_fuzz::records`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| metad_fuzz::records::replay(octets));
