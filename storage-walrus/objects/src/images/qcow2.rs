//! The header of a qcow2 image (QEMU's `docs/interop/qcow2.txt`), as far as needed to accept harmless images only.

use super::format::Refusal;

/// First bytes of every qcow file.
pub(super) const MAGIC: &[u8] = b"QFI\xfb";

/// Incompatible feature bits that are accepted: dirty (bit 0: reference counts may be stale, QEMU repairs them) and
/// compression type (bit 3: zstd). Not accepted: corrupt (1), external data file (2), extended L2 (4), unknown ones.
const INCOMPATIBLE_ACCEPTED: u64 = 0b1001;
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
/// Header extensions that name files, by type.
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
const EXTENSION_LUKS: u32 = 0x0537_be77;
/// Most header extensions that are looked at; QEMU writes three.
const EXTENSIONS_MAX: usize = 64;

fn be32(head: &[u8], at: usize) -> Result<u32, Refusal> {
    let bytes = head.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
    bytes.map(u32::from_be_bytes).ok_or_else(|| Refusal::new("the qcow2 header is cut short"))
}

fn be64(head: &[u8], at: usize) -> Result<u64, Refusal> {
    Ok((u64::from(be32(head, at)?) << 32) | u64::from(be32(head, at + 4)?))
}

/// Checks the header of a file of `size` bytes and gives the virtual size.
pub(super) fn check(head: &[u8], size: u64) -> Result<u64, Refusal> {
    let version = be32(head, 4)?;
    if !matches!(version, 2 | 3) {
        return Err(Refusal::new(format!(
            "the image is a qcow file of version {version}; only qcow2 versions 2 and 3 are supported"
        )));
    }
    if be64(head, 8)? != 0 || be32(head, 16)? != 0 {
        return Err(Refusal::new(
            "the qcow2 image refers to a backing file; flatten it with: qemu-img convert -O qcow2 FILE disk.qcow2",
        ));
    }
    let cluster_bits = be32(head, 20)?;
    if !(9..=21).contains(&cluster_bits) {
        return Err(Refusal::new(format!("the qcow2 image has an invalid cluster size (2^{cluster_bits} bytes)")));
    }
    let virtual_size = be64(head, 24)?;
    if virtual_size == 0 {
        return Err(Refusal::new("the qcow2 image has a disk of no bytes"));
    }
    if be32(head, 32)? != 0 {
        return Err(Refusal::new("the qcow2 image is encrypted, which is not supported"));
    }
    if be32(head, 60)? != 0 {
        return Err(Refusal::new(
            "the qcow2 image holds internal snapshots; drop them with: qemu-img convert -O qcow2 FILE disk.qcow2",
        ));
    }
    let tables = [("L1", be64(head, 40)?), ("reference count", be64(head, 48)?)];
    for (name, at) in tables {
        if at >= size || at % (1 << cluster_bits) != 0 {
            return Err(Refusal::new(format!(
                "the {name} table of the qcow2 image lies outside of the file: was the upload cut short?"
            )));
        }
    }
    let header_length = if version == 3 { check_features(head)? } else { 72 };
    check_extensions(head, header_length, 1 << cluster_bits)?;
    Ok(virtual_size)
}

fn check_features(head: &[u8]) -> Result<u32, Refusal> {
    let incompatible = be64(head, 72)?;
    if incompatible & DATA_FILE != 0 {
        return Err(Refusal::new("the qcow2 image keeps its data in an external file, which is not supported"));
    }
    if incompatible & CORRUPT != 0 {
        return Err(Refusal::new("the qcow2 image is marked as corrupt; repair it with: qemu-img check -r all FILE"));
    }
    let unknown = incompatible & !INCOMPATIBLE_ACCEPTED;
    if unknown != 0 {
        return Err(Refusal::new(format!(
            "the qcow2 image uses incompatible features ({unknown:#x}) that are not supported"
        )));
    }
    if incompatible & DIRTY != 0 {
        tracing::debug!("a qcow2 image is imported with its dirty bit set");
    }
    let length = be32(head, 100)?;
    if !(104..=4096).contains(&length) || length % 8 != 0 {
        return Err(Refusal::new(format!("the qcow2 header has an invalid length ({length})")));
    }
    Ok(length)
}

