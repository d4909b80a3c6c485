#![no_main]
//! The store of chains against a naive one.

use libfuzzer_sys::{Corpus, fuzz_target};
use retry_fuzz::state::check;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if check(bytes) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});
