//! Versions of objects: their ids, and which one is meant.

use std::fmt;

/// Digits of a version id.
const ID_DIGITS: usize = 32;

/// The id of a version of a key. It tells the version's place among the key's, so that it is found without an index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct VersionId {
    /// The newest version of a key has the smallest.
    pub(crate) rank: i64,
    /// 0: the version called null; else random and positive.
    pub(crate) random: i64,
}

impl VersionId {
    /// The id of these parts, as the database has them.
    #[must_use]
    pub const fn of_parts(rank: i64, random: i64) -> Self {
        Self { rank, random }
    }

    /// Whether it is the version called null: the one a key has without versioning, and while it is suspended.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.random == 0
    }

    /// The place of the version in a listing, also of a null version: 32 hex digits.
    #[must_use]
    pub fn mark(self) -> String {
        let rank = u64::from_ne_bytes(self.rank.to_ne_bytes());
        format!("{rank:016x}{:016x}", self.random)
    }

    /// Reads an id or a mark back; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != ID_DIGITS || !text.bytes().all(hex) {
            return None;
        }
        let (rank, random) = text.split_at(ID_DIGITS / 2);
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let rank = i64::from_ne_bytes(number(rank)?.to_ne_bytes());
        i64::try_from(number(random)?).ok().map(|random| Self { rank, random })
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() { f.write_str("null") } else { f.write_str(&self.mark()) }
    }
}

/// A version as a client names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionName {
    /// `null`.
    Null,
    /// By its id.
    Id(VersionId),
}

impl VersionName {
    /// Reads a name; `None` if it can be none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        VersionId::parse(text).filter(|id| !id.is_null()).map(Self::Id)
    }
}

/// Which version of a key is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// What the key stands for.
    Latest,
    /// The one of this name.
    Named(VersionName),
    /// The newest that was completed from this upload.
    OfUpload(&'a str),
}

impl From<VersionId> for VersionName {
    fn from(id: VersionId) -> Self {
        if id.is_null() { Self::Null } else { Self::Id(id) }
    }
}

impl From<Option<VersionName>> for Which<'_> {
    fn from(name: Option<VersionName>) -> Self {
        name.map_or(Self::Latest, Self::Named)
    }
}

/// What a bucket does with the objects that are overwritten or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versioning {
    /// Never enabled: they are gone.
    #[default]
    Off,
    /// They stay as older versions.
    Enabled,
    /// Enabled once: older versions stay, but each key has only one null version.
    Suspended,
}

/// A deletion of a key, or of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delete {
    /// The key.
    pub key: String,
    /// The version that goes for good; none: the key goes, by a delete marker where the bucket is versioned.
    pub version: Option<VersionName>,
    /// What must hold of the version, or of the key's newest one (a delete marker too) where none is named.
    pub only_if: DeleteIf,
    /// A governance retention does not keep it. Whoever asks must have the right to.
    pub bypass_governance: bool,
}

impl Delete {
    /// Of a key.
    #[must_use]
    pub fn key(key: impl Into<String>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// Of a version, if one is named, or of a key.
    #[must_use]
    pub fn of(key: impl Into<String>, version: Option<VersionName>) -> Self {
        Self { key: key.into(), version, ..Self::default() }
    }
}

/// What must hold for a deletion to take place. (Of what is not there nothing is asked: it is deleted.)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteIf {
    /// The entity tag; `*`: any.
    pub etag: Option<String>,
    /// When it was written, to the second; milliseconds since 1970.
    pub modified_ms: Option<i64>,
    /// The size.
    pub size: Option<u64>,
}

/// What a deletion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Nothing: there was no such version.
    Nothing,
    /// A version went.
    Removed {
        /// Which.
        version: VersionId,
        /// It was a delete marker.
        marker: bool,
    },
    /// A delete marker was written: its version.
    Marked(VersionId),
    /// Nothing: a retention or a legal hold keeps the version.
    Locked,
    /// Nothing: a condition does not hold.
    Unmet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back() {
        for (rank, random) in [(-1_700_000_000_000_000, 1), (0, 0), (i64::MIN, i64::MAX), (-5, 0)] {
            let id = VersionId { rank, random };
            assert_eq!(VersionId::parse(&id.mark()), Some(id));
            let name = VersionName::parse(&id.to_string());
            assert_eq!(name, Some(if random == 0 { VersionName::Null } else { VersionName::Id(id) }));
        }
        let mark = VersionId { rank: -5, random: 0 }.mark();
        for bad in ["", "Null", "x", &mark, &"f".repeat(32), &"A".repeat(32), &"1".repeat(33)] {
            assert_eq!(VersionName::parse(bad), None, "{bad}");
        }
    }
}
