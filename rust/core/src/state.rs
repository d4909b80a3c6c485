//! Counts the failures of each chain, in bounded memory.
//!
//! Entries live in a slab, linked in the order of their last failure; hash tables find them by
//! id. Every operation takes the same steps whatever the number of entries: expiry and eviction
//! take from the oldest end, at most [`EXPIRED_PER_CALL`] expired entries a call, and what grows
//! grows in small pieces. What does grow with the number is the chance that an entry is not in the
//! processor's cache.

use std::time::Duration;

use hashbrown::HashTable;

use self::lock::Mutex;
use crate::chain::ChainId;

/// How long a chain is remembered after its last failure. One that is older counts as absent; one
/// of exactly this age does not.
pub const TTL: Duration = Duration::from_secs(300);

/// How many chains are kept at most, unless set otherwise.
pub const DEFAULT_MAX_CHAINS: u32 = 1_000_000;

/// Expired entries that one call removes at most. Two a call outpace one new entry a call.
const EXPIRED_PER_CALL: u32 = 2;

/// Position of an entry in the slab. A million entries need no 64 bits.
type Slot = u32;
/// No entry.
const NONE: Slot = Slot::MAX;

/// Time since a fixed moment. 64 bits of nanoseconds last for 584 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Nanos(u64);

impl Nanos {
    fn of(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// One chain, or a free place.
struct Chain {
    id: ChainId,
    last_failure: Nanos,
    /// 0 in a free place.
    failures: u32,
    older: Slot,
    /// In a free place: the next free one.
    newer: Slot,
}

impl Chain {
    fn is_expired(&self, now: Nanos) -> bool {
        u128::from(now.0.saturating_sub(self.last_failure.0)) > TTL.as_nanos()
    }
}

/// The failure counts of all chains.
pub struct StateStore {
    index: Index,
    slab: Slab,
    oldest: Slot,
    newest: Slot,
    max_chains: u32,
    evicted: u64,
}

impl StateStore {
    /// An empty store that keeps at most `max_chains` chains (at least one).
    #[must_use]
    pub fn new(max_chains: u32) -> Self {
        Self {
            index: Index::new(),
            slab: Slab::new(),
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
    pub fn record_failure(&mut self, id: ChainId, now: Duration) -> u32 {
        self.drop_expired(now, EXPIRED_PER_CALL);
        let now = Nanos::of(now);
        if let Some(slot) = self.find(id) {
            self.unlink(slot);
            self.link_newest(slot);
            return self.slab.get_mut(slot).map_or(1, |chain| {
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
        self.insert(id, now);
        1
    }

    /// Forgets the chain; whether there was one. An unknown chain costs one look-up and no memory.
    pub fn forget(&mut self, id: ChainId, now: Duration) -> bool {
        self.drop_expired(now, EXPIRED_PER_CALL);
        let found = self.find(id);
        if let Some(slot) = found {
            self.remove(slot);
        }
        found.is_some()
    }

    /// The failures counted so far, 0 for an unknown or expired chain.
    #[must_use]
    pub fn failures(&self, id: ChainId, now: Duration) -> u32 {
        self.find(id)
            .and_then(|slot| self.slab.get(slot))
            .filter(|chain| !chain.is_expired(Nanos::of(now)))
            .map_or(0, |chain| chain.failures)
    }

    /// Removes up to `most` expired chains, the oldest first.
    pub fn drop_expired(&mut self, now: Duration, most: u32) {
        let now = Nanos::of(now);
        for _ in 0..most {
            let oldest = self.oldest;
            if !self
                .slab
                .get(oldest)
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
        self.index.len
    }

    /// Whether no chain is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.len == 0
    }

    /// Bytes that the store takes, with what is kept for chains to come.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.slab.bytes())
            .saturating_add(self.index.bytes())
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
        self.index = Index::new();
        self.slab = Slab::new();
        self.oldest = NONE;
        self.newest = NONE;
    }

    fn find(&self, id: ChainId) -> Option<Slot> {
        self.index.find(&self.slab, id)
    }

    fn is_over(&self, bound: u32) -> bool {
        usize::try_from(bound).is_ok_and(|bound| self.len() > bound)
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

    fn insert(&mut self, id: ChainId, now: Nanos) {
        let slot = self.slab.put(Chain {
            id,
            last_failure: now,
            failures: 1,
            older: NONE,
            newer: NONE,
        });
        self.index.insert(&self.slab, id, slot);
        self.link_newest(slot);
    }

    fn remove(&mut self, slot: Slot) {
        self.unlink(slot);
        if let Some(id) = self.slab.take(slot) {
            self.index.remove(id, slot);
        }
    }

    fn unlink(&mut self, slot: Slot) {
        let Some((older, newer)) = self.slab.get(slot).map(|chain| (chain.older, chain.newer))
        else {
            return;
        };
        match self.slab.get_mut(older) {
            Some(chain) => chain.newer = newer,
            None => self.oldest = newer,
        }
        match self.slab.get_mut(newer) {
            Some(chain) => chain.older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, slot: Slot) {
        let before = self.newest;
        if let Some(chain) = self.slab.get_mut(slot) {
            chain.older = before;
            chain.newer = NONE;
        }
        match self.slab.get_mut(before) {
            Some(chain) => chain.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }
}

/// The entries. It grows by blocks: a growing vector would copy everything it holds at once.
struct Slab {
    blocks: Vec<Vec<Chain>>,
    len: u32,
    free: Slot,
}

/// Entries of a block; a power of two.
const BLOCK: u32 = 1_024;

impl Slab {
    fn new() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
            free: NONE,
        }
    }

    fn get(&self, slot: Slot) -> Option<&Chain> {
        let (block, place) = position(slot);
        self.blocks.get(block)?.get(place)
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Chain> {
        let (block, place) = position(slot);
        self.blocks.get_mut(block)?.get_mut(place)
    }

    /// Stores an entry, in a free place if there is one.
    fn put(&mut self, chain: Chain) -> Slot {
        let slot = self.free;
        if let Some(place) = self.get_mut(slot) {
            let next = place.newer;
            *place = chain;
            self.free = next;
            return slot;
        }
        // INVARIANT: a store is bounded by a u32, so that `len` fits.
        let slot = self.len;
        self.len = slot.saturating_add(1);
        let (block, _) = position(slot);
        if let Some(block) = self.blocks.get_mut(block) {
            block.push(chain);
        } else {
            let mut fresh = Vec::with_capacity(usize::try_from(BLOCK).unwrap_or(1));
            fresh.push(chain);
            self.blocks.push(fresh);
        }
        slot
    }

    fn bytes(&self) -> usize {
        let block = |block: &Vec<Chain>| block.capacity().saturating_mul(size_of::<Chain>());
        self.blocks.iter().map(block).sum()
    }

    /// Frees the place of an entry and gives the entry's id.
    fn take(&mut self, slot: Slot) -> Option<ChainId> {
        let next = self.free;
        let chain = self.get_mut(slot).filter(|chain| chain.failures > 0)?;
        chain.failures = 0;
        chain.newer = next;
        let id = chain.id;
        self.free = slot;
        Some(id)
    }
}

/// The block of a slot and the place in it. That of [`NONE`] is beyond every slab.
fn position(slot: Slot) -> (usize, usize) {
    let block = usize::try_from(slot / BLOCK).unwrap_or(usize::MAX);
    let place = usize::try_from(slot % BLOCK).unwrap_or(usize::MAX);
    (block, place)
}

/// Finds entries by id. Many small tables, because each doubles in one piece: a single one of a
/// million entries would stop a call for tens of milliseconds.
struct Index {
    shards: Vec<HashTable<Slot>>,
    len: usize,
}

/// Tables; a power of two.
const SHARDS: u64 = 1_024;

impl Index {
    fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            len: 0,
        }
    }

    fn find(&self, slab: &Slab, id: ChainId) -> Option<Slot> {
        self.shards
            .get(shard_of(id))?
            .find(id.place, |slot| {
                slab.get(*slot).is_some_and(|chain| chain.id == id)
            })
            .copied()
    }

    fn bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        let shard = size_of::<HashTable<Slot>>();
        tables.saturating_add(self.shards.capacity().saturating_mul(shard))
    }

    /// Adds an entry whose id is not in there yet.
    fn insert(&mut self, slab: &Slab, id: ChainId, slot: Slot) {
        let Some(shard) = self.shards.get_mut(shard_of(id)) else {
            return;
        };
        shard.insert_unique(id.place, slot, |other| {
            slab.get(*other).map_or(0, |chain| chain.id.place)
        });
        self.len = self.len.saturating_add(1);
    }

    fn remove(&mut self, id: ChainId, slot: Slot) {
        let entry = self
            .shards
            .get_mut(shard_of(id))
            .and_then(|shard| shard.find_entry(id.place, |other| *other == slot).ok());
        if let Some(entry) = entry {
            entry.remove();
            self.len = self.len.saturating_sub(1);
        }
    }
}

fn shard_of(id: ChainId) -> usize {
    usize::try_from(id.shard % SHARDS).unwrap_or(0)
}

#[allow(
    unexpected_cfgs,
    reason = "only the model check's own command sets it (tests/store_model.rs)"
)]
mod lock {
    /// The same lock, with every order in which threads may take it tried.
    #[cfg(shuttle)]
    pub(super) use shuttle::sync::Mutex;
    #[cfg(not(shuttle))]
    pub(super) use std::sync::Mutex;
}

/// A [`StateStore`] that threads share.
///
/// A panic while the store is in use leaves it in an unknown state: it is emptied then, which
/// costs the live chains their counts, and later calls go on.
pub struct SharedStore {
    store: Mutex<StateStore>,
}

impl SharedStore {
    /// Shares `store`.
    #[must_use]
    pub fn new(store: StateStore) -> Self {
        Self {
            store: Mutex::new(store),
        }
    }

    /// Runs `use_store` with the store to itself. Nothing that may wait or call foreign code
    /// belongs in there.
    pub fn with<T>(&self, use_store: impl FnOnce(&mut StateStore) -> T) -> T {
        let mut store = self.store.lock().unwrap_or_else(|poisoned| {
            self.store.clear_poison();
            let mut store = poisoned.into_inner();
            store.clear();
            store
        });
        use_store(&mut store)
    }
}
