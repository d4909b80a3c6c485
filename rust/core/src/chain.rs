//! The identity of a chain.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

/// Which way a result was read. The hybrid keeps a store for each, so the two never share a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPath {
    /// Flags and status only.
    Structured,
    /// Text as well.
    Text,
}

/// What makes two calls parts of one chain.
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

/// A chain's name in the store: 128 keyed bits that stand for a [`ChainKey`].
///
/// The store keeps this instead of the texts, so that an entry has one size whatever a caller
/// sends. Two keys share an id with a probability of 2^-128: among the million chains of a full
/// store that is a chance of 10^-27 that any two do, which is far below that of a faulty memory
/// cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainId {
    pub(crate) shard: u64,
    pub(crate) place: u64,
}

/// Gives chains their ids.
///
/// The secret keeps a caller from choosing request ids that meet: `SipHash` with an unknown key is
/// a pseudo-random function.
///
/// # Examples
///
/// ```
/// use retry_core::{ChainIds, ChainKey, ReadPath};
///
/// let ids = ChainIds::new([17, 4]);
/// let key = |tool, request_id| ChainKey { path: ReadPath::Structured, tool, request_id };
/// assert_eq!(ids.of(&key(b"a", b"1")), ids.of(&key(b"a", b"1")));
/// assert_ne!(ids.of(&key(b"a:b", b"c")), ids.of(&key(b"a", b"b:c")));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ChainIds {
    hasher: SipHasher13,
}

impl ChainIds {
    /// Ids under `secret`, which has to be random where callers are not trusted.
    #[must_use]
    pub fn new(secret: [u64; 2]) -> Self {
        let [first, second] = secret;
        Self {
            hasher: SipHasher13::new_with_keys(first, second),
        }
    }

    /// The id of the chain.
    #[must_use]
    pub fn of(&self, key: &ChainKey<'_>) -> ChainId {
        let mut hasher = self.hasher;
        // INVARIANT: the tool's length stands before the texts, so that no two keys write the
        // same bytes. Its lowest bit makes room for the path: no name reaches half of memory.
        let path = usize::from(key.path == ReadPath::Text);
        hasher.write_usize(key.tool.len().rotate_left(1) ^ path);
        hasher.write(key.tool);
        hasher.write(key.request_id);
        let hash = hasher.finish128();
        ChainId {
            shard: hash.h1,
            place: hash.h2,
        }
    }
}
