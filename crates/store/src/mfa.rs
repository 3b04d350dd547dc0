//! Virtual MFA devices.

use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::role::found;
use crate::select::Select;
use crate::tx::Tx;
use crate::{Store, StoreError};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};

record! {
    /// A virtual MFA device without its seed.
    pub struct MfaDeviceRow {
        /// Its ARN.
        serial: String,
        /// Whose.
        account_id: AccountId,
        /// The user it is enabled for.
        user_id: Option<String>,
        /// Since when.
        enabled_ms: Option<i64>,
        /// How many steps of 30 seconds the device's clock is ahead of ours.
        clock_steps: i64,
        /// The newest step, by the device's clock, whose code was taken; 0: none.
        last_step: i64,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO mfa_devices (serial, account_id, user_id, enabled_ms, clock_steps, last_step, created_ms,
        sealed_seed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    FETCH = "SELECT serial, account_id, user_id, enabled_ms, clock_steps, last_step, created_ms FROM mfa_devices
        WHERE account_id = $1 AND serial = $2";
    SEALED = "SELECT sealed_seed FROM mfa_devices WHERE serial = $1";
    LIST = "SELECT serial, account_id, user_id, enabled_ms, clock_steps, last_step, created_ms FROM mfa_devices
        WHERE account_id = $1";
    UPDATE = "UPDATE mfa_devices SET user_id = $2, enabled_ms = $3, clock_steps = $4, last_step = $5 WHERE serial = $1";
    DELETE = "DELETE FROM mfa_devices WHERE serial = $1";
}

/// Makes a device; the seed (base32) is sealed with the store's key. Conflict: `mfa_devices_serial`.
pub async fn mfa_device_insert(tx: &mut Tx, row: &MfaDeviceRow, seed: &SecretString) -> Result<(), StoreError> {
    let store = tx.store();
    let sealed = store.seal().seal(store.rng(), &row.serial, seed.expose_secret().as_bytes())?;
    let mut values = row.args();
    values.extend(args![sealed]);
    Exec::Tx(tx).run(INSERT, values).await.map(drop)
}

/// The account's device of this serial number.
pub async fn mfa_device_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    serial: &str,
) -> Result<Option<MfaDeviceRow>, StoreError> {
    exec.into().maybe(FETCH, args![account, serial]).await
}

/// A device's seed. [`StoreError::Sealed`] when the seal key is another.
pub async fn mfa_device_seed<'a>(
    exec: impl Into<Exec<'a>>,
    store: &Store,
    serial: &str,
) -> Result<SecretString, StoreError> {
    let (sealed,) = exec.into().one::<(Vec<u8>,)>(SEALED, args![serial], serial).await?;
    store.seal().open(serial, &sealed)
}

/// An account's devices by serial number, after `after`; only those of one user, only those enabled or not.
pub async fn mfa_device_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    user: Option<&str>,
    enabled: Option<bool>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<MfaDeviceRow>, StoreError> {
    let mut select = Select::new(LIST, args![account]).and("serial >", after).and("user_id =", user);
    match enabled {
        None => {}
        Some(true) => select = select.and_text("user_id IS NOT NULL"),
        Some(false) => select = select.and_text("user_id IS NULL"),
    }
    select.page(exec.into(), "serial", limit).await
}

/// Writes what can be changed: whom it is enabled for, its clock, the newest step.
pub async fn mfa_device_update(tx: &mut Tx, row: &MfaDeviceRow) -> Result<(), StoreError> {
    let values = args![row.serial, row.user_id, row.enabled_ms, row.clock_steps, row.last_step];
    found(Exec::Tx(tx).run(UPDATE, values).await?, &row.serial)
}

/// Removes a device.
pub async fn mfa_device_delete(tx: &mut Tx, serial: &str) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(DELETE, args![serial]).await?, serial)
}
