#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mallee_fuzz::form::run(data));
