//! Files that hold keys: readable by their owner only, written so that a crash leaves the old file or the new one.

use crate::PkiError;
use base64::Engine as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Longest key or certificate file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Base64 characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// Makes a directory for keys (0700), or tightens the one that is there.
pub(crate) fn private_dir(dir: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(PkiError::file("create", dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(PkiError::file("set the mode of", dir))
}

/// Replaces `dir/name` by `text`, mode 0600, durably.
pub(crate) fn write_private(dir: &Path, name: &str, text: &[u8]) -> Result<(), PkiError> {
    let (path, fresh) = (dir.join(name), dir.join(format!(".{name}.new")));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(PkiError::file("remove", &fresh)(error)),
        _ => {}
    }
    // `create_new` follows no link and takes over no file that someone else has open.
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(PkiError::file("write", &path))
}

/// The text of a private file; none when it is not there. One that others may read is refused.
pub(crate) fn read_private(path: &Path) -> Result<Option<String>, PkiError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PkiError::file("read", path)(error)),
    };
    let mode = file.metadata().map_err(PkiError::file("read", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(PkiError::State(format!(
            "{path} can be read by others: run chmod 600 {path}, and replace the key if it leaked"
        )));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(PkiError::file("read", path))?;
    Ok(Some(text))
}

/// A certificate as PEM.
pub(crate) fn certificate_pem(der: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(PEM_LINE) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
