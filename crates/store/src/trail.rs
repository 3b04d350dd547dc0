//! Trails: audit records of an account that are delivered to a bucket of it, and how far they are.

use crate::exec::Exec;
use crate::json::Json;
use crate::macros::{args, record, sql};
use crate::role::found;
use crate::tx::Tx;
use crate::{Store, StoreError};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;

record! {
    /// A trail.
    pub struct TrailRow {
        /// Whose.
        account_id: AccountId,
        /// Unique in the account.
        name: String,
        /// The bucket that gets the files.
        bucket: String,
        /// What stands before the files' keys.
        prefix: Option<String>,
        /// Records of IAM and STS too.
        global_events: bool,
        /// Of every region (there is one).
        multi_region: bool,
        /// Digests are made.
        validation: bool,
        /// Event selectors as JSON, where they were set.
        selectors: Option<String>,
        /// Its tags.
        tags: Json<BTreeMap<String, String>>,
        /// Records are delivered.
        logging: bool,
        /// When it was made, in milliseconds since 1970, as all times.
        created_ms: i64,
        /// When logging was switched on last.
        started_ms: Option<i64>,
        /// When logging was switched off last.
        stopped_ms: Option<i64>,
        /// When a delivery was tried last.
        attempted_ms: Option<i64>,
        /// When a file was delivered last.
        delivered_ms: Option<i64>,
        /// What went wrong with the newest try.
        delivery_error: Option<String>,
        /// The beginning of the time that the next digest is about; none when there is to be none.
        digest_from_ms: Option<i64>,
        /// What the next digest says of the one before (JSON).
        digest_previous: Option<String>,
        /// The digest that is under way (JSON).
        digest_plan: Option<String>,
        /// When a digest was delivered last.
        digest_delivered_ms: Option<i64>,
        /// What went wrong with the newest digest.
        digest_error: Option<String>,
    }
    /// How far one replica's records have been delivered for a trail.
    pub struct TrailDeliveryRow {
        /// Whose.
        account_id: AccountId,
        /// The trail's name.
        trail: String,
        /// Whose files.
        replica: String,
        /// A place in them.
        position: String,
        /// Records from before are not wanted.
        since_ms: i64,
        /// The object that is under way (JSON).
        plan: Option<String>,
    }
    /// A delivered file that no digest names yet.
    pub struct TrailFileRow {
        /// Whose.
        account_id: AccountId,
        /// The trail's name.
        trail: String,
        /// The bucket.
        bucket: String,
        /// The key.
        object: String,
        /// SHA-256 of the text, hex.
        hash: String,
        /// Time of its oldest record.
        oldest_ms: i64,
        /// Time of its newest record.
        newest_ms: i64,
    }
    /// A key that signs digests; the private half is sealed.
    pub struct TrailKeyRow {
        /// Names it: MD5 of the public half, hex.
        fingerprint: String,
        /// PKCS#1 DER, base64.
        public_key: String,
        /// Signs from then.
        from_ms: i64,
        /// Until then.
        to_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO trails (account_id, name, bucket, prefix, global_events, multi_region, validation, selectors,
        tags, logging, created_ms, started_ms, stopped_ms, attempted_ms, delivered_ms, delivery_error, digest_from_ms,
        digest_previous, digest_plan, digest_delivered_ms, digest_error)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
    FETCH = "SELECT account_id, name, bucket, prefix, global_events, multi_region, validation, selectors, tags, logging,
        created_ms, started_ms, stopped_ms, attempted_ms, delivered_ms, delivery_error, digest_from_ms, digest_previous,
        digest_plan, digest_delivered_ms, digest_error FROM trails WHERE account_id = $1 AND name = $2";
    LIST = "SELECT account_id, name, bucket, prefix, global_events, multi_region, validation, selectors, tags, logging,
        created_ms, started_ms, stopped_ms, attempted_ms, delivered_ms, delivery_error, digest_from_ms, digest_previous,
        digest_plan, digest_delivered_ms, digest_error FROM trails WHERE account_id = $1 ORDER BY name";
    LIST_ALL = "SELECT account_id, name, bucket, prefix, global_events, multi_region, validation, selectors, tags, logging,
        created_ms, started_ms, stopped_ms, attempted_ms, delivered_ms, delivery_error, digest_from_ms, digest_previous,
        digest_plan, digest_delivered_ms, digest_error FROM trails ORDER BY account_id, name";
    UPDATE = "UPDATE trails SET bucket = $3, prefix = $4, global_events = $5, multi_region = $6, validation = $7,
        selectors = $8, logging = $9, started_ms = $10, stopped_ms = $11, digest_from_ms = $12, tags = $13
        WHERE account_id = $1 AND name = $2";
    DELETE = "DELETE FROM trails WHERE account_id = $1 AND name = $2";
    TRIED = "UPDATE trails SET attempted_ms = $3, delivery_error = $4 WHERE account_id = $1 AND name = $2";
    DELIVERED = "UPDATE trails SET attempted_ms = $3, delivered_ms = $3, delivery_error = NULL
        WHERE account_id = $1 AND name = $2";
    DIGEST_PLANNED = "UPDATE trails SET digest_plan = $4
        WHERE account_id = $1 AND name = $2 AND digest_from_ms = $3 AND COALESCE(digest_plan, '') = $5";
    DIGEST_FAILED = "UPDATE trails SET digest_error = $3 WHERE account_id = $1 AND name = $2";
    DIGEST_DELIVERED = "UPDATE trails SET digest_plan = NULL, digest_from_ms = $4, digest_previous = $5,
        digest_delivered_ms = $6, digest_error = NULL WHERE account_id = $1 AND name = $2 AND digest_plan = $3";
    DELIVERY_PUT = "INSERT INTO trail_deliveries (account_id, trail, replica, position, since_ms, plan)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, trail, replica) DO UPDATE SET
        position = excluded.position, since_ms = excluded.since_ms, plan = excluded.plan";
    DELIVERY_LIST = "SELECT account_id, trail, replica, position, since_ms, plan FROM trail_deliveries
        WHERE replica = $1 ORDER BY account_id, trail";
    DELIVERY_COUNT = "SELECT COUNT(*) FROM trail_deliveries WHERE account_id = $1 AND trail = $2";
    DELIVERY_DELETE = "DELETE FROM trail_deliveries WHERE account_id = $1 AND trail = $2 AND replica = $3";
    FILE_PUT = "INSERT INTO trail_files (account_id, trail, bucket, object, hash, oldest_ms, newest_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account_id, trail, object) DO UPDATE SET hash = excluded.hash";
    FILE_LIST = "SELECT account_id, trail, bucket, object, hash, oldest_ms, newest_ms FROM trail_files
        WHERE account_id = $1 AND trail = $2 ORDER BY oldest_ms, object LIMIT $3 + 0";
    FILE_DELETE = "DELETE FROM trail_files WHERE account_id = $1 AND trail = $2 AND object = $3";
    KEY_INSERT = "INSERT INTO trail_keys (fingerprint, public_key, from_ms, to_ms, sealed_key)
        VALUES ($1, $2, $3, $4, $5)";
    KEY_LIST = "SELECT fingerprint, public_key, from_ms, to_ms FROM trail_keys WHERE from_ms <= $2 AND to_ms >= $1
        ORDER BY from_ms, fingerprint";
    KEY_SEALED = "SELECT sealed_key FROM trail_keys WHERE fingerprint = $1";
}

/// Makes a trail. Conflict: `trails_account_id_name`.
pub async fn trail_insert(tx: &mut Tx, row: &TrailRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The account's trail of this name.
pub async fn trail_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<Option<TrailRow>, StoreError> {
    exec.into().maybe(FETCH, args![account, name]).await
}

/// An account's trails, by name.
pub async fn trail_list<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<Vec<TrailRow>, StoreError> {
    exec.into().all(LIST, args![account]).await
}

/// Every account's trails (an account has few).
pub async fn trail_list_all<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<TrailRow>, StoreError> {
    exec.into().all(LIST_ALL, vec![]).await
}

/// Writes what an account sets; what the deliveries note stays.
pub async fn trail_update(tx: &mut Tx, row: &TrailRow) -> Result<(), StoreError> {
    let values = args![
        row.account_id,
        row.name,
        row.bucket,
        row.prefix,
        row.global_events,
        row.multi_region,
        row.validation,
        row.selectors,
        row.logging,
        row.started_ms,
        row.stopped_ms,
        row.digest_from_ms,
        row.tags,
    ];
    found(Exec::Tx(tx).run(UPDATE, values).await?, &row.name)
}

/// Removes a trail and what is noted of it; true if it was there.
pub async fn trail_delete(tx: &mut Tx, account: &AccountId, name: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![account, name]).await? > 0)
}

