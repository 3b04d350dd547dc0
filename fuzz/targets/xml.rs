#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mallee_fuzz::xml::run(data));
