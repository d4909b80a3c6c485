//! The store of chains against a naive one: a map, and another of the order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use retry_core::state::TTL;
use retry_core::{ChainId, ChainIds, ChainKey, ReadPath, StateStore};

/// Steps of one series at most, a chain of a crowd counting as one, so that a series stays fast.
const MOST_STEPS: u32 = 3_000;
/// Chains that a crowd adds at most: more than a block of the slab.
const LARGEST_CROWD: u16 = 1_100;

/// What happens to a store.
#[derive(Arbitrary, Debug)]
enum Step {
    /// A chain fails.
    Fail(u8),
    /// A chain succeeds.
    Succeed(u8),
    /// Time passes.
    Wait(Gap),
    /// Many chains fail, each once, from this one on.
    Crowd { first: u16, size: u16 },
    /// Expired chains are dropped.
    DropExpired(u8),
    /// The bound changes.
    Bound(Bound),
    /// Everything is forgotten.
    Clear,
}

#[derive(Arbitrary, Debug)]
enum Gap {
    Any(u64),
    Nanosecond,
    NearlyTtl,
    Ttl,
    BeyondTtl,
}

impl Gap {
    fn duration(&self) -> Duration {
        const NANOSECOND: Duration = Duration::from_nanos(1);
        match self {
            Self::Any(nanos) => Duration::from_nanos(*nanos),
            Self::Nanosecond => NANOSECOND,
            Self::NearlyTtl => TTL.saturating_sub(NANOSECOND),
            Self::Ttl => TTL,
            Self::BeyondTtl => TTL + NANOSECOND,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Bound {
    Few(u8),
    Some(u16),
    Any(u32),
}

impl Bound {
    fn chains(&self) -> u32 {
        match self {
            Self::Few(chains) => u32::from(*chains),
            Self::Some(chains) => u32::from(*chains),
            Self::Any(chains) => *chains,
        }
    }
}

/// Expired chains that a failure or a success drops.
const DROPPED_PER_CALL: usize = 2;

#[derive(Clone, Copy)]
struct Chain {
    failures: u32,
    last_failure: Duration,
    turn: u64,
}

/// What a store is by its documentation.
struct Naive {
    chains: HashMap<u16, Chain>,
    /// Chains by the turn of their last failure.
    order: BTreeMap<u64, u16>,
    turn: u64,
    bound: usize,
    evicted: u64,
}

impl Naive {
    fn new(bound: u32) -> Self {
        Self {
            chains: HashMap::new(),
            order: BTreeMap::new(),
            turn: 0,
            bound: at_least_one(bound),
            evicted: 0,
        }
    }

    fn fail(&mut self, id: u16, now: Duration) -> u32 {
        self.drop_expired(now, DROPPED_PER_CALL);
        let before = self.failures(id, now);
        let known = self.remove(id);
        if !known && self.chains.len() >= self.bound {
            self.evict();
        }
        self.turn += 1;
        let chain = Chain {
            failures: before + 1,
            last_failure: now,
            turn: self.turn,
        };
        self.chains.insert(id, chain);
        self.order.insert(self.turn, id);
        chain.failures
    }

    fn succeed(&mut self, id: u16, now: Duration) -> bool {
        self.drop_expired(now, DROPPED_PER_CALL);
        self.remove(id)
    }

    fn failures(&self, id: u16, now: Duration) -> u32 {
        match self.chains.get(&id) {
            Some(chain) if !is_expired(*chain, now) => chain.failures,
            _ => 0,
        }
    }

    fn drop_expired(&mut self, now: Duration, most: usize) {
        for _ in 0..most {
            match self.oldest() {
                Some((id, chain)) if is_expired(chain, now) => self.remove(id),
                _ => return,
            };
        }
    }

    fn set_bound(&mut self, bound: u32) {
        self.bound = at_least_one(bound);
        while self.chains.len() > self.bound {
            self.evict();
        }
    }

    fn evict(&mut self) {
        if let Some((id, _)) = self.oldest() {
            self.remove(id);
        }
        self.evicted += 1;
    }

    fn oldest(&self) -> Option<(u16, Chain)> {
        let id = self.order.values().next()?;
        Some((*id, *self.chains.get(id)?))
    }

    fn remove(&mut self, id: u16) -> bool {
        let removed = self.chains.remove(&id);
        if let Some(chain) = removed {
            self.order.remove(&chain.turn);
        }
        removed.is_some()
    }

    fn clear(&mut self) {
        self.chains.clear();
        self.order.clear();
    }
}

fn at_least_one(bound: u32) -> usize {
    usize::try_from(bound.max(1)).unwrap_or(usize::MAX)
}

fn is_expired(chain: Chain, now: Duration) -> bool {
    now.saturating_sub(chain.last_failure) > TTL
}

/// Both stores, side by side.
struct Pair {
    ids: ChainIds,
    store: StateStore,
    naive: Naive,
    now: Duration,
    steps: u32,
}

impl Pair {
    fn id(&self, number: u16) -> ChainId {
        self.ids.of(&ChainKey {
            path: ReadPath::Structured,
            tool: b"t",
            request_id: &number.to_le_bytes(),
        })
    }

    fn fail(&mut self, number: u16) {
        let failures = self.store.record_failure(self.id(number), self.now);
        assert_eq!(failures, self.naive.fail(number, self.now), "failures");
    }

    fn take(&mut self, step: &Step) {
        self.steps += 1;
        match step {
            Step::Fail(number) => self.fail(u16::from(*number)),
            Step::Succeed(number) => {
                let number = u16::from(*number);
                let found = self.store.forget(self.id(number), self.now);
                assert_eq!(found, self.naive.succeed(number, self.now), "found");
            }
            Step::Wait(gap) => {
                // Time as the store keeps it ends after 584 years.
                let end = Duration::from_nanos(u64::MAX);
                self.now = self.now.saturating_add(gap.duration()).min(end);
            }
            Step::Crowd { first, size } => {
                for offset in 0..size % LARGEST_CROWD {
                    self.steps += 1;
                    self.fail(first.wrapping_add(offset));
                }
            }
            Step::DropExpired(most) => {
                self.store.drop_expired(self.now, u32::from(*most));
                self.naive.drop_expired(self.now, usize::from(*most));
            }
            Step::Bound(bound) => {
                self.store.set_max_chains(bound.chains());
                self.naive.set_bound(bound.chains());
            }
            Step::Clear => {
                self.store.clear();
                self.naive.clear();
            }
        }
        assert_eq!(self.store.len(), self.naive.chains.len(), "chains held");
        assert_eq!(self.store.is_empty(), self.naive.chains.is_empty(), "empty");
        assert_eq!(self.store.evicted(), self.naive.evicted, "evicted");
    }

    fn every_count_is_the_same(&self) {
        // Those that the naive store does not hold any longer are among the first ones.
        let named = (0..=u16::from(u8::MAX)).chain(self.naive.chains.keys().copied());
        for number in named {
            assert_eq!(
                self.store.failures(self.id(number), self.now),
                self.naive.failures(number, self.now),
                "count of chain {number}"
            );
        }
    }
}

/// Checks one series; whether there was one.
///
/// # Panics
///
/// The two stores differ.
#[must_use]
pub fn check(bytes: &[u8]) -> bool {
    let mut source = Unstructured::new(bytes);
    let Ok((secret, bound)) = <([u64; 2], Bound)>::arbitrary(&mut source) else {
        return false;
    };
    let mut pair = Pair {
        ids: ChainIds::new(secret),
        store: StateStore::new(bound.chains()),
        naive: Naive::new(bound.chains()),
        now: Duration::ZERO,
        steps: 0,
    };
    while pair.steps < MOST_STEPS
        && !source.is_empty()
        && let Ok(step) = Step::arbitrary(&mut source)
    {
        pair.take(&step);
    }
    pair.every_count_is_the_same();
    pair.steps > 0
}
