//! The target `token`; what it does is `metad_fuzz::token`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| metad_fuzz::token::replay(octets));
