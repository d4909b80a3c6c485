#![no_main]
//! The rules of a configuration.

use libfuzzer_sys::{Corpus, fuzz_target};
use retry_fuzz::config::check;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if check(bytes) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});
