//! The files of an instance: `instances/<id>/` with `disk.qcow2`, `console.log` (and its rotated `console.log.N`) and
//! `off`, a note of which incarnation ended in order.
//!
//! Why the note: libvirtd forgets the reason of a domain's end when it restarts or the host reboots. With the note, a
//! guest that powered itself off stays off, and a guest that a host's reboot killed counts as crashed.

use crate::error::{from_io, one_line};
use mallee_node_core::HypervisorError;
use mallee_types::{Incarnation, InstanceId};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// QEMU's user must be able to enter our directories, and to see nothing there that it is not told of.
const DIR_MODE: u32 = 0o711;
const DISK: &str = "disk.qcow2";
const DISK_TMP: &str = "disk.qcow2.tmp";
const CONSOLE: &str = "console.log";
/// The console before the last rotation by virtlogd.
const CONSOLE_OLD: &str = "console.log.0";
const OFF: &str = "off";
const OFF_TMP: &str = "off.tmp";
/// Longest note that is read, in bytes.
const OFF_MAX: u64 = 32;

/// What `qemu-img` may use: it reads an image that a tenant made.
const QEMU_IMG_MEMORY: &str = "--as=1073741824";
const QEMU_IMG_CPU: &str = "--cpu=30";
const QEMU_IMG_FILES: &str = "--nofile=64";
/// How long it may take; making an overlay takes milliseconds.
const QEMU_IMG_TIMEOUT: Duration = Duration::from_secs(60);

/// The directory of all instances.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    root: PathBuf,
}

/// The image under a new disk.
#[derive(Debug)]
pub(crate) struct Base<'a> {
    pub(crate) path: &'a Path,
    pub(crate) format: &'a str,
}

impl Files {
    /// Makes the directory unless it exists.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, HypervisorError> {
        let root = state_dir.join("instances");
        make_dir(&root)?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn dir(&self, id: &InstanceId) -> PathBuf {
        self.root.join(id.as_str())
    }

    pub(crate) fn disk(&self, id: &InstanceId) -> PathBuf {
        self.dir(id).join(DISK)
    }

    pub(crate) fn console_path(&self, id: &InstanceId) -> PathBuf {
        self.dir(id).join(CONSOLE)
    }

    /// Makes the root disk over `base` unless it is there: whole under its name, or not at all.
    pub(crate) async fn make_disk(&self, id: &InstanceId, base: &Base<'_>, bytes: u64) -> Result<(), HypervisorError> {
        let disk = self.disk(id);
        let what = format!("make the root disk of {id}");
        if disk.try_exists().map_err(|error| from_io(&what, &error))? {
            return Ok(());
        }
        let dir = self.dir(id);
        make_dir(&dir)?;
        let tmp = dir.join(DISK_TMP);
        let made = qemu_img_create(&tmp, base, bytes).await.and_then(|()| {
            let sync = || {
                fs::set_permissions(&tmp, Permissions::from_mode(0o600))?;
                File::open(&tmp)?.sync_all()?;
                fs::rename(&tmp, &disk)?;
                File::open(&dir)?.sync_all()?;
                File::open(&self.root)?.sync_all()
            };
            sync().map_err(|error| from_io(&what, &error))
        });
        if made.is_err() {
            // What is left of a failure is of no use; the error says more than a second one would.
            let _ = fs::remove_file(&tmp);
            let _ = fs::remove_dir(&dir);
        }
        made
    }

    /// Removes every file of the instance; absent already is fine.
    pub(crate) fn remove(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        match fs::remove_dir_all(self.dir(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(from_io(&format!("remove the files of {id}"), &error))
            }
            _ => Ok(()),
        }
    }

