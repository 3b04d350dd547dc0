//! The state directory: one lock, one seal key, one name of the cloud.

use anyhow::{Context as _, Result, bail};
use mallee_runtime::Rng;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The file that a running process holds locked; it contains its process id.
const LOCK: &str = "lock";
/// The file with the cloud's id.
const CLOUD_ID: &str = "cloud-id";

/// An exclusively held state directory.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

/// The process that holds a state directory, if one does.
///
/// # Errors
/// When the directory cannot be read.
pub fn holder(path: &Path) -> Result<Option<i32>> {
    let file = match OpenOptions::new().read(true).write(true).open(path.join(LOCK)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => {
            return Err(e).with_context(|| format!("cannot look at {}; are you root?", path.join(LOCK).display()));
        }
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_free) => Ok(None),
        Err((mut file, _)) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text.trim().parse().ok())
        }
    }
}

impl StateDir {
    /// Takes the directory, making it if it is not there.
    ///
    /// # Errors
    /// One line that says what to do: another process holds it, or it is not writable.
    pub fn take(path: &Path) -> Result<Self> {
        // Others may pass through (QEMU's user must reach the disks below), but not list it.
        fs::DirBuilder::new().recursive(true).mode(0o711).create(path).with_context(|| {
            format!("cannot make the state directory {}; choose another with --state", path.display())
        })?;
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o011 != 0o011 {
            fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o011)).with_context(|| {
                format!("cannot let QEMU's user into {}; choose another directory with --state", path.display())
            })?;
        }
        let lock = path.join(LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock)
            .with_context(|| format!("cannot write in {}; choose another directory with --state", path.display()))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err(_) => {
                let pid = holder(path)?.map_or_else(String::new, |pid| format!(" (process {pid})"));
                bail!(
                    "a cloud with state in {} is running already{pid}; stop it with `mallee down`, or choose another --state",
                    path.display()
                );
            }
        };
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or directory in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The cloud's id: made at the first start, the same for ever.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn cloud_id(&self, rng: &Rng) -> Result<String> {
        let path = self.join(CLOUD_ID);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let id = format!("mallee-{:08x}", rng.below(1 << 32));
                fs::write(&path, format!("{id}\n")).with_context(|| format!("cannot write {}", path.display()))?;
                Ok(id)
            }
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}
