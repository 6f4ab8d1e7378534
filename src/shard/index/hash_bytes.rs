//! The hash bytes of a bucket: twelve bytes in two words, compared eight at a time.
//!
//! The upper half of the second word is the sequence, which is not compared.

/// Returns the slots that hold a hash byte, by the zero bytes of a difference (Mycroft 1987; exact,
/// as in Warren's "Hacker's Delight").
#[inline]
pub(super) fn matches(hash_bytes: [u64; 2], hash_byte: u8) -> SlotMask {
    SlotMask::of(hash_bytes, hash_byte, |difference| {
        !(((difference & !HIGH_BITS) + !HIGH_BITS) | difference) & HIGH_BITS
    })
}

/// Returns the slots that may hold a hash byte, in fewer steps than [`matches()`]. The lowest match
/// is exact. A slot above a match may be reported although its hash byte differs in the lowest bit,
/// because the subtraction borrows. The caller compares ids, so a false match costs one load.
#[inline(always)]
pub(super) fn near_matches(hash_bytes: [u64; 2], hash_byte: u8) -> SlotMask {
    SlotMask::of(hash_bytes, hash_byte, |difference| {
        difference.wrapping_sub(LOW_BITS) & !difference & HIGH_BITS
    })
}

/// A set of slots: bit `8 n` is slot `n` of the first word, and bit `8 n + 1` is slot `n` of the
/// second.
#[derive(Clone, Copy)]
pub(super) struct SlotMask(u64);

impl SlotMask {
    #[inline(always)]
    fn of(hash_bytes: [u64; 2], hash_byte: u8, zeros: impl Fn(u64) -> u64) -> Self {
        let [first, second] =
            hash_bytes.map(|word| zeros(word ^ (u64::from(hash_byte) * LOW_BITS)));
        Self((first >> 7) | ((second & SECOND_WORD_BITS) >> 6))
    }
}

impl Iterator for SlotMask {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit / 8 + bit % 8 * 8)
    }
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// The second word holds four hash bytes, below the sequence.
const SECOND_WORD_BITS: u64 = 0x8080_8080;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_bytes_are_matched_exactly() {
        let hash_bytes = [0x0001_7f80_ff01_0001, 0xffff_ffff_0100_0001];
        let slots = |hash_byte| {
            let mut slots: Vec<_> = matches(hash_bytes, hash_byte).collect();
            slots.sort_unstable();
            slots
        };
        assert_eq!(slots(1), [0, 2, 6, 8, 11]);
        assert_eq!(slots(0), [1, 7, 9, 10]);
        assert_eq!(slots(0x80), [4]);
        assert_eq!(slots(0x02), [0; 0]);
        for hash_byte in 0..=u8::MAX {
            let (exact, near) = (
                matches(hash_bytes, hash_byte).0,
                near_matches(hash_bytes, hash_byte).0,
            );
            assert_eq!(exact & !near, 0, "no exact match is missed");
            assert_eq!(exact == 0, near == 0, "{hash_byte}");
        }
    }
}
