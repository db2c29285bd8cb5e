//! The target `http`; what it does is `metad_fuzz::http`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| metad_fuzz::http::replay(octets));
