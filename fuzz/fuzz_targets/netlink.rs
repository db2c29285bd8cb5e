//! The target `netlink`; what it does is `metad_fuzz::netlink`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| metad_fuzz::netlink::replay(octets));
