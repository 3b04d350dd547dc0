//! Whose a directory of blobs is. A database and its directory name each other, because to any other database the files
//! would all be garbage: they are taken for that by the sweep and by a repair.

use anyhow::{Context as _, bail};
use mallee_objects::BlobId;
use mallee_objects::blob::{directory_has, directory_is_empty, directory_owner, set_directory_owner};
use mallee_runtime::Rng;
use mallee_store::{Store, s3_blob_list, setting_fetch, setting_insert};
use std::path::Path;

/// The setting that names the database in the directory that has its blobs.
const FILES_OWNER_SETTING: &str = "s3-files-owner";
/// Rows whose files are looked for where the two do not name each other yet.
const SAMPLE_ROWS: u32 = 1000;

/// Whether the database knows of any blob.
pub(crate) async fn has_blobs(store: &Store) -> anyhow::Result<bool> {
    Ok(!s3_blob_list(store, None, 1).await.context("cannot read the database")?.is_empty())
}

/// The name of the database in its directory, which nobody else uses. They come together where neither has any blob yet,
/// or, after an upgrade, where the directory has files that the database asks for.
///
/// # Errors
/// One line, when they do not belong together.
pub(crate) async fn files_owner(store: &Store, data: &Path, rng: &Rng) -> anyhow::Result<String> {
    let said = setting_fetch(store, FILES_OWNER_SETTING).await.context("cannot read the database")?;
    let there = directory_owner(data)?;
    if let (Some(said), Some(there)) = (&said, &there)
        && said == there
    {
        return Ok(said.clone());
    }
    let (filled, empty) = (has_blobs(store).await?, directory_is_empty(data)?);
    let dir = data.display();
    match (filled, empty) {
        (false, true) => {}
        (true, true) => {
            bail!("{dir} has none of the objects of this database; is its disk mounted? name the directory they are in")
        }
        // Two names that are not the same are no matter of an upgrade.
        _ if said.is_some() && there.is_some() => {
            bail!("{dir} holds the objects of another database; name that one, or the directory of this one")
        }
        (true, false) if has_sample(store, data).await? => {}
        _ => bail!(
            "{dir} holds objects that this database does not know; name the database they are of, or restore it from a backup"
        ),
    }
    let owner = match (said, there) {
        (Some(said), _) => said,
        // A backup of the database, of before they knew each other.
        (None, Some(there)) if filled => name_in_database(store, &there).await?,
        (None, _) => name_in_database(store, &format!("{:032x}", rng.u128())).await?,
    };
    // After the database: a directory that names none is taken again, one that names another is not.
    set_directory_owner(data, &owner)?;
    Ok(owner)
}

async fn name_in_database(store: &Store, name: &str) -> anyhow::Result<String> {
    let mut tx = store.write().await?;
    setting_insert(&mut tx, FILES_OWNER_SETTING, name).await?;
    tx.commit().await?;
    setting_fetch(store, FILES_OWNER_SETTING).await?.context("the database forgot its name")
}

/// Whether the directory has a file that a row names: names are random, so one is enough.
async fn has_sample(store: &Store, data: &Path) -> anyhow::Result<bool> {
    let rows = s3_blob_list(store, None, SAMPLE_ROWS).await?;
    Ok(rows.iter().filter_map(|row| BlobId::parse(&row.id)).any(|id| directory_has(data, &id)))
}
