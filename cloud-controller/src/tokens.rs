//! Join tokens: one-time, short-lived, naming what their bearer becomes. Only a hash of the secret is kept.

use mallee_app::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_pki::Role;
use mallee_runtime::{Clock, Rng};
use mallee_store::{JoinTokenRow, Store, join_token_insert};
use mallee_types::ZoneName;
use serde_json::{Value, json};

/// Longest life of a token, in seconds.
const TTL_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Life of a token when none is asked for.
const TTL_SECONDS: u64 = 3600;

/// Issues join tokens of this cloud.
#[derive(Debug)]
pub struct JoinTokens {
    store: Store,
    clock: Clock,
    rng: Rng,
    zones: Vec<ZoneName>,
    /// SHA-256 of the cluster's CA certificate: by it the bearer knows the server.
    ca_sha256: [u8; 32],
}

impl JoinTokens {
    /// For a cloud with these zones and this CA.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, rng: Rng, zones: Vec<ZoneName>, ca_sha256: [u8; 32]) -> Self {
        Self { store, clock, rng, zones, ca_sha256 }
    }

    /// Makes a token: `{"role", "zone"?, "name"?, "ttl_seconds"?}` → `{"token", "expires_ms"}`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a role, zone, name or life that is none.
    pub async fn issue(&self, wish: &Value) -> Result<Value, ApiError> {
        let bad = |what: &str, why: String| Err(Code::InvalidParameterValue.message(format!("{what}: {why}")));
        let role = wish["role"].as_str().unwrap_or("node");
        let role = match Role::from_name(role) {
            Some(role @ (Role::Node | Role::Cluster | Role::Walrus)) => role,
            _ => return bad("role", format!("'{role}' is none of node, cluster, walrus")),
        };
        let zone = match wish["zone"].as_str() {
            Some(name) => match self.zones.iter().find(|zone| zone.as_str() == name) {
                Some(zone) => Some(zone.clone()),
                None => return bad("zone", format!("there is no zone '{name}' in this cloud")),
            },
            None => self.zones.first().cloned(),
        };
        let name = match wish["name"].as_str() {
            Some(name) if name.parse::<mallee_types::NodeId>().is_err() => {
                return bad("name", format!("'{name}' must be lower-case letters, digits, dashes and dots"));
            }
            name => name.map(str::to_owned),
        };
        let ttl = wish["ttl_seconds"].as_u64().unwrap_or(TTL_SECONDS);
        if ttl == 0 || ttl > TTL_SECONDS_MAX {
            return bad("ttl_seconds", format!("{ttl} is not between 1 and {TTL_SECONDS_MAX}"));
        }
        let token = mallee_pki::JoinToken::make(&self.rng, self.ca_sha256);
        let now_ms = self.clock.now_ms();
        let expires_ms = now_ms.saturating_add(i64::try_from(ttl * 1000).unwrap_or(i64::MAX));
        let row = JoinTokenRow {
            id: token.id().to_owned(),
            secret_hash: token.secret_hash().to_vec(),
            role: role.name().to_owned(),
            zone,
            name,
            created_ms: now_ms,
            expires_ms,
            used_ms: None,
        };
        let mut tx = self.store.write().await.or_fail()?;
        join_token_insert(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(json!({ "token": token.text(), "expires_ms": expires_ms }))
    }
}
