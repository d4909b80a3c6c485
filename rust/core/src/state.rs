//! Counts the failures of each chain, in bounded memory.
//!
//! Entries live in a slab, linked in the order of their last failure; a hash table finds them by
//! key. Every operation costs the same whatever the number of entries: expiry and eviction take
//! from the oldest end, at most [`EXPIRED_PER_CALL`] expired entries a call.

use std::hash::BuildHasher;
use std::sync::Mutex;
use std::time::Duration;

use hashbrown::HashTable;

/// How long a chain is remembered after its last failure. One that is older counts as absent; one
/// of exactly this age does not.
pub const TTL: Duration = Duration::from_secs(300);

/// How many chains are kept at most, unless set otherwise.
pub const DEFAULT_MAX_CHAINS: u32 = 1_000_000;

/// Expired entries that one call removes at most. Two a call outpace one new entry a call.
const EXPIRED_PER_CALL: u32 = 2;

/// Which way a result was read. The hybrid keeps a store for each, so the two never share a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPath {
    /// Flags and status only.
    Structured,
    /// Text as well.
    Text,
}

/// The identity of a chain.
///
/// Tool and request id are a pair: `a:b` + `c` is not `a` + `b:c` (ledger: key-collision).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainKey<'a> {
    /// How the result was read.
    pub path: ReadPath,
    /// The tool's name, as bytes: a name with a lone surrogate is a name (ledger: name-encoding).
    pub tool: &'a [u8],
    /// The id of the incoming request; the same on all retries of it.
    pub request_id: &'a [u8],
}

/// Position of an entry in the slab. A million entries need no 64 bits.
type Slot = u32;
/// No entry.
const NONE: Slot = Slot::MAX;

/// One chain. Its two ids stand one behind the other in `ids`.
struct Chain {
    ids: Box<[u8]>,
    hash: u64,
    last_failure: Duration,
    tool_len: u32,
    failures: u32,
    older: Slot,
    newer: Slot,
    path: ReadPath,
}

impl Chain {
    fn is(&self, key: &ChainKey<'_>) -> bool {
        let split = usize::try_from(self.tool_len).unwrap_or(usize::MAX);
        self.path == key.path
            && self
                .ids
                .split_at_checked(split)
                .is_some_and(|(tool, request_id)| tool == key.tool && request_id == key.request_id)
    }

    fn is_expired(&self, now: Duration) -> bool {
        now.saturating_sub(self.last_failure) > TTL
    }
}

/// The failure counts of all chains.
///
/// `S` hashes the keys; a keyed hasher keeps a caller from choosing ids that collide.
pub struct StateStore<S> {
    hasher: S,
    table: HashTable<Slot>,
    slab: Vec<Option<Chain>>,
    free: Vec<Slot>,
    oldest: Slot,
    newest: Slot,
    max_chains: u32,
    evicted: u64,
}

impl<S: BuildHasher> StateStore<S> {
    /// An empty store that keeps at most `max_chains` chains (at least one).
    #[must_use]
    pub fn new(max_chains: u32, hasher: S) -> Self {
        Self {
            hasher,
            table: HashTable::new(),
            slab: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            max_chains: max_chains.max(1),
            evicted: 0,
        }
    }

    /// Adds one failure at `now` to the chain and returns its count, this one included.
    ///
    /// A chain whose last failure is longer ago than [`TTL`] starts anew. Where a new chain has no
    /// room, the one whose last failure is the oldest is dropped (ledger: bounded-state).
    pub fn record_failure(&mut self, key: &ChainKey<'_>, now: Duration) -> u32 {
        self.drop_expired(now, EXPIRED_PER_CALL);
        let hash = self.hash(key);
        if let Some(slot) = self.find(hash, key) {
            self.unlink(slot);
            self.link_newest(slot);
            return self.chain_mut(slot).map_or(1, |chain| {
                let before = if chain.is_expired(now) {
                    0
                } else {
                    chain.failures
                };
                chain.failures = before.saturating_add(1);
                chain.last_failure = now;
                chain.failures
            });
        }
        self.make_room();
        self.insert(hash, key, now);
        1
    }

    /// Forgets the chain; whether there was one. An unknown chain costs one look-up and no memory.
    pub fn forget(&mut self, key: &ChainKey<'_>, now: Duration) -> bool {
        self.drop_expired(now, EXPIRED_PER_CALL);
        if self.table.is_empty() {
            return false;
        }
        let hash = self.hash(key);
        let found = self.find(hash, key);
        if let Some(slot) = found {
            self.remove(slot);
        }
        found.is_some()
    }

    /// The failures counted so far, 0 for an unknown or expired chain.
    #[must_use]
    pub fn failures(&self, key: &ChainKey<'_>, now: Duration) -> u32 {
        self.find(self.hash(key), key)
            .and_then(|slot| self.chain(slot))
            .filter(|chain| !chain.is_expired(now))
            .map_or(0, |chain| chain.failures)
    }

