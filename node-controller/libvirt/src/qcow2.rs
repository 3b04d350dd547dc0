//! Reads the header of a cached image before QEMU does, and refuses what would make the host open other files: a
//! backing file, an external data file (CVE-2024-32498 and its like), or a feature we do not know.
//!
//! Source: `docs/interop/qcow2.txt` of QEMU.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Length of the fixed header of version 3, in bytes.
const HEADER: usize = 104;
/// Incompatible features that name no other file: dirty, (not: corrupt, data file), compression type, extended L2.
const HARMLESS: u64 = 1 | 1 << 3 | 1 << 4;
const DATA_FILE: u64 = 1 << 2;

/// Why an image is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageFault {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("its format {0:?} is not supported; use qcow2 or raw")]
    Format(String),
    #[error("it is no qcow2 file")]
    NotQcow2,
    #[error("its qcow2 header is damaged or of an unknown version")]
    Damaged,
    #[error("it names a backing file, which images may not; flatten it with qemu-img convert")]
    BackingFile,
    #[error("it names an external data file, which images may not; flatten it with qemu-img convert")]
    DataFile,
    #[error("it is encrypted; decrypt it with qemu-img convert")]
    Encrypted,
    #[error("it is larger ({image} bytes) than the root disk asked for ({disk} bytes); ask for a larger root disk")]
    TooLarge {
        /// Virtual size of the image.
        image: u64,
        /// Size of the disk.
        disk: u64,
    },
}

/// Checks that the image at `path` stands alone and fits a disk of `disk` bytes.
pub(crate) fn check(path: &Path, format: &str, disk: u64) -> Result<(), ImageFault> {
    let unreadable = |error: std::io::Error| ImageFault::Unreadable(format!("{}: {error}", path.display()));
    let image = match format {
        "raw" => std::fs::metadata(path).map_err(unreadable)?.len(),
        "qcow2" => {
            let mut header = [0u8; HEADER];
            let mut file = File::open(path).map_err(unreadable)?;
            match file.read_exact(&mut header) {
                Ok(()) => virtual_size(&header)?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(ImageFault::NotQcow2),
                Err(error) => return Err(unreadable(error)),
            }
        }
        other => return Err(ImageFault::Format(other.chars().take(16).collect())),
    };
    if image > disk { Err(ImageFault::TooLarge { image, disk }) } else { Ok(()) }
}

fn virtual_size(header: &[u8; HEADER]) -> Result<u64, ImageFault> {
    let u32_at = |at: usize| header[at..at + 4].iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
    let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
    if header[..4] != MAGIC {
        return Err(ImageFault::NotQcow2);
    }
    let version = u32_at(4);
    if !matches!(version, 2 | 3) {
        return Err(ImageFault::Damaged);
    }
    if u64_at(8) != 0 || u32_at(16) != 0 {
        return Err(ImageFault::BackingFile);
    }
    if u32_at(32) != 0 {
        return Err(ImageFault::Encrypted);
    }
    let features = if version == 3 { u64_at(72) } else { 0 };
    if features & DATA_FILE != 0 {
        return Err(ImageFault::DataFile);
    }
    if features & !HARMLESS != 0 {
        return Err(ImageFault::Damaged);
    }
    Ok(u64_at(24))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn made(arguments: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let base = dir.path().join("base.qcow2");
        let data = dir.path().join("data.raw");
        let create = |file: &Path, arguments: &[String]| {
            let status = Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2"])
                .args(arguments)
                .arg(file)
                .arg("1M")
                .status();
            assert!(status.unwrap().success());
        };
        create(&base, &[]);
        let arguments: Vec<String> = arguments
            .iter()
            .map(|a| a.replace("BASE", base.to_str().unwrap()).replace("DATA", data.to_str().unwrap()))
            .collect();
        create(&path, &arguments);
        (dir, path)
    }

    #[test]
    fn a_plain_image_passes_and_its_size_counts() {
        for arguments in [&[][..], &["-o", "compat=0.10"], &["-o", "compression_type=zstd"], &["-o", "extended_l2=on"]]
        {
            let (_dir, path) = made(arguments);
            assert_eq!(check(&path, "qcow2", 1 << 20), Ok(()), "{arguments:?}");
            let small = check(&path, "qcow2", (1 << 20) - 1);
            assert_eq!(small, Err(ImageFault::TooLarge { image: 1 << 20, disk: (1 << 20) - 1 }));
        }
    }

    #[test]
    fn an_image_that_points_elsewhere_is_refused() {
        let (_dir, path) = made(&["-F", "qcow2", "-b", "BASE"]);
        assert_eq!(check(&path, "qcow2", 1 << 20), Err(ImageFault::BackingFile));
        let (_dir, path) = made(&["-o", "data_file=DATA"]);
        assert_eq!(check(&path, "qcow2", 1 << 20), Err(ImageFault::DataFile));
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, b"QFI\xfb").unwrap();
        assert_eq!(check(&path, "qcow2", 1 << 20), Err(ImageFault::NotQcow2));
        std::fs::write(&path, [0u8; 512]).unwrap();
        assert_eq!(check(&path, "qcow2", 1 << 20), Err(ImageFault::NotQcow2));
        assert_eq!(check(&path, "raw", 512), Ok(()));
        assert_eq!(check(&path, "vmdk", 512), Err(ImageFault::Format("vmdk".into())));
        assert!(matches!(check(&dir.path().join("none"), "raw", 1), Err(ImageFault::Unreadable(_))));
        let mut unknown = [0u8; 512];
        unknown[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        unknown[79] = 0x80;
        std::fs::write(&path, unknown).unwrap();
        assert_eq!(check(&path, "qcow2", 1 << 20), Err(ImageFault::Damaged));
    }
}
