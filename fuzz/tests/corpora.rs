//! What fuzzing has found stays fixed: every stored input through the check of its target.

use std::path::Path;
use std::thread;

use retry_fuzz::{config, corpus, state, text};

/// The model of `json.loads` recurses, as the engine's targets do on the stack of a main thread.
const STACK: usize = 64 << 20;

/// How many of the inputs of a corpus gave the check something to look at.
fn replayed(target: &str, check: fn(&[u8]) -> bool) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{target}.txt"));
    let inputs = corpus::read(&path).expect("a corpus that can be read");
    let checking = move || inputs.iter().filter(|input| check(input)).count();
    let checked = thread::Builder::new()
        .stack_size(STACK)
        .spawn(checking)
        .expect("a thread")
        .join()
        .expect("a check that holds");
    println!("{target}: {checked} inputs checked");
    checked
}

#[test]
fn the_text_reader_says_of_stored_texts_what_the_model_says() {
    assert!(replayed("text", text::check) > 100);
}

#[test]
fn the_rules_of_a_configuration_hold_for_stored_ones() {
    assert!(replayed("config", config::check) > 20);
}

#[test]
fn the_store_holds_in_stored_series_what_a_naive_one_holds() {
    assert!(replayed("state", state::check) > 20);
}
