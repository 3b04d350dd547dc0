//! Where plain bytes are in a stored stream. Pure.
//!
//! The salt and the plain bytes behind it are cut into chunks of [`CHUNK_BYTES`] less a tag; each is stored with its tag
//! (of the salt itself nothing is encrypted). So stored chunks are aligned to [`CHUNK_BYTES`], and a stream has one at
//! least, also of no bytes.

/// Bytes at the beginning of a stream that make its key its own.
pub(super) const SALT_BYTES: u64 = 32;
/// Bytes of a chunk's tag.
pub(super) const TAG_BYTES: u64 = 16;
/// Bytes of a stored chunk, tag included.
pub(super) const CHUNK_BYTES: u64 = 64 * 1024;
/// What a chunk holds.
const HELD_BYTES: u64 = CHUNK_BYTES - TAG_BYTES;

/// Plain bytes that fit into a chunk.
pub(super) const fn room(chunk: u64) -> u64 {
    if chunk == 0 { HELD_BYTES - SALT_BYTES } else { HELD_BYTES }
}

/// How many chunks hold so many plain bytes.
pub(super) const fn chunks(plain: u64) -> u64 {
    (plain.saturating_add(SALT_BYTES)).div_ceil(HELD_BYTES)
}

/// Stored bytes of so many plain ones.
#[must_use]
pub const fn stored_size(plain: u64) -> u64 {
    plain.saturating_add(SALT_BYTES).saturating_add(chunks(plain) * TAG_BYTES)
}

/// Plain bytes of so many stored ones, as [`stored_size`] made them.
#[must_use]
pub const fn plain_size(stored: u64) -> u64 {
    stored.saturating_sub(stored.div_ceil(CHUNK_BYTES) * TAG_BYTES).saturating_sub(SALT_BYTES)
}

/// Which chunks hold a range, and where in them it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The first chunk.
    pub(super) chunk: u64,
    /// Where the stored bytes begin.
    pub(super) offset: u64,
    /// How many they are.
    pub(super) len: u64,
    /// Plain bytes of the first chunk that are not wanted.
    pub(super) skip: u64,
}

/// The window of `len` (not 0) plain bytes from `offset`, of so many in all.
pub(super) const fn window(plain: u64, offset: u64, len: u64) -> Window {
    let at = offset + SALT_BYTES;
    let (chunk, last) = (at / HELD_BYTES, (at + len - 1) / HELD_BYTES);
    let begin = chunk * CHUNK_BYTES;
    let end = (last + 1) * CHUNK_BYTES;
    let stored = stored_size(plain);
    let end = if end < stored { end } else { stored };
    let skip = at % HELD_BYTES - if chunk == 0 { SALT_BYTES } else { 0 };
    Window { chunk, offset: begin, len: end.saturating_sub(begin), skip }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_at_the_edges() {
        for (plain, stored) in [
            (0, 48),
            (1, 49),
            (65_488, 65_536),
            (65_489, 65_536 + 17),
            (65_488 + 65_520, 131_072),
            (65_488 + 65_521, 131_072 + 17),
        ] {
            assert_eq!((stored_size(plain), plain_size(stored)), (stored, plain));
        }
    }

    #[test]
    fn windows_at_the_edges() {
        let window = |offset, len| window(200_000, offset, len);
        assert_eq!(window(0, 1), Window { chunk: 0, offset: 0, len: 65_536, skip: 0 });
        assert_eq!(window(65_487, 1), Window { chunk: 0, offset: 0, len: 65_536, skip: 65_487 });
        assert_eq!(window(65_487, 2), Window { chunk: 0, offset: 0, len: 131_072, skip: 65_487 });
        assert_eq!(window(65_488, 1), Window { chunk: 1, offset: 65_536, len: 65_536, skip: 0 });
        let stored = stored_size(200_000);
        assert_eq!(window(199_999, 1), Window { chunk: 3, offset: 196_608, len: stored - 196_608, skip: 3471 });
    }

    proptest! {
        #[test]
        fn sizes_lead_back(plain in 0..(6_u64 << 40)) {
            prop_assert_eq!(plain_size(stored_size(plain)), plain);
            // As the check of the database has it.
            prop_assert_eq!(stored_size(plain), plain + 32 + 16 * ((plain + 65_551) / 65_520));
            let held: u64 = (0..chunks(plain.min(1 << 24))).map(room).sum();
            prop_assert!(held >= plain.min(1 << 24));
        }
    }
}