/// Notes a delivery that failed, with why.
pub async fn trail_tried(
    tx: &mut Tx,
    account: &AccountId,
    name: &str,
    at_ms: i64,
    error: &str,
) -> Result<(), StoreError> {
    Exec::Tx(tx).run(TRIED, args![account, name, at_ms, error]).await.map(drop)
}

/// Notes a delivery.
pub async fn trail_delivered(tx: &mut Tx, account: &AccountId, name: &str, at_ms: i64) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DELIVERED, args![account, name, at_ms]).await.map(drop)
}

/// A digest that is to be delivered.
#[derive(Debug, Clone, Copy)]
pub struct DigestPlanned<'a> {
    /// The end of the last one.
    pub from_ms: i64,
    /// The plan.
    pub plan: &'a str,
    /// The plan that it stands for; empty: none was under way.
    pub over: &'a str,
}

/// Notes the digest that is to be delivered; false when another replica has planned one.
pub async fn trail_digest_planned(
    tx: &mut Tx,
    account: &AccountId,
    name: &str,
    planned: DigestPlanned<'_>,
) -> Result<bool, StoreError> {
    let values = args![account, name, planned.from_ms, planned.plan, planned.over];
    Ok(Exec::Tx(tx).run(DIGEST_PLANNED, values).await? > 0)
}

