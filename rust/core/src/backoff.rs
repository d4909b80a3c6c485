//! Exponential backoff with full jitter.

use std::num::NonZeroU64;

/// The longest delay before retry number `attempt`, in milliseconds.
///
/// `attempt` counts from 0: the first retry waits up to `base_ms`, the next up to twice that, and
/// none waits longer than `cap_ms`. Growth beyond 64 bits saturates.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroU64;
/// use retry_core::backoff::ceiling_ms;
///
/// let (base, cap) = (NonZeroU64::new(200).unwrap(), NonZeroU64::new(5_000).unwrap());
/// let ceilings: Vec<u64> = (0..6).map(|attempt| ceiling_ms(base, cap, attempt).get()).collect();
/// assert_eq!(ceilings, [200, 400, 800, 1_600, 3_200, 5_000]);
/// ```
#[must_use]
pub fn ceiling_ms(base_ms: NonZeroU64, cap_ms: NonZeroU64, attempt: u32) -> NonZeroU64 {
    let factor = 1_u64
        .checked_shl(attempt)
        .and_then(NonZeroU64::new)
        .unwrap_or(NonZeroU64::MAX);
    base_ms.saturating_mul(factor).min(cap_ms)
}

/// A delay drawn uniformly from `1..=ceiling_ms` (full jitter).
///
/// `draw` is 64 uniform random bits. The range starts at 1 because the gateway reads a delay of 0
/// as "do not retry" (ledger: jitter-zero).
#[must_use]
pub fn full_jitter(ceiling_ms: NonZeroU64, draw: u64) -> NonZeroU64 {
    let scaled = u128::from(draw).saturating_mul(u128::from(ceiling_ms.get())) >> 64;
    // INVARIANT: draw < 2^64, so scaled < ceiling_ms, and the sum stays within 1..=ceiling_ms.
    let below = u64::try_from(scaled).unwrap_or(u64::MAX);
    NonZeroU64::MIN.saturating_add(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonzero(value: u64) -> NonZeroU64 {
        NonZeroU64::new(value).unwrap()
    }

    #[test]
    fn delay_doubles_until_it_meets_the_cap() {
        let ceilings: Vec<u64> = (0..7)
            .map(|attempt| ceiling_ms(nonzero(3), nonzero(50), attempt).get())
            .collect();
        assert_eq!(ceilings, [3, 6, 12, 24, 48, 50, 50]);
    }

    #[test]
    fn growth_beyond_64_bits_saturates() {
        for attempt in [62, 63, 64, 65, 1_000, u32::MAX] {
            let ceiling = ceiling_ms(nonzero(3), NonZeroU64::MAX, attempt).get();
            assert!(ceiling > u64::MAX / 2, "attempt {attempt} gave {ceiling}");
        }
        assert_eq!(
            ceiling_ms(nonzero(1), NonZeroU64::MAX, 63).get(),
            1_u64 << 63
        );
        assert_eq!(ceiling_ms(nonzero(1), NonZeroU64::MAX, 64), NonZeroU64::MAX);
    }

    #[test]
    fn a_cap_below_the_base_wins_at_once() {
        assert_eq!(ceiling_ms(nonzero(500), nonzero(20), 0).get(), 20);
    }

    #[test]
    fn jitter_reaches_both_ends_of_its_range_and_never_leaves_it() {
        for ceiling in [1, 2, 3, 200, 5_000, u64::MAX] {
            assert_eq!(full_jitter(nonzero(ceiling), 0).get(), 1);
            assert_eq!(full_jitter(nonzero(ceiling), u64::MAX).get(), ceiling);
        }
    }

    #[test]
    fn each_delay_gets_an_equal_share_of_the_draws() {
        let mut counts = [0_u32; 8];
        for bucket in 0..1_u64 << 12 {
            let delay = full_jitter(nonzero(8), bucket << 52).get();
            counts[usize::try_from(delay - 1).unwrap()] += 1;
        }
        assert_eq!(counts, [512; 8]);
    }
}