    /// Removes up to `most` expired chains, the oldest first.
    pub fn drop_expired(&mut self, now: Duration, most: u32) {
        for _ in 0..most {
            let oldest = self.oldest;
            if !self
                .chain(oldest)
                .is_some_and(|chain| chain.is_expired(now))
            {
                return;
            }
            self.remove(oldest);
        }
    }

    /// How many chains are held, expired ones that nobody has met yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no chain is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many chains were dropped for want of room since the store was made.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Changes the bound (at least one). Chains beyond it are dropped, the oldest first.
    pub fn set_max_chains(&mut self, max_chains: u32) {
        self.max_chains = max_chains.max(1);
        while self.is_over(self.max_chains) {
            self.evict_oldest();
        }
    }

    /// Forgets every chain and gives the memory back.
    pub fn clear(&mut self) {
        self.table = HashTable::new();
        self.slab = Vec::new();
        self.free = Vec::new();
        self.oldest = NONE;
        self.newest = NONE;
    }

    fn hash(&self, key: &ChainKey<'_>) -> u64 {
        self.hasher
            .hash_one((key.path == ReadPath::Text, key.tool, key.request_id))
    }

    fn find(&self, hash: u64, key: &ChainKey<'_>) -> Option<Slot> {
        self.table
            .find(hash, |slot| {
                self.chain(*slot)
                    .is_some_and(|chain| chain.hash == hash && chain.is(key))
            })
            .copied()
    }

    fn chain(&self, slot: Slot) -> Option<&Chain> {
        self.slab.get(usize::try_from(slot).ok()?)?.as_ref()
    }

    fn chain_mut(&mut self, slot: Slot) -> Option<&mut Chain> {
        self.slab.get_mut(usize::try_from(slot).ok()?)?.as_mut()
    }

    fn is_over(&self, bound: u32) -> bool {
        usize::try_from(bound).is_ok_and(|bound| self.table.len() > bound)
    }

    fn make_room(&mut self) {
        if self.is_over(self.max_chains.saturating_sub(1)) {
            self.evict_oldest();
        }
    }

    fn evict_oldest(&mut self) {
        self.remove(self.oldest);
        self.evicted = self.evicted.saturating_add(1);
    }

    fn insert(&mut self, hash: u64, key: &ChainKey<'_>, now: Duration) {
        // INVARIANT: max_chains is a u32, so a slot fits; a name of 4 GiB does not get here.
        let (Ok(next), Ok(tool_len)) = (
            Slot::try_from(self.slab.len()),
            u32::try_from(key.tool.len()),
        ) else {
            return;
        };
        let chain = Some(Chain {
            ids: [key.tool, key.request_id].concat().into_boxed_slice(),
            hash,
            last_failure: now,
            tool_len,
            failures: 1,
            older: NONE,
            newer: NONE,
            path: key.path,
        });
        let slot = self.free.pop().unwrap_or(next);
        match usize::try_from(slot)
            .ok()
            .and_then(|index| self.slab.get_mut(index))
        {
            Some(place) => *place = chain,
            None => self.slab.push(chain),
        }
        let slab = &self.slab;
        self.table.insert_unique(hash, slot, |other| {
            usize::try_from(*other)
                .ok()
                .and_then(|index| slab.get(index)?.as_ref())
                .map_or(0, |chain| chain.hash)
        });
        self.link_newest(slot);
    }

    fn remove(&mut self, slot: Slot) {
        self.unlink(slot);
        let taken = usize::try_from(slot)
            .ok()
            .and_then(|index| self.slab.get_mut(index)?.take());
        let Some(chain) = taken else { return };
        if let Ok(entry) = self.table.find_entry(chain.hash, |other| *other == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    fn unlink(&mut self, slot: Slot) {
        let Some((older, newer)) = self.chain(slot).map(|chain| (chain.older, chain.newer)) else {
            return;
        };
        match self.chain_mut(older) {
            Some(chain) => chain.newer = newer,
            None => self.oldest = newer,
        }
        match self.chain_mut(newer) {
            Some(chain) => chain.older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, slot: Slot) {
        let before = self.newest;
        if let Some(chain) = self.chain_mut(slot) {
            chain.older = before;
            chain.newer = NONE;
        }
        match self.chain_mut(before) {
            Some(chain) => chain.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }
}

/// A [`StateStore`] that threads share.
///
/// A panic while the store is in use leaves it in an unknown state: it is emptied then, which
/// costs the live chains their counts, and later calls go on.
pub struct SharedStore<S> {
    store: Mutex<StateStore<S>>,
}

impl<S: BuildHasher> SharedStore<S> {
    /// Shares `store`.
    #[must_use]
    pub fn new(store: StateStore<S>) -> Self {
        Self {
            store: Mutex::new(store),
        }
    }

    /// Runs `use_store` with the store to itself. Nothing that may wait or call foreign code
    /// belongs in there.
    pub fn with<T>(&self, use_store: impl FnOnce(&mut StateStore<S>) -> T) -> T {
        let mut store = self.store.lock().unwrap_or_else(|poisoned| {
            self.store.clear_poison();
            let mut store = poisoned.into_inner();
            store.clear();
            store
        });
        use_store(&mut store)
    }
}