fn check_extensions(head: &[u8], header_length: u32, cluster: usize) -> Result<(), Refusal> {
    let mut at = header_length as usize;
    for _ in 0..EXTENSIONS_MAX {
        // The extensions end at a zero type, or with the first cluster.
        if at + 8 > cluster.min(head.len()) {
            return Ok(());
        }
        let (kind, length) = (be32(head, at)?, be32(head, at + 4)? as usize);
        match kind {
            0 => return Ok(()),
            EXTENSION_BACKING_FORMAT => {
                return Err(Refusal::new("the qcow2 image names a backing file format, which is not supported"));
            }
            EXTENSION_DATA_FILE => {
                return Err(Refusal::new("the qcow2 image names an external data file, which is not supported"));
            }
            EXTENSION_LUKS => return Err(Refusal::new("the qcow2 image is encrypted, which is not supported")),
            _ => at = at.saturating_add(8).saturating_add(length.next_multiple_of(8)),
        }
    }
    Err(Refusal::new("the qcow2 header has too many extensions"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header as `qemu-img create -f qcow2` writes it, for a disk of `virtual_size` bytes.
    pub(in crate::images) fn header(virtual_size: u64) -> Vec<u8> {
        let mut head = vec![0; 1 << 16];
        head[..4].copy_from_slice(MAGIC);
        head[7] = 3;
        head[23] = 16;
        head[24..32].copy_from_slice(&virtual_size.to_be_bytes());
        head[40..48].copy_from_slice(&(3u64 << 16).to_be_bytes());
        head[48..56].copy_from_slice(&(1u64 << 16).to_be_bytes());
        head[100..104].copy_from_slice(&112u32.to_be_bytes());
        // The feature name table.
        head[112..116].copy_from_slice(&0x6803_f857_u32.to_be_bytes());
        head[116..120].copy_from_slice(&336u32.to_be_bytes());
        head
    }

    fn refused(at: usize, bytes: &[u8]) -> String {
        let mut head = header(1 << 30);
        head[at..at + bytes.len()].copy_from_slice(bytes);
        check(&head, 1 << 20).expect_err("refused").0
    }

    #[test]
    fn a_plain_image_is_accepted() {
        assert_eq!(check(&header(1 << 30), 1 << 20), Ok(1 << 30));
    }

    #[test]
    fn whatever_points_outside_is_refused() {
        assert!(refused(7, &[1]).contains("version 1"));
        assert!(refused(15, &[1]).contains("backing file"));
        assert!(refused(19, &[9]).contains("backing file"));
        assert!(refused(79, &[0b100]).contains("external file"));
        assert!(refused(79, &[0b10]).contains("corrupt"));
        assert!(refused(79, &[0b1_0000]).contains("incompatible"));
        assert!(refused(72, &[0x80]).contains("incompatible"));
        assert!(refused(35, &[2]).contains("encrypted"));
        assert!(refused(63, &[1]).contains("snapshots"));
        assert!(refused(23, &[40]).contains("cluster size"));
        assert!(refused(112, &EXTENSION_DATA_FILE.to_be_bytes()).contains("data file"));
        assert!(refused(112, &EXTENSION_BACKING_FORMAT.to_be_bytes()).contains("backing file format"));
        assert!(refused(112, &EXTENSION_LUKS.to_be_bytes()).contains("encrypted"));
        // Behind another extension as well.
        assert!(refused(112 + 8 + 336, &EXTENSION_DATA_FILE.to_be_bytes()).contains("data file"));
        assert!(refused(100, &[0, 0, 0, 1]).contains("length"));
        assert!(refused(24, &[0; 8]).contains("no bytes"));
    }

    #[test]
    fn a_cut_file_is_refused() {
        assert!(check(&header(1 << 30)[..60], 60).is_err());
        assert!(check(&header(1 << 30), 1 << 16).expect_err("tables outside").0.contains("cut short"));
    }
}
