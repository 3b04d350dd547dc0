//! Where a client finds the cloud and its keys: the environment (as every AWS tool), else the state directory.

use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretString};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// An endpoint with the key pair that may administer it.
#[derive(Debug, Clone)]
pub struct Access {
    /// `http://host:port`.
    pub endpoint: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: SecretString,
    /// Region clients should name.
    pub region: String,
}

/// The state directory when none is given: `/var/lib/mallee` for root, else the XDG data directory.
#[must_use]
pub fn default_state_dir() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if is_root {
        return PathBuf::from("/var/lib/mallee");
    }
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|h| h.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("mallee")
}

impl Access {
    /// From `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`; failing that, from `DIR/env`.
    ///
    /// # Errors
    /// One line that says what to do when neither is there.
    pub fn find(state: &Path) -> Result<Self> {
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        if let (Some(endpoint), Some(id), Some(secret)) =
            (var("AWS_ENDPOINT_URL"), var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY"))
        {
            return Ok(Self {
                endpoint,
                access_key_id: id,
                secret_access_key: SecretString::from(secret),
                region: var("AWS_DEFAULT_REGION").unwrap_or_else(|| "local".into()),
            });
        }
        Self::read(state)
    }

    /// From `DIR/env`.
    ///
    /// # Errors
    /// One line that says what to do when the file is missing or unreadable.
    pub fn read(state: &Path) -> Result<Self> {
        let path = state.join("env");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => bail!(
                "no cloud has been started with state in {}; start one with `mallee up`, or name its directory with --state",
                state.display()
            ),
            Err(e) => bail!("cannot read {} ({e}); run as the user who started the cloud", path.display()),
        };
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='))
                .map(|v| v.trim_matches('\'').to_owned())
                .with_context(|| format!("{} lacks {name}; start the cloud again to rewrite it", path.display()))
        };
        Ok(Self {
            endpoint: value("AWS_ENDPOINT_URL")?,
            access_key_id: value("AWS_ACCESS_KEY_ID")?,
            secret_access_key: SecretString::from(value("AWS_SECRET_ACCESS_KEY")?),
            region: value("AWS_DEFAULT_REGION")?,
        })
    }

    /// The export lines of `mallee env`.
    #[must_use]
    pub fn export_lines(&self) -> String {
        format!(
            "export AWS_ENDPOINT_URL='{}'\nexport AWS_ACCESS_KEY_ID='{}'\nexport AWS_SECRET_ACCESS_KEY='{}'\nexport AWS_DEFAULT_REGION='{}'\nexport AWS_REGION='{}'\n",
            self.endpoint,
            self.access_key_id,
            self.secret_access_key.expose_secret(),
            self.region,
            // Python's tools read the one, JavaScript's, Go's and Rust's the other.
            self.region
        )
    }
}

/// Writes `DIR/env` and `DIR/credentials` (AWS shared-credentials format), readable by their owner only.
///
/// # Errors
/// When the directory is not writable.
pub fn write_access_files(state: &Path, access: &Access) -> Result<()> {
    write_private(&state.join("env"), &access.export_lines())?;
    let credentials = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        access.access_key_id,
        access.secret_access_key.expose_secret()
    );
    write_private(&state.join("credentials"), &credentials)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let tmp = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&tmp, path).with_context(|| format!("cannot write {}", path.display()))
}
