//! Which rows a write or a deletion of a version changes. Pure: the whole of versioning is decided here.

use super::bucket::S3Versioning;
use crate::macros::record;

record! {
    /// What must be known of a version to write over it, or to remove it.
    pub struct S3VersionHead {
        /// Its place: the smallest rank is the newest.
        rank: i64,
        /// 0: the null version.
        vid: i64,
        /// It is what the key stands for.
        latest: bool,
        /// It is a delete marker.
        marker: bool,
        /// Names its writing, and its pieces.
        write_id: String,
        /// Its size.
        size_bytes: u64,
        /// Without quotes.
        etag: String,
        /// When it was written.
        modified_ms: i64,
        /// Its storage class.
        class: String,
        /// Where its bytes are, if in one file.
        blob_id: Option<String>,
        /// In how many pieces they are.
        pieces: u32,
        /// How it is retained, if it is: [`S3_GOVERNANCE`] or [`S3_COMPLIANCE`].
        lock_mode: Option<String>,
        /// Until when it is retained.
        lock_until_ms: Option<i64>,
        /// It is on legal hold.
        legal_hold: bool,
    }
}

/// A retention that those may pass by who have the right to.
pub const S3_GOVERNANCE: &str = "GOVERNANCE";
/// A retention that nobody may pass by.
pub const S3_COMPLIANCE: &str = "COMPLIANCE";

impl S3VersionHead {
    /// Whether a listing of objects shows it.
    #[must_use]
    pub const fn listed(&self) -> bool {
        self.latest && !self.marker
    }

    /// Whether it must not go at this time: on legal hold, or retained (`bypass`: by more than governance).
    #[must_use]
    pub fn locked(&self, now_ms: i64, bypass: bool) -> bool {
        let passed = bypass && self.lock_mode.as_deref() == Some(S3_GOVERNANCE);
        self.legal_hold || self.lock_until_ms.is_some_and(|until_ms| until_ms > now_ms && !passed)
    }
}

/// What must hold of a version for its deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3DeleteIf {
    /// Its entity tag; `*`: any.
    pub etag: Option<String>,
    /// When it was written, to the second.
    pub modified_ms: Option<i64>,
    /// Its size.
    pub size_bytes: Option<u64>,
}

impl S3DeleteIf {
    /// Whether it asks for anything.
    #[must_use]
    pub fn asks(&self) -> bool {
        *self != Self::default()
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, head: &S3VersionHead) -> bool {
        let second = |ms: i64| ms.div_euclid(1000);
        self.etag.as_deref().is_none_or(|etag| etag == "*" || etag == head.etag)
            && self.modified_ms.is_none_or(|ms| second(ms) == second(head.modified_ms))
            && self.size_bytes.is_none_or(|size| size == head.size_bytes)
    }
}

/// A change of one row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Change {
    /// The row goes, and what it refers to is released.
    Remove {
        /// Which.
        rank: i64,
    },
    /// The row is what the key stands for, from now on.
    Promote {
        /// Which.
        rank: i64,
    },
    /// The row is that no more.
    Demote {
        /// Which.
        rank: i64,
    },
    /// The new row comes.
    Insert {
        /// Its rank.
        rank: i64,
        /// Its random part; 0 for null.
        vid: i64,
    },
    /// The new row comes below newer ones.
    InsertOlder {
        /// Its rank.
        rank: i64,
        /// Its random part; not 0.
        vid: i64,
    },
    /// The new row takes the place of the one of its rank, which is released.
    Replace {
        /// The rank.
        rank: i64,
    },
}

/// The rank of a new version: minus the time in microseconds, and before the newest.
fn next_rank(newest: Option<&S3VersionHead>, now_us: i64) -> i64 {
    let by_time = now_us.max(1).saturating_neg();
    newest.map_or(by_time, |newest| by_time.min(newest.rank.saturating_sub(1)))
}

