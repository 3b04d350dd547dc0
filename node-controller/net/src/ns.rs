//! Network namespaces by name, under `/run/netns` as `ip netns` keeps them.

use crate::exec::{failed, run};
use mallee_node_core::network::NetworkError;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::{Path, PathBuf};

const DIR: &str = "/run/netns";

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Moves the calling thread into a namespace, for good.
pub(crate) fn enter(name: &str) -> Result<(), NetworkError> {
    let file = File::open(path(name)).map_err(|e| failed(format!("namespace {name}: {e}")))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|e| failed(format!("enter namespace {name}: {e}")))
}

/// Whether the namespace is there and can be entered: a crash between the making of the file and of the mount leaves
/// an ordinary file, which is worth nothing.
pub(crate) fn usable(name: &str) -> bool {
    let fs = nix::sys::statfs::statfs(&path(name));
    fs.is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}

/// Makes sure that the namespace exists; true when it was made now.
pub(crate) fn ensure(name: &str) -> Result<bool, NetworkError> {
    if usable(name) {
        return Ok(false);
    }
    remove(name)?;
    run("ip", &["netns", "add", name], "").map(|_| true)
}

/// Removes a namespace and all that is in it. Absent: fine.
pub(crate) fn remove(name: &str) -> Result<(), NetworkError> {
    let path = path(name);
    if !path.exists() {
        return Ok(());
    }
    if usable(name) {
        run("ip", &["netns", "delete", name], "").map(drop)
    } else {
        std::fs::remove_file(&path).map_err(|e| failed(format!("{}: {e}", path.display())))
    }
}

/// The names of all namespaces.
pub(crate) fn list() -> Result<Vec<String>, NetworkError> {
    let entries = match std::fs::read_dir(DIR) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(format!("{DIR}: {e}"))),
    };
    let mut names: Vec<String> = entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