    /// Instances that have files here.
    pub(crate) fn list(&self) -> Result<Vec<InstanceId>, HypervisorError> {
        let what = format!("list {}", self.root.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(|error| from_io(&what, &error))? {
            let entry = entry.map_err(|error| from_io(&what, &error))?;
            // Anything that is not named like an instance is not ours.
            if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.push(id);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Bytes that all root disks take on the host's disk.
    pub(crate) fn disk_usage(&self) -> Result<u64, HypervisorError> {
        let blocks =
            self.list()?.into_iter().filter_map(|id| fs::metadata(self.disk(&id)).ok()).map(|meta| meta.blocks());
        Ok(blocks.fold(0u64, |sum, blocks| sum.saturating_add(blocks.saturating_mul(512))))
    }

    /// The last `most` bytes of the console, over the last rotation; empty when there is none.
    pub(crate) fn console(&self, id: &InstanceId, most: usize) -> Result<Vec<u8>, HypervisorError> {
        let read = |name, most| {
            tail(&self.dir(id).join(name), most).map_err(|error| from_io(&format!("read the console of {id}"), &error))
        };
        let new = read(CONSOLE, most)?;
        let mut all = if new.len() < most { read(CONSOLE_OLD, most - new.len())? } else { Vec::new() };
        all.extend_from_slice(&new);
        Ok(all)
    }

    /// Notes that this incarnation ended in order.
    pub(crate) fn note_off(&self, id: &InstanceId, incarnation: Incarnation) -> Result<(), HypervisorError> {
        if self.is_noted_off(id, incarnation) || !self.dir(id).exists() {
            return Ok(());
        }
        let (tmp, path) = (self.dir(id).join(OFF_TMP), self.dir(id).join(OFF));
        let write = || {
            let mut file = File::create(&tmp)?;
            write!(file, "{incarnation}")?;
            file.sync_all()?;
            fs::rename(&tmp, &path)
        };
        write().map_err(|error| from_io(&format!("note the end of {id}"), &error))
    }

    /// Whether such a note stands.
    pub(crate) fn is_noted_off(&self, id: &InstanceId, incarnation: Incarnation) -> bool {
        let mut text = String::new();
        let read = File::open(self.dir(id).join(OFF)).and_then(|file| file.take(OFF_MAX).read_to_string(&mut text));
        read.is_ok() && text.parse() == Ok(incarnation.0)
    }

    /// Takes the note back, before the domain starts.
    pub(crate) fn forget_off(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        match fs::remove_file(self.dir(id).join(OFF)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(from_io(&format!("start {id}"), &error)),
            _ => Ok(()),
        }
    }
}

fn make_dir(path: &Path) -> Result<(), HypervisorError> {
    let make = || {
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)?;
        // The mode above is cut by the umask.
        fs::set_permissions(path, Permissions::from_mode(DIR_MODE))
    };
    make().map_err(|error| from_io(&format!("make the directory {}", path.display()), &error))
}

fn tail(path: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(mut file) => {
            let most = u64::try_from(most).unwrap_or(u64::MAX);
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
            file.take(most).read_to_end(&mut bytes)?;
        }
    }
    Ok(bytes)
}

async fn qemu_img_create(to: &Path, base: &Base<'_>, bytes: u64) -> Result<(), HypervisorError> {
    let mut command = Command::new("prlimit");
    command.args([QEMU_IMG_MEMORY, QEMU_IMG_CPU, QEMU_IMG_FILES, "--", "qemu-img", "create", "-q", "-f", "qcow2"]);
    command.arg("-F").arg(base.format).arg("-b").arg(base.path).arg(to).arg(bytes.to_string());
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |why: String| HypervisorError::Failed(format!("qemu-img cannot make the root disk: {why}"));
    let output = match tokio::time::timeout(QEMU_IMG_TIMEOUT, command.output()).await {
        Err(_) => return Err(failed(format!("no answer within {} s", QEMU_IMG_TIMEOUT.as_secs()))),
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
            return Err(failed("prlimit is missing: install util-linux".into()));
        }
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let why = one_line(&String::from_utf8_lossy(&output.stderr));
    if why.contains("No space left on device") {
        return Err(HypervisorError::Exhausted("disk space, to make the root disk".into()));
    }
    if why.contains("failed to execute qemu-img") {
        return Err(failed("it is missing: install qemu-utils".into()));
    }
    Err(failed(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> InstanceId {
        "i-0123456789abcdef0".parse().unwrap()
    }

    fn made() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path()).unwrap();
        (dir, files)
    }

    #[tokio::test]
    async fn a_disk_is_made_once_and_names_its_base_and_format() {
        let (dir, files) = made();
        let image = dir.path().join("image, with a comma");
        fs::write(&image, vec![7u8; 1 << 20]).unwrap();
        let base = Base { path: &image, format: "raw" };
        files.make_disk(&id(), &base, 4 << 20).await.unwrap();
        let info = std::process::Command::new("qemu-img")
            .args(["info", "--output=json"])
            .arg(files.disk(&id()))
            .output()
            .unwrap();
        let info = String::from_utf8(info.stdout).unwrap();
        for part in ["\"virtual-size\": 4194304", "\"backing-filename-format\": \"raw\"", "image, with a comma"] {
            assert!(info.contains(part), "{part} not in {info}");
        }
        assert_eq!(fs::metadata(files.disk(&id())).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::metadata(files.disk(&id())).unwrap().ino();
        files.make_disk(&id(), &base, 4 << 20).await.unwrap();
        assert_eq!(fs::metadata(files.disk(&id())).unwrap().ino(), before);
        assert_eq!(files.list().unwrap(), [id()]);
        assert!(files.disk_usage().unwrap() > 0);
        files.remove(&id()).unwrap();
        files.remove(&id()).unwrap();
        assert!(files.list().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_failure_leaves_nothing_and_a_crash_in_the_middle_heals() {
        let (dir, files) = made();
        let missing = dir.path().join("missing");
        let error = files.make_disk(&id(), &Base { path: &missing, format: "qcow2" }, 4 << 20).await.unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
        assert!(files.list().unwrap().is_empty());
        let image = dir.path().join("image");
        fs::write(&image, vec![7u8; 1 << 20]).unwrap();
        fs::create_dir(files.dir(&id())).unwrap();
        fs::write(files.dir(&id()).join(DISK_TMP), b"half").unwrap();
        files.make_disk(&id(), &Base { path: &image, format: "raw" }, 4 << 20).await.unwrap();
        assert!(!files.dir(&id()).join(DISK_TMP).exists());
    }

    #[test]
    fn the_console_is_read_across_a_rotation_and_bounded() {
        let (_dir, files) = made();
        assert_eq!(files.console(&id(), 10).unwrap(), b"");
        make_dir(&files.dir(&id())).unwrap();
        fs::write(files.console_path(&id()), b"world").unwrap();
        fs::write(files.dir(&id()).join(CONSOLE_OLD), b"hello ").unwrap();
        assert_eq!(files.console(&id(), 100).unwrap(), b"hello world");
        assert_eq!(files.console(&id(), 7).unwrap(), b"o world");
        assert_eq!(files.console(&id(), 3).unwrap(), b"rld");
    }

    #[test]
    fn the_note_of_an_end_belongs_to_one_incarnation() {
        let (_dir, files) = made();
        files.note_off(&id(), Incarnation(3)).unwrap();
        assert!(!files.is_noted_off(&id(), Incarnation(3)), "a removed instance grows no files");
        make_dir(&files.dir(&id())).unwrap();
        files.note_off(&id(), Incarnation(3)).unwrap();
        assert!(files.is_noted_off(&id(), Incarnation(3)));
        assert!(!files.is_noted_off(&id(), Incarnation(4)));
        files.forget_off(&id()).unwrap();
        files.forget_off(&id()).unwrap();
        assert!(!files.is_noted_off(&id(), Incarnation(3)));
    }

    #[test]
    fn names_that_are_no_instances_are_not_listed() {
        let (_dir, files) = made();
        for name in ["lost+found", "i-xyz", "vol-0123abcd", "i-0123abcd"] {
            fs::create_dir(files.root().join(name)).unwrap();
        }
        assert_eq!(files.list().unwrap(), ["i-0123abcd".parse().unwrap()]);
    }
}