/// What a put does, or a deletion that names no version (`marker`). `newest` is the key's newest version, `old_null` its
/// null version if that is an older one; `vid` is random and not 0.
#[must_use]
pub fn plan_write(
    versioning: S3Versioning,
    newest: Option<&S3VersionHead>,
    old_null: Option<&S3VersionHead>,
    marker: bool,
    now_us: i64,
    vid: i64,
) -> Vec<S3Change> {
    let rank = next_rank(newest, now_us);
    match (versioning, newest) {
        (S3Versioning::Off, Some(newest)) if marker => vec![S3Change::Remove { rank: newest.rank }],
        (S3Versioning::Off, None) if marker => Vec::new(),
        (S3Versioning::Off, Some(newest)) => vec![S3Change::Replace { rank: newest.rank }],
        (S3Versioning::Off, None) => vec![S3Change::Insert { rank: 0, vid: 0 }],
        (S3Versioning::Enabled, newest) => {
            let demoted = newest.map(|newest| S3Change::Demote { rank: newest.rank });
            demoted.into_iter().chain([S3Change::Insert { rank, vid }]).collect()
        }
        (S3Versioning::Suspended, newest) => {
            let mut changes = Vec::new();
            match newest {
                Some(newest) if newest.vid == 0 => changes.push(S3Change::Remove { rank: newest.rank }),
                Some(newest) => {
                    changes.extend(old_null.map(|old| S3Change::Remove { rank: old.rank }));
                    changes.push(S3Change::Demote { rank: newest.rank });
                }
                None => {}
            }
            changes.push(S3Change::Insert { rank, vid: 0 });
            changes
        }
    }
}

/// What comes of a version that another bucket has, and that keeps its place (`rank`, `vid`) here: newer versions stay
/// before it. Nothing has its rank.
#[must_use]
pub fn plan_replica(newest: Option<&S3VersionHead>, rank: i64, vid: i64) -> Vec<S3Change> {
    match newest {
        Some(newest) if newest.rank < rank => vec![S3Change::InsertOlder { rank, vid }],
        Some(newest) => vec![S3Change::Demote { rank: newest.rank }, S3Change::Insert { rank, vid }],
        None => vec![S3Change::Insert { rank, vid }],
    }
}

/// What the deletion of one version does; `next` is the newest besides it.
#[must_use]
pub fn plan_delete(version: &S3VersionHead, next: Option<&S3VersionHead>) -> Vec<S3Change> {
    let removed = S3Change::Remove { rank: version.rank };
    let promoted = next.filter(|_| version.latest).map(|next| S3Change::Promote { rank: next.rank });
    [removed].into_iter().chain(promoted).collect()
}

#[cfg(test)]
mod tests {
    use super::S3Change::{Demote, Insert, Promote, Remove, Replace};
    use super::S3Versioning::{Enabled, Off, Suspended};
    use super::*;

    fn head(rank: i64, vid: i64, latest: bool) -> S3VersionHead {
        S3VersionHead {
            rank,
            vid,
            latest,
            marker: false,
            write_id: "w".into(),
            size_bytes: 1,
            etag: "e".into(),
            modified_ms: 1,
            class: "STANDARD".into(),
            blob_id: None,
            pieces: 0,
            lock_mode: None,
            lock_until_ms: None,
            legal_hold: false,
        }
    }

    /// Mode, until when, on legal hold; who asks may pass governance by: locked at 100 ms?
    #[test]
    fn locks() {
        for (mode, until_ms, legal_hold, bypass, locked) in [
            (None, None, false, false, false),
            (None, None, true, true, true),
            (Some(S3_GOVERNANCE), Some(101), false, false, true),
            (Some(S3_GOVERNANCE), Some(101), false, true, false),
            (Some(S3_GOVERNANCE), Some(101), true, true, true),
            (Some(S3_GOVERNANCE), Some(100), false, false, false),
            (Some(S3_COMPLIANCE), Some(101), false, true, true),
            (Some(S3_COMPLIANCE), Some(100), false, false, false),
            (Some("new"), Some(101), false, true, true),
        ] {
            let mode = mode.map(str::to_owned);
            let head =
                S3VersionHead { lock_mode: mode.clone(), lock_until_ms: until_ms, legal_hold, ..head(0, 0, true) };
            assert_eq!(head.locked(100, bypass), locked, "{mode:?} {until_ms:?} {legal_hold} {bypass}");
        }
    }

