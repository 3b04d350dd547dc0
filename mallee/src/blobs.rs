//! Where an object store of several processes keeps its blobs.

use anyhow::{Result, bail};
use mallee_walrus::{RemoteKeys, RemotePlace};
use secrecy::SecretString;
use std::path::PathBuf;

/// A store that exists already, for the blobs.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct BlobsArgs {
    /// Keep the bytes of objects in another store: s3://BUCKET/PREFIX?endpoint=URL&region=NAME (keys in
    /// MALLEE_BLOBS_ACCESS_KEY_ID and MALLEE_BLOBS_SECRET_ACCESS_KEY), fs:///SHARED/DIRECTORY or
    /// webhdfs://HOST:PORT/DIRECTORY?user=NAME. Any number of processes over one PostgreSQL may share it.
    #[arg(long, value_name = "PLACE")]
    pub blobs: Option<String>,
    /// Access key for an S3 that keeps the bytes.
    #[arg(long, env = "MALLEE_BLOBS_ACCESS_KEY_ID", requires = "blobs_secret_access_key", hide = true)]
    pub blobs_access_key_id: Option<String>,
    /// Secret access key for it.
    #[arg(long, env = "MALLEE_BLOBS_SECRET_ACCESS_KEY", hide_env_values = true, hide = true)]
    pub blobs_secret_access_key: Option<SecretString>,
    /// The key that seals what the database keeps secret: processes over one database share it (default: seal.key in
    /// the state directory).
    #[arg(long, value_name = "FILE")]
    pub seal_key: Option<PathBuf>,
}

impl BlobsArgs {
    /// The place, if one was named.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub(crate) fn place(&self) -> Result<Option<RemotePlace>> {
        let keys = self.blobs_access_key_id.clone().zip(self.blobs_secret_access_key.clone());
        let keys = keys.map(|(access_key_id, secret)| RemoteKeys { access_key_id, secret });
        match &self.blobs {
            Some(place) => Ok(Some(RemotePlace::parse(place, keys)?)),
            None if keys.is_some() => bail!("keys for the blobs are given, and no place: say --blobs"),
            None => Ok(None),
        }
    }
}