/// Notes why a digest was not delivered.
pub async fn trail_digest_failed(tx: &mut Tx, account: &AccountId, name: &str, error: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DIGEST_FAILED, args![account, name, error]).await.map(drop)
}

/// What a delivered digest leaves.
#[derive(Debug, Clone, Copy)]
pub struct DigestDone<'a> {
    /// The plan it followed.
    pub plan: &'a str,
    /// Where the next one begins; none when there is to be none.
    pub from_ms: Option<i64>,
    /// What the next one says of it; none when the chain ends.
    pub previous: Option<&'a str>,
    /// When it was delivered.
    pub at_ms: i64,
}

/// Notes a delivered digest; false when another replica has done so.
pub async fn trail_digest_delivered(
    tx: &mut Tx,
    account: &AccountId,
    name: &str,
    done: DigestDone<'_>,
) -> Result<bool, StoreError> {
    let values = args![account, name, done.plan, done.from_ms, done.previous, done.at_ms];
    Ok(Exec::Tx(tx).run(DIGEST_DELIVERED, values).await? > 0)
}

/// Notes how far a replica is with a trail.
pub async fn trail_delivery_put(tx: &mut Tx, row: &TrailDeliveryRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DELIVERY_PUT, row.args()).await.map(drop)
}

/// How far a replica is with each trail.
pub async fn trail_delivery_list<'a>(
    exec: impl Into<Exec<'a>>,
    replica: &str,
) -> Result<Vec<TrailDeliveryRow>, StoreError> {
    exec.into().all(DELIVERY_LIST, args![replica]).await
}

/// How many replicas have something to deliver for a trail.
pub async fn trail_delivery_count<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(DELIVERY_COUNT, args![account, name], name).await?.0)
}

/// Forgets a replica's place: it has delivered all of a trail that was stopped.
pub async fn trail_delivery_delete(
    tx: &mut Tx,
    account: &AccountId,
    name: &str,
    replica: &str,
) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DELIVERY_DELETE, args![account, name, replica]).await.map(drop)
}

/// Notes a delivered file for the next digest.
pub async fn trail_file_put(tx: &mut Tx, row: &TrailFileRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(FILE_PUT, row.args()).await.map(drop)
}

/// Files that no digest names yet, oldest first.
pub async fn trail_file_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
    limit: u32,
) -> Result<Vec<TrailFileRow>, StoreError> {
    exec.into().all(FILE_LIST, args![account, name, limit]).await
}

/// Forgets a file that a digest names now.
pub async fn trail_file_delete(tx: &mut Tx, account: &AccountId, name: &str, object: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(FILE_DELETE, args![account, name, object]).await.map(drop)
}

/// Keeps a key; the private half (PEM) is sealed with the store's key.
pub async fn trail_key_insert(tx: &mut Tx, row: &TrailKeyRow, key: &SecretString) -> Result<(), StoreError> {
    let store = tx.store();
    let sealed = store.seal().seal(store.rng(), &row.fingerprint, key.expose_secret().as_bytes())?;
    let mut values = row.args();
    values.extend(args![sealed]);
    Exec::Tx(tx).run(KEY_INSERT, values).await.map(drop)
}

/// Keys that sign at some time between the two, oldest first.
pub async fn trail_key_list<'a>(
    exec: impl Into<Exec<'a>>,
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<TrailKeyRow>, StoreError> {
    exec.into().all(KEY_LIST, args![from_ms, to_ms]).await
}

/// The private half of a key, PEM. [`StoreError::Sealed`] when the seal key is another.
pub async fn trail_key_secret(store: &Store, fingerprint: &str) -> Result<SecretString, StoreError> {
    let (sealed,) = Exec::Store(store).one::<(Vec<u8>,)>(KEY_SEALED, args![fingerprint], fingerprint).await?;
    store.seal().open(fingerprint, &sealed)
}