    #[test]
    fn conditions_of_deletions() {
        let head = S3VersionHead { modified_ms: 5_999, size_bytes: 7, ..head(0, 0, true) };
        let only = |etag: Option<&str>, modified_ms, size_bytes| {
            S3DeleteIf { etag: etag.map(str::to_owned), modified_ms, size_bytes }.holds(&head)
        };
        assert!(only(None, None, None) && only(Some("*"), None, None) && only(Some("e"), Some(5_000), Some(7)));
        assert!(!only(Some("f"), None, None) && !only(Some("e"), Some(6_000), None) && !only(None, None, Some(8)));
    }

    /// Versioning, newest, older null version, a delete marker is written: what changes, at 500 µs.
    #[test]
    fn writes() {
        let (off, null, id, ahead) = (head(0, 0, true), head(-7, 0, true), head(-9, 3, true), head(-500, 4, true));
        let (old, first) = (head(-5, 0, false), head(0, 0, false));
        let put = Insert { rank: -500, vid: 8 };
        let put_null = Insert { rank: -500, vid: 0 };
        let table = [
            (Off, None, None, false, vec![Insert { rank: 0, vid: 0 }]),
            (Off, None, None, true, vec![]),
            (Off, Some(&off), None, false, vec![Replace { rank: 0 }]),
            (Off, Some(&off), None, true, vec![Remove { rank: 0 }]),
            (Enabled, None, None, false, vec![put]),
            (Enabled, None, None, true, vec![put]),
            (Enabled, Some(&off), None, false, vec![Demote { rank: 0 }, put]),
            (Enabled, Some(&off), None, true, vec![Demote { rank: 0 }, put]),
            (Enabled, Some(&null), None, false, vec![Demote { rank: -7 }, put]),
            (Enabled, Some(&id), Some(&old), false, vec![Demote { rank: -9 }, put]),
            (Enabled, Some(&ahead), None, false, vec![Demote { rank: -500 }, Insert { rank: -501, vid: 8 }]),
            (Suspended, None, None, false, vec![put_null]),
            (Suspended, None, None, true, vec![put_null]),
            (Suspended, Some(&off), None, false, vec![Remove { rank: 0 }, put_null]),
            (Suspended, Some(&null), None, true, vec![Remove { rank: -7 }, put_null]),
            (Suspended, Some(&id), None, false, vec![Demote { rank: -9 }, put_null]),
            (Suspended, Some(&id), Some(&old), false, vec![Remove { rank: -5 }, Demote { rank: -9 }, put_null]),
            (Suspended, Some(&id), Some(&first), true, vec![Remove { rank: 0 }, Demote { rank: -9 }, put_null]),
        ];
        for (versioning, newest, old_null, marker, wanted) in table {
            let planned = plan_write(versioning, newest, old_null, marker, 500, 8);
            assert_eq!(planned, wanted, "{versioning:?} {newest:?} {old_null:?} marker {marker}");
        }
    }

    #[test]
    fn replicas_keep_their_places() {
        let newest = head(-9, 3, true);
        assert_eq!(plan_replica(None, -5, 7), [Insert { rank: -5, vid: 7 }]);
        assert_eq!(plan_replica(Some(&newest), -5, 7), [S3Change::InsertOlder { rank: -5, vid: 7 }]);
        assert_eq!(plan_replica(Some(&newest), -12, 7), [Demote { rank: -9 }, Insert { rank: -12, vid: 7 }]);
        assert_eq!(plan_replica(Some(&head(0, 0, true)), -5, 7), [Demote { rank: 0 }, Insert { rank: -5, vid: 7 }]);
    }

    #[test]
    fn deletions_of_versions() {
        let (newest, older, oldest) = (head(-9, 3, true), head(-5, 2, false), head(0, 0, false));
        assert_eq!(plan_delete(&newest, Some(&older)), [Remove { rank: -9 }, Promote { rank: -5 }]);
        assert_eq!(plan_delete(&newest, None), [Remove { rank: -9 }]);
        assert_eq!(plan_delete(&oldest, Some(&newest)), [Remove { rank: 0 }], "the newest stays what it is");
    }

    #[test]
    fn ranks_fall_whatever_the_clock_says() {
        assert_eq!(next_rank(None, 0), -1, "below the rank of what was never versioned");
        assert_eq!(next_rank(Some(&head(0, 0, true)), -3), -1);
        assert_eq!(next_rank(Some(&head(-900, 1, true)), 500), -901);
        assert_eq!(next_rank(Some(&head(i64::MIN, 1, true)), 500), i64::MIN);
    }
}
