//! The target `ledger`; what it does is `metad_fuzz::ledger`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| metad_fuzz::ledger::replay(octets));
