//! The target `domain_xml`; what it does is `metad_fuzz::domain_xml`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| metad_fuzz::domain_xml::replay(octets));
