#![no_main]
//! The text reader against a model of `json.loads`.

use libfuzzer_sys::{Corpus, fuzz_target};
use retry_fuzz::text::check;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if check(bytes) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});
