//! Tries every order in which threads may take the shared store's lock, faults included.
//!
//! The store's lock is its only point of contact between threads, so that the orders of taking it
//! are all that can happen. Run with
//! `RUSTFLAGS="--cfg shuttle" cargo test -p retry-core --test store_model --target-dir target/model`;
//! without that there is nothing in here.
#![allow(unexpected_cfgs, reason = "only the model check's own command sets it")]
#![cfg(shuttle)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells how much it has tried"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use retry_core::value::{Integer, Value};
use retry_core::{
    ChainId, ChainIds, ChainKey, Content, ContentItem, Engine, Finding, Outcome, ReadPath,
    RetryConfig, SharedStore, Signals, StateStore, Structured, Verdict,
};
use shuttle::Runner;
use shuttle::scheduler::DfsScheduler;
use shuttle::sync::Arc;
use shuttle::thread;

const NOW: Duration = Duration::from_secs(1_000);

/// More orders than any model here has: a model beyond it is not tried in all of them.
const MOST_ORDERS: usize = 20_000;

/// Runs a model in every order there is; how many there were.
///
/// A lock is several steps (asking for it, having it, giving it back), so that there are more
/// orders than those of the calls.
fn in_every_order(name: &str, model: impl Fn() + Send + Sync + 'static) -> usize {
    let scheduler = DfsScheduler::new(Some(MOST_ORDERS), false);
    let orders = Runner::new(scheduler, shuttle::Config::default()).run(model);
    assert!(orders < MOST_ORDERS, "{name}: there are more orders");
    println!("{name}: tried {orders} orders, lost 0");
    orders
}

fn chain(request_id: &str) -> ChainId {
    ChainIds::new([17, 4]).of(&ChainKey {
        path: ReadPath::Structured,
        tool: b"tool",
        request_id: request_id.as_bytes(),
    })
}

fn shared(max_chains: u32) -> Arc<SharedStore> {
    Arc::new(SharedStore::new(StateStore::new(max_chains)))
}

struct NoContent;

