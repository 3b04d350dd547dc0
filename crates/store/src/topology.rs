//! The cloud's own parts: cluster controllers, nodes, and the one-time tokens by which they join.

use crate::StoreError;
use crate::exec::Exec;
use crate::json::Json;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use mallee_types::{NodeId, ZoneName};
use serde::{Deserialize, Serialize};

/// What no query looks into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDoc {
    /// Underlay address at which it receives tunnelled packets; empty: not known.
    pub vtep: String,
}

record! {
    /// The cluster controller of a zone.
    pub struct ClusterRow {
        /// Its zone.
        zone: ZoneName,
        /// Where it listens.
        endpoint: String,
        /// When it was first seen.
        registered_ms: i64,
    }
    /// A node.
    pub struct NodeRow {
        /// Its name.
        id: NodeId,
        /// Its zone.
        zone: ZoneName,
        /// When it joined.
        registered_ms: i64,
        /// What the cluster controller last said of it.
        last_state: String,
        /// When it said so.
        last_state_ms: i64,
        /// The rest.
        doc: Json<NodeDoc>,
    }
    /// A one-time join token; the secret itself is not kept.
    pub struct JoinTokenRow {
        /// The part before the secret.
        id: String,
        /// SHA-256 of the secret.
        secret_hash: Vec<u8>,
        /// `cluster`, `node`, ….
        role: String,
        /// The zone it is good for, if it is bound to one.
        zone: Option<ZoneName>,
        /// The name it is good for, if it is bound to one.
        name: Option<String>,
        /// When it was made.
        created_ms: i64,
        /// Not good from then on.
        expires_ms: i64,
        /// When it was used.
        used_ms: Option<i64>,
    }
}

sql! {
    CLUSTER_PUT = "INSERT INTO clusters (zone, endpoint, registered_ms) VALUES ($1, $2, $3)
        ON CONFLICT (zone) DO UPDATE SET endpoint = excluded.endpoint";
    CLUSTER_LIST = "SELECT zone, endpoint, registered_ms FROM clusters ORDER BY zone";
    CLUSTER_DELETE = "DELETE FROM clusters WHERE zone = $1";
    NODE_PUT = "INSERT INTO nodes (id, zone, registered_ms, last_state, last_state_ms, doc) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (id) DO UPDATE SET zone = excluded.zone, last_state = excluded.last_state,
        last_state_ms = excluded.last_state_ms, doc = excluded.doc";
    NODE_FETCH = "SELECT id, zone, registered_ms, last_state, last_state_ms, doc FROM nodes WHERE id = $1";
    NODE_LIST = "SELECT id, zone, registered_ms, last_state, last_state_ms, doc FROM nodes ORDER BY id";
    NODE_LIST_ZONE = "SELECT id, zone, registered_ms, last_state, last_state_ms, doc FROM nodes WHERE zone = $1 ORDER BY id";
    NODE_DELETE = "DELETE FROM nodes WHERE id = $1";
    TOKEN_INSERT = "INSERT INTO join_tokens (id, secret_hash, role, zone, name, created_ms, expires_ms, used_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    TOKEN_FETCH = "SELECT id, secret_hash, role, zone, name, created_ms, expires_ms, used_ms FROM join_tokens WHERE id = $1";
    TOKEN_LIST = "SELECT id, secret_hash, role, zone, name, created_ms, expires_ms, used_ms FROM join_tokens ORDER BY created_ms, id";
    TOKEN_USE = "UPDATE join_tokens SET used_ms = $2 WHERE id = $1 AND used_ms IS NULL AND expires_ms > $2";
    TOKEN_PURGE = "DELETE FROM join_tokens WHERE expires_ms <= $1";
}

/// Registers a cluster controller, or its new endpoint.
pub async fn cluster_put(tx: &mut Tx, row: &ClusterRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(CLUSTER_PUT, row.args()).await.map(drop)
}

/// Every cluster controller, by zone.
pub async fn cluster_list<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<ClusterRow>, StoreError> {
    exec.into().all(CLUSTER_LIST, vec![]).await
}

/// Forgets a cluster controller; true if it was there.
pub async fn cluster_delete(tx: &mut Tx, zone: &ZoneName) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(CLUSTER_DELETE, args![zone]).await? > 0)
}

/// Registers a node, or what is new of it; `registered_ms` stays what it was at first.
pub async fn node_put(tx: &mut Tx, row: &NodeRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(NODE_PUT, row.args()).await.map(drop)
}

/// The node of this name.
pub async fn node_fetch<'a>(exec: impl Into<Exec<'a>>, id: &NodeId) -> Result<NodeRow, StoreError> {
    exec.into().one(NODE_FETCH, args![id], id).await
}

/// Every node, or a zone's, by name.
pub async fn node_list<'a>(exec: impl Into<Exec<'a>>, zone: Option<&ZoneName>) -> Result<Vec<NodeRow>, StoreError> {
    match zone {
        Some(zone) => exec.into().all(NODE_LIST_ZONE, args![zone]).await,
        None => exec.into().all(NODE_LIST, vec![]).await,
    }
}

/// Forgets a node; true if it was there.
pub async fn node_delete(tx: &mut Tx, id: &NodeId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(NODE_DELETE, args![id]).await? > 0)
}

/// Keeps a fresh join token.
pub async fn join_token_insert(tx: &mut Tx, row: &JoinTokenRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(TOKEN_INSERT, row.args()).await.map(drop)
}

/// The join token of this id, used or not; check its secret before using it.
pub async fn join_token_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<JoinTokenRow, StoreError> {
    exec.into().one(TOKEN_FETCH, args![id], "join token").await
}

/// Every join token, oldest first.
pub async fn join_token_list<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<JoinTokenRow>, StoreError> {
    exec.into().all(TOKEN_LIST, vec![]).await
}

/// Uses up a token. Of two that try, one succeeds.
///
/// # Errors
/// [`StoreError::Stale`] when it was used before, has expired, or is gone.
pub async fn join_token_use(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    match Exec::Tx(tx).run(TOKEN_USE, args![id, now_ms]).await? {
        0 => Err(StoreError::stale("the join token")),
        _ => Ok(()),
    }
}

/// Forgets expired tokens; how many went.
pub async fn join_token_purge(tx: &mut Tx) -> Result<u64, StoreError> {
    let now_ms = tx.now_ms();
    Exec::Tx(tx).run(TOKEN_PURGE, args![now_ms]).await
}
