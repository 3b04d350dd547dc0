#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mallee_fuzz::policy::run(data));