impl Content for NoContent {
    fn any_failure(&mut self, _: &mut dyn FnMut(ContentItem<'_>) -> Finding) -> bool {
        false
    }
}

/// One call of the hook as the bindings make it: judged without the lock, settled with it.
fn call(engine: &Engine, store: &SharedStore, error: bool) -> Verdict {
    let outcome = Outcome {
        error,
        structured: Structured::Object(Signals {
            error: false,
            status: None,
        }),
    };
    let judgement = engine.judge(b"tool", &outcome, &mut NoContent);
    store
        .with(|store| engine.settle(&judgement, chain("r"), store, NOW, 0))
        .verdict
}

fn engine(max_retries: i128) -> Arc<Engine> {
    let config = Value::Map(vec![(
        Value::Text(b"max_retries".to_vec()),
        Value::Int(Integer::Small(max_retries)),
    )]);
    Arc::new(Engine::new(RetryConfig::from_value(&config, None).unwrap()))
}

/// Panics in the middle of a change, with the lock held.
fn break_down(store: &SharedStore) {
    let broken = catch_unwind(AssertUnwindSafe(|| {
        store.with(|store| {
            store.record_failure(chain("half"), NOW);
            std::panic::resume_unwind(Box::new("a fault while the store is in use"));
        });
    }));
    assert!(broken.is_err());
}

/// One failure more of a chain, in a store that shows nothing of a change that broke off.
fn count(store: &SharedStore) -> u32 {
    store.with(|store| {
        assert_eq!(store.failures(chain("half"), NOW), 0);
        store.record_failure(chain("r"), NOW)
    })
}

#[test]
fn every_budget_is_exact_whatever_the_order_of_the_callers() {
    let orders = in_every_order("budgets", || {
        let (store, engine) = (shared(10), engine(1));
        let (others, their) = (Arc::clone(&store), Arc::clone(&engine));
        let caller = thread::spawn(move || [(); 3].map(|()| call(&their, &others, true)));
        let mut verdicts = [(); 3].map(|()| call(&engine, &store, true)).to_vec();
        verdicts.extend(caller.join().unwrap());
        // One retry, the failure beyond it, and the next one starts anew: three times.
        verdicts.sort_by_key(|each| *each == Verdict::Exhausted);
        let (retries, ends) = ([Verdict::Retry; 3], [Verdict::Exhausted; 3]);
        assert_eq!(verdicts, [retries, ends].concat());
        assert!(store.with(|store| store.is_empty()));
    });
    assert!(
        orders >= 20,
        "{orders}: of two times three calls there are 20 orders"
    );
}

#[test]
fn a_success_among_failures_ends_the_chain_and_nothing_else() {
    let orders = in_every_order("a success", || {
        let (store, engine) = (shared(10), engine(5));
        let (others, their) = (Arc::clone(&store), Arc::clone(&engine));
        let failing = thread::spawn(move || [(); 3].map(|()| call(&their, &others, true)));
        assert_eq!(call(&engine, &store, false), Verdict::Success);
        assert_eq!(failing.join().unwrap(), [Verdict::Retry; 3]);
        // What came after the success is counted, what came before it is not.
        let left = store.with(|store| store.failures(chain("r"), NOW));
        assert!(left <= 3, "{left} failures of three");
        assert_eq!(store.with(|store| store.len()), usize::from(left > 0));
    });
    assert!(
        orders >= 4,
        "{orders}: a success has four places among three failures"
    );
}

#[test]
fn a_panic_empties_the_store_once_and_no_later_failure_is_lost() {
    let orders = in_every_order("a panic", || {
        let store = shared(10);
        store.with(|store| store.record_failure(chain("before"), NOW));
        let others = Arc::clone(&store);
        let breaking = thread::spawn(move || break_down(&others));
        let others = Arc::clone(&store);
        let counting = thread::spawn(move || [(); 2].map(|()| count(&others)));
        let mut counts = vec![count(&store)];
        breaking.join().unwrap();
        counts.extend(counting.join().unwrap());
        counts.sort_unstable();
        // 1..=k after the panic, and 1..=3-k before it.
        let after = store.with(|store| store.failures(chain("r"), NOW));
        let mut expected: Vec<u32> = (1..=after).chain(1..=3_u32.saturating_sub(after)).collect();
        expected.sort_unstable();
        assert_eq!(counts, expected);
        assert_eq!(store.with(|store| store.failures(chain("half"), NOW)), 0);
        assert_eq!(store.with(|store| store.failures(chain("before"), NOW)), 0);
        assert_eq!(store.with(|store| store.len()), usize::from(after > 0));
    });
    assert!(
        orders >= 12,
        "{orders}: of one, one and two calls there are 12 orders"
    );
}

#[test]
fn two_panics_leave_a_store_that_counts() {
    let orders = in_every_order("two panics", || {
        let store = shared(10);
        let breaking = [(); 2].map(|()| {
            let store = Arc::clone(&store);
            thread::spawn(move || break_down(&store))
        });
        assert_eq!(count(&store), 1);
        for caller in breaking {
            caller.join().unwrap();
        }
        assert_eq!(store.with(|store| store.failures(chain("half"), NOW)), 0);
        let left = store.with(|store| store.failures(chain("r"), NOW));
        assert!(left <= 1, "{left} failures of one");
        assert_eq!([count(&store), count(&store)], [left + 1, left + 2]);
    });
    assert!(orders >= 6, "{orders}: of three calls there are 6 orders");
}

#[test]
fn at_its_bound_the_store_keeps_one_and_counts_what_it_drops() {
    let orders = in_every_order("eviction", || {
        let store = shared(2);
        let callers = ["a", "b"].map(|request_id| {
            let store = Arc::clone(&store);
            thread::spawn(move || store.with(|store| store.record_failure(chain(request_id), NOW)))
        });
        store.with(|store| store.record_failure(chain("c"), NOW));
        store.with(|store| store.set_max_chains(1));
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 1);
        }
        assert_eq!(store.with(|store| (store.len(), store.evicted())), (1, 2));
    });
    assert!(
        orders >= 12,
        "{orders}: of one, one and two calls there are 12 orders"
    );
}
