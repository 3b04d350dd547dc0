//! Time-based one-time codes (RFC 6238, SHA-1, 30 seconds, 6 digits), as every authenticator makes them.

use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// Letters of base32 (RFC 4648).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Bytes of a seed (AWS: 40, which are 64 letters).
pub const SEED_BYTES: usize = 40;
/// Length of a step.
const STEP_MS: i64 = 30_000;
/// Codes are of six digits.
const MODULUS: u32 = 1_000_000;
/// How far, in steps, a device's clock may be off when it is enabled or set right: ten minutes.
pub const WIDE_STEPS: i64 = 20;
/// How far it may be off otherwise, beyond what is known of it.
pub const NARROW_STEPS: i64 = 1;

/// The step of this time.
#[must_use]
pub const fn step(now_ms: i64) -> i64 {
    now_ms.div_euclid(STEP_MS)
}

/// Bytes as base32 without padding; 40 bytes are 64 letters.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0u32, 0u32);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(letter(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(letter(held << (5 - bits)));
    }
    out
}

fn letter(value: u32) -> char {
    BASE32.get((value & 31) as usize).copied().map_or('A', char::from)
}

fn bytes(base32: &str) -> Vec<u8> {
    let (mut held, mut bits, mut out) = (0u32, 0u32, Vec::new());
    for value in base32.bytes().filter_map(|b| BASE32.iter().position(|letter| *letter == b)) {
        held = (held << 5 | u32::try_from(value).unwrap_or_default()) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.extend(u8::try_from(held >> bits & 0xff));
        }
    }
    out
}

/// The code of a step.
#[must_use]
pub fn code(seed: &SecretString, step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes(seed.expose_secret()));
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let digest = tag.as_ref();
    let offset = usize::from(digest.last().copied().unwrap_or_default() & 0xf);
    let four = digest.get(offset..offset + 4).and_then(|four| <[u8; 4]>::try_from(four).ok()).unwrap_or_default();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % MODULUS)
}

fn is(seed: &SecretString, step: i64, given: &str) -> bool {
    code(seed, step).as_bytes().ct_eq(given.as_bytes()).into()
}

/// The step of the second of two codes that follow each other, around `now` and at most `wide` steps off it.
#[must_use]
pub fn find_two(seed: &SecretString, first: &str, second: &str, now: i64, wide: i64) -> Option<i64> {
    (now - wide..=now + wide).find(|at| is(seed, *at, first) && is(seed, at + 1, second)).map(|at| at + 1)
}

/// The step of a code around `now`, newer than `last`, which was taken already.
#[must_use]
pub fn find_one(seed: &SecretString, given: &str, now: i64, last: i64) -> Option<i64> {
    (now - NARROW_STEPS..=now + NARROW_STEPS).filter(|at| *at > last).find(|at| is(seed, *at, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 6238, appendix B.
    fn seed() -> SecretString {
        base32(b"12345678901234567890").into()
    }

    #[test]
    fn the_rfcs_examples() {
        for (seconds, expected) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(code(&seed(), step(seconds * 1000)), expected);
        }
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        assert_eq!(bytes("MZXW6YTBOI"), b"foobar");
        assert_eq!(base32(&[7; SEED_BYTES]).len(), 64);
        assert_eq!(bytes(&base32(&[7; SEED_BYTES])), [7; SEED_BYTES]);
    }

    #[test]
    fn two_codes_must_follow_each_other() {
        let (a, b, c) = (code(&seed(), 100), code(&seed(), 101), code(&seed(), 102));
        assert_eq!(find_two(&seed(), &a, &b, 100, WIDE_STEPS), Some(101));
        assert_eq!(find_two(&seed(), &a, &b, 115, WIDE_STEPS), Some(101));
        assert_eq!(find_two(&seed(), &a, &b, 200, WIDE_STEPS), None);
        assert_eq!(find_two(&seed(), &a, &c, 100, WIDE_STEPS), None);
        assert_eq!(find_two(&seed(), &b, &a, 100, WIDE_STEPS), None);
    }

    #[test]
    fn no_code_is_taken_twice() {
        let now = code(&seed(), 100);
        assert_eq!(find_one(&seed(), &now, 101, 99), Some(100));
        assert_eq!(find_one(&seed(), &now, 101, 100), None);
        assert_eq!(find_one(&seed(), &now, 110, 0), None);
    }
}
