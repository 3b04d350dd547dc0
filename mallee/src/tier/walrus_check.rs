//! `mallee walrus check`: whether what the object store says it has is there, while it does not run.

use super::Around;
use crate::state::StateDir;
use anyhow::{Context as _, Result, bail};
use mallee_store::{SealKey, Store, StoreConfig};
use mallee_walrus::{Offline, Report, Weight};
use std::path::{Path, PathBuf};

/// `mallee walrus check`.
#[derive(Debug, Clone, clap::Args)]
pub struct WalrusCheckArgs {
    /// Mend what can be mended without loss, and delete what unfinished writes left.
    #[arg(long)]
    pub repair: bool,
    /// Read every byte and hold it against its checksum; else only sizes and checksums of checksums are looked at.
    #[arg(long)]
    pub every_byte: bool,
    /// Directory of the objects (default: walrus/ in the state directory).
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// The database: `sqlite:PATH` or `postgres://…` (default: the SQLite file in the state directory).
    #[arg(long, env = "MALLEE_WALRUS_DATABASE")]
    pub database: Option<String>,
}

/// Checks, and repairs if asked to. Fails when something stays wrong or lost.
///
/// # Errors
/// One line that says what to do.
#[allow(clippy::print_stdout)]
pub async fn walrus_check(state: &Path, args: &WalrusCheckArgs) -> Result<()> {
    let dir = StateDir::take(state)?;
    let around = Around::system();
    let url = match &args.database {
        Some(url) => url.clone(),
        None => {
            // A Walrus of its own has its own database; in a whole cloud there is one for everything.
            let paths = [dir.join("walrus.db"), dir.join("mallee.db")];
            let Some(path) = paths.iter().find(|path| path.is_file()) else {
                bail!("{} holds no database; name it with --database, or the directory with --state", state.display());
            };
            format!("sqlite:{}", path.display())
        }
    };
    let seal = SealKey::load_or_create(&dir.join("seal.key"), &around.rng)?;
    let store =
        Store::open(StoreConfig::new(url), around.clock, around.rng, seal).await.context("cannot open the database")?;
    let data = args.data.clone().unwrap_or_else(|| dir.join("walrus"));
    let offline = Offline::open(&data, store.clone(), args.every_byte).await?;
    let left = if args.repair {
        let (first, left) = offline.checker().repair().await?;
        tell(&first);
        let mended = first.findings.iter().filter(|finding| !left.findings.contains(finding)).count();
        println!("{mended} of {} findings mended", first.findings.len());
        left
    } else {
        let found = offline.checker().check().await?;
        tell(&found);
        found
    };
    store.close().await;
    println!("{} blobs, {} bytes", left.blobs, left.bytes);
    let count = |weight| left.findings.iter().filter(|finding| finding.weight == weight).count();
    match (count(Weight::Wrong), count(Weight::Lost)) {
        (0, 0) => {
            println!("the object store is sound");
            Ok(())
        }
        (wrong, 0) if !args.repair => bail!("{wrong} findings are wrong; `mallee walrus check --repair` mends them"),
        (wrong, lost) => bail!("{wrong} findings are wrong, {lost} are losses; restore the objects named above"),
    }
}

#[allow(clippy::print_stdout)]
fn tell(report: &Report) {
    for finding in &report.findings {
        println!("{finding}");
    }
}
