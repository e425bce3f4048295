//! See `bulkhead_fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bulkhead_fuzz::run("wire", data));
