// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs the `credentials` target under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cms_fuzz::run("credentials", data));
