//! The target `admin`; what it does is `metad_fuzz::admin`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| metad_fuzz::admin::replay(octets));
