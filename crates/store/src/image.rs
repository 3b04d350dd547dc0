//! Registered images.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::words;
use mallee_types::{AccountId, ImageId};

/// Where an image is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageState {
    /// Being imported.
    Pending,
    /// Can be started.
    Available,
    /// The import failed; the reason says why.
    Failed,
    /// Given up by its owner; kept while instances name it.
    Deregistered,
}
words! { ImageState { Pending = "pending", Available = "available", Failed = "failed", Deregistered = "deregistered" } }

/// Whether an image may be deregistered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ImageProtection {
    /// It may, once a cooldown that was set off is over.
    #[default]
    Off,
    /// It may not.
    On,
    /// It may not, nor in the day after the protection is taken away.
    Cooldown,
}
words! { ImageProtection { Off = "off", On = "on", Cooldown = "cooldown" } }

record! {
    /// An image.
    pub struct ImageRow {
        /// `ami-…`.
        id: ImageId,
        /// Whose.
        account_id: AccountId,
        /// Unique among the account's images that are not deregistered.
        name: String,
        /// What the user says it is.
        description: String,
        /// Where it came from, `bucket/key`.
        location: String,
        /// Where it is in its life.
        state: ImageState,
        /// Why it failed.
        state_reason: Option<String>,
        /// SHA-256 of the bytes, hex, once known.
        digest: Option<String>,
        /// `qcow2` or `raw`, once known.
        format: Option<String>,
        /// Stored bytes.
        size_bytes: Option<u64>,
        /// Bytes of the disk it unfolds to.
        virtual_size_bytes: Option<u64>,
        /// For example `x86_64`.
        architecture: String,
        /// For example `/dev/vda`.
        root_device_name: String,
        /// Every account may start it.
        is_public: bool,
        /// When it was registered.
        created_ms: i64,
        /// When it was deregistered.
        deregistered_ms: Option<i64>,
        /// Its owner lets nobody start it.
        disabled: bool,
        /// From when on it is deprecated: not shown to others unless they ask for it.
        deprecation_ms: Option<i64>,
        /// Whether it may be deregistered.
        protection: ImageProtection,
        /// Not before this, although the protection is off.
        protected_until_ms: Option<i64>,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, name, description, location, state, state_reason, digest, format, size_bytes,
        virtual_size_bytes, architecture, root_device_name, is_public, created_ms, deregistered_ms, disabled, deprecation_ms,
        protection, protected_until_ms"
    };
}

sql! {
    INSERT = concat!("INSERT INTO images (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
        $20)");
    FETCH = concat!("SELECT ", columns!(), " FROM images WHERE id = $1");
    LIST_VISIBLE = concat!("SELECT ", columns!(), " FROM images WHERE (account_id = $1 OR is_public
        OR id IN (SELECT image_id FROM image_launch_permissions WHERE account_id = $1))");
    LIST_ANY = concat!("SELECT ", columns!(), " FROM images WHERE 1 = 1");
    LIST_STATE = concat!("SELECT ", columns!(), " FROM images WHERE state = $1 ORDER BY id");
    UPDATE = "UPDATE images SET name = $3, description = $4, state = $5, state_reason = $6, digest = $7, format = $8,
        size_bytes = $9, virtual_size_bytes = $10, is_public = $11, deregistered_ms = $12, disabled = $13,
        deprecation_ms = $14, protection = $15, protected_until_ms = $16 WHERE id = $1 AND state = $2";
    DELETE = "DELETE FROM images WHERE id = $1";
}

/// Registers an image. Conflict: `images_account_id_name`.
pub async fn image_insert(tx: &mut Tx, row: &ImageRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The image of this id, in any state.
pub async fn image_fetch<'a>(exec: impl Into<Exec<'a>>, id: &ImageId) -> Result<ImageRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// Which images.
#[derive(Debug, Default, Clone, Copy)]
pub struct ImageFilter<'a> {
    /// Only those this account may see: its own, public ones, and those it has a launch permission for.
    pub visible_to: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [ImageId]>,
    /// Only of these owners.
    pub owners: Option<&'a [AccountId]>,
    /// Also deregistered ones.
    pub deregistered: bool,
    /// Only those after this id.
    pub after: Option<&'a ImageId>,
}

/// Images, by id.
pub async fn image_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: ImageFilter<'_>,
    limit: u32,
) -> Result<Vec<ImageRow>, StoreError> {
    let mut select = match filter.visible_to {
        Some(account) => Select::new(LIST_VISIBLE, args![account]),
        None => Select::new(LIST_ANY, vec![]),
    };
    if !filter.deregistered {
        select = select.and_text("state <> 'deregistered'");
    }
    let select = select.and("id >", filter.after).and_in("id", filter.ids)?.and_in("account_id", filter.owners)?;
    select.page(exec.into(), "id", limit).await
}

/// Every image in this state, by id (the importer, the sweeper).
pub async fn image_list_state<'a>(exec: impl Into<Exec<'a>>, state: ImageState) -> Result<Vec<ImageRow>, StoreError> {
    exec.into().all(LIST_STATE, args![state]).await
}

/// Writes what may change of an image, if it is still in state `from`.
///
/// # Errors
/// [`StoreError::Stale`] when its state is another, [`StoreError::NotFound`] when it is gone.
pub async fn image_update(tx: &mut Tx, from: ImageState, row: &ImageRow) -> Result<(), StoreError> {
    let values = args![
        row.id,
        from,
        row.name,
        row.description,
        row.state,
        row.state_reason,
        row.digest,
        row.format,
        row.size_bytes,
        row.virtual_size_bytes,
        row.is_public,
        row.deregistered_ms,
        row.disabled,
        row.deprecation_ms,
        row.protection,
        row.protected_until_ms
    ];
    if Exec::Tx(tx).run(UPDATE, values).await? == 0 {
        image_fetch(&mut *tx, &row.id).await?;
        return Err(StoreError::stale(&row.id));
    }
    Ok(())
}

/// Forgets an image; true if it was there.
pub async fn image_delete(tx: &mut Tx, id: &ImageId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
