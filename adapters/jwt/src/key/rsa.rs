//! Checks of RSA public keys.

use super::VerificationKeyError;

/// Returns the modulus without leading zeros. Both numbers are big-endian.
pub(super) fn check<'a>(
    modulus: &'a [u8],
    exponent: &[u8],
) -> Result<&'a [u8], VerificationKeyError> {
    let modulus = trim(modulus);
    let bits = bits(modulus);
    if !(MIN_BITS..=MAX_BITS).contains(&bits) {
        return Err(VerificationKeyError::Modulus {
            given: bits,
            min: MIN_BITS,
            max: MAX_BITS,
        });
    }
    let exponent = trim(exponent);
    let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
    // More than 32 bits are not in use, and slow.
    if !is_odd || exponent == [1] || exponent.len() > 4 {
        return Err(VerificationKeyError::Exponent);
    }
    match is_factorable(modulus) {
        true => Err(VerificationKeyError::Factorable),
        false => Ok(modulus),
    }
}

fn trim(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.first().map_or(0, |first| first.leading_zeros());
    number.len() * 8 - zeros as usize
}

/// Returns true if the modulus has the form of CVE-2017-15361: modulo each of these primes it is a
/// power of 65,537. A random modulus passes with a probability below 2^-27.
fn is_factorable(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let remainder = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let generator = GENERATOR % prime;
        let powers = (0..*prime).scan(1, |power, _| {
            let current = *power;
            *power = current * generator % prime;
            Some(current)
        });
        powers.into_iter().any(|power| power == remainder)
    })
}

const MIN_BITS: usize = 2_048;
const MAX_BITS: usize = 4_096;
const GENERATOR: u32 = 65_537;
/// The odd primes up to 167, by which the published test decides.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
