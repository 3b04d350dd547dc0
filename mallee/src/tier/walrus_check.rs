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
    /// Mend what can be mended without loss, delete what unfinished writes left, and move files that nothing refers to into
    /// lost+found in the directory of the objects. Nothing is mended while the database file itself is damaged.
    #[arg(long)]
    pub repair: bool,
    /// Read every byte and hold it against its checksum; else only sizes and checksums of checksums are looked at.
    #[arg(long)]
    pub every_byte: bool,
    /// Directory of the objects (default: walrus/ in the state directory).
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// The database, which must be there: `sqlite:PATH` or `postgres://…` (default: the SQLite file in the state directory;
    /// with --data, the one in that directory or beside it).
    #[arg(long, env = "MALLEE_WALRUS_DATABASE")]
    pub database: Option<String>,
}

/// Where the database may be. A Walrus of its own has its own; in a whole cloud there is one for everything.
fn databases(state: &StateDir, data: Option<&Path>) -> Vec<PathBuf> {
    let Some(data) = data else { return vec![state.join("walrus.db"), state.join("mallee.db")] };
    // Of the daemon's `--data DIR`, or of the `walrus/` in there.
    let beside = data.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    vec![data.join("walrus.db"), beside.join("walrus.db"), beside.join("mallee.db")]
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
            let Some(path) = databases(&dir, args.data.as_deref()).into_iter().find(|path| path.is_file()) else {
                let place = args.data.as_deref().unwrap_or(state);
                bail!("there is no database by {}; name it with --database", place.display());
            };
            format!("sqlite:{}", path.display())
        }
    };
    let seal = SealKey::load_or_create(&dir.join("seal.key"), &around.rng)?;
    let store = Store::open(StoreConfig::new(url).existing(), around.clock, around.rng, seal)
        .await
        .context("cannot open the database")?;
    let mut data = args.data.clone().unwrap_or_else(|| dir.join("walrus"));
    if !data.join("blobs").is_dir() && data.join("walrus").join("blobs").is_dir() {
        data.push("walrus");
    }
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
    let scrub = mallee_walrus::scrub_state(&store).await?;
    store.close().await;
    println!("{} blobs, {} bytes", left.blobs, left.bytes);
    match (scrub.pass, scrub.ended_ms) {
        (0, _) => println!("never scrubbed"),
        (pass, Some(_)) => println!("scrub: pass {pass} read {} blobs, {} of them damaged", scrub.blobs, scrub.damaged),
        (pass, None) => {
            println!("scrub: pass {pass} has read {} blobs so far, {} of them damaged", scrub.blobs, scrub.damaged);
        }
    }
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
