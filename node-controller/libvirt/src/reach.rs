//! Can QEMU, which libvirt runs as a user of its own, reach the state directory? Asked at the start, because else every
//! launch would fail with a riddle.

use mallee_node_core::HypervisorError;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use virt::connect::Connect;

/// Enters each directory of its arguments in turn; prints the first that it cannot enter.
const WALK: &str = r#"for d; do cd "$d" 2>/dev/null || { printf %s "$d"; exit 1; }; done"#;

/// Refuses a directory that QEMU's user cannot enter, and says which one is shut and what to do. What cannot be found out
/// (libvirt names no user, or we may not become it) is let pass: a launch will tell.
pub(crate) fn check(conn: &Connect, dir: &Path) -> Result<(), HypervisorError> {
    let capabilities = conn.get_capabilities().map_err(|e| crate::error::explain("describe the host", &e))?;
    let Some((uid, gid)) = qemu_user(&capabilities) else { return Ok(()) };
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    match first_shut(dir, uid, gid) {
        None => Ok(()),
        Some(shut) => Err(refusal(dir, &shut, uid)),
    }
}

fn refusal(dir: &Path, shut: &Path, uid: u32) -> HypervisorError {
    let (dir, shut) = (dir.display(), shut.display());
    HypervisorError::Refused(format!(
        "QEMU runs as user {uid}, which cannot enter {shut}, so it cannot read disks in {dir}: let it pass (chmod o+x \
         {shut}), or choose a directory elsewhere with --state DIR"
    ))
}

/// User and group of QEMU's processes, from libvirt's capabilities: the label of the security model `dac`.
fn qemu_user(capabilities: &str) -> Option<(u32, u32)> {
    let (_, model) = capabilities.split_once("<model>dac</model>")?;
    let (model, _) = model.split_once("</secmodel>")?;
    let labels = model.split("<baselabel").skip(1).filter_map(|part| part.split_once('>')?.1.split_once('<'));
    let mut users = labels.filter_map(|(label, _)| {
        let (user, group) = label.split_once(':')?;
        Some((user.trim_start_matches('+').parse().ok()?, group.trim_start_matches('+').parse().ok()?))
    });
    users.next()
}

/// The first directory on the way to `dir` that this user cannot enter. Tried, not computed: there are access lists too.
fn first_shut(dir: &Path, uid: u32, gid: u32) -> Option<PathBuf> {
    let mut way: Vec<&Path> = dir.ancestors().collect();
    way.reverse();
    let mut walk = Command::new("/bin/sh");
    walk.args(["-c", WALK, "sh"]).args(way).uid(uid).gid(gid).current_dir("/");
    let walked = walk.stdin(Stdio::null()).stderr(Stdio::null()).output();
    match walked {
        Ok(walked) if !walked.status.success() && !walked.stdout.is_empty() => {
            use std::os::unix::ffi::OsStringExt as _;
            Some(PathBuf::from(std::ffi::OsString::from_vec(walked.stdout)))
        }
        Ok(_) => None,
        Err(error) => {
            tracing::info!(%error, uid, "cannot find out whether QEMU's user can enter the state directory");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    /// User and group `nobody`.
    const NOBODY: u32 = 65534;

    #[test]
    fn the_user_is_read_from_the_capabilities() {
        let text = "<secmodel><model>apparmor</model><doi>0</doi></secmodel><secmodel>\n<model>dac</model>\n\
                    <doi>0</doi>\n<baselabel type='kvm'>+64055:+108</baselabel>\n\
                    <baselabel type='qemu'>+64055:+108</baselabel></secmodel>";
        assert_eq!(qemu_user(text), Some((64055, 108)));
        assert_eq!(qemu_user("<secmodel><model>none</model></secmodel>"), None);
        assert_eq!(qemu_user("<model>dac</model><baselabel>x:y</baselabel></secmodel>"), None);
    }

    /// Needs root, as the whole driver does.
    #[test]
    fn a_directory_under_a_private_one_is_named() {
        assert!(nix::unistd::geteuid().is_root(), "run the tests as root: they become another user");
        let top = tempfile::tempdir().unwrap();
        let state = top.path().join("private/state");
        fs::create_dir_all(&state).unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(first_shut(&state, NOBODY, NOBODY), None);
        let private = top.path().join("private");
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(first_shut(&state, NOBODY, NOBODY), Some(private.clone()));
        assert_eq!(first_shut(&state, 0, 0), None, "root enters everywhere");
        let text = refusal(&state, &private, NOBODY).to_string();
        assert!(text.contains(&format!("chmod o+x {}", private.display())) && text.contains("--state"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
