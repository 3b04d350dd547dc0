//! Telling what a disk image is, from its own bytes. Tenants write these headers: nothing in them is believed that
//! could make a host read another file (`design/security.md` B6 class 7), and no tool of others looks at an image
//! before this did.

use super::qcow2;

/// Bytes from the beginning of the file that are looked at.
pub const HEAD_BYTES: usize = 64 * 1024;
/// Bytes from its end (VHD and DMG have their header there).
pub const TAIL_BYTES: usize = 512;
/// Largest disk an image may present to a guest: 16 TiB, EBS's largest volume outside of Block Express.
pub const VIRTUAL_BYTES_MAX: u64 = 16 << 40;
/// Size of a disk sector.
const SECTOR: u64 = 512;

/// An image that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    /// `qcow2` or `raw`.
    pub format: &'static str,
    /// Size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
}

/// Why a file is refused as an image: one line for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

fn has(data: &[u8], at: usize, magic: &[u8]) -> bool {
    data.get(at..at + magic.len()) == Some(magic)
}

/// Formats that are recognised in order to say so.
fn foreign(head: &[u8], tail: &[u8]) -> Option<&'static str> {
    let text = |what: &[u8]| head.iter().take(4096).copied().collect::<Vec<_>>().windows(what.len()).any(|w| w == what);
    match () {
        () if has(head, 0, b"KDMV") || has(head, 0, b"COWD") || has(head, 0, b"# Disk DescriptorFile") => Some("VMDK"),
        () if text(b"createType=\"") => Some("VMDK"),
        () if has(head, 0x40, &0xbeda_107f_u32.to_le_bytes()) => Some("VDI"),
        () if has(head, 0, b"vhdxfile") => Some("VHDX"),
        () if has(head, 0, b"conectix") || has(tail, 0, b"conectix") => Some("VHD"),
        () if has(tail, 0, b"koly") => Some("DMG"),
        () if has(head, 0, b"QED\0") => Some("QED"),
        () if has(head, 0, b"WithoutFreeSpace") || has(head, 0, b"WithouFreSpacExt") => Some("Parallels"),
        () if has(head, 0, b"Bochs Virtual HD Image") => Some("Bochs"),
        () if has(head, 0, b"LUKS\xba\xbe") => Some("encrypted (LUKS)"),
        () if has(head, 0, b"\x1f\x8b") => Some("gzip-compressed"),
        () if has(head, 0, b"\xfd7zXZ\0") => Some("xz-compressed"),
        () if has(head, 0, b"BZh") => Some("bzip2-compressed"),
        () if has(head, 0, b"\x28\xb5\x2f\xfd") => Some("zstd-compressed"),
        () if has(head, 0, b"PK\x03\x04") => Some("ZIP"),
        // A tar whose first member is an OVF description is an OVA; other tars are no disks either.
        () if has(head, 257, b"ustar") => Some("OVA or tar"),
        () => None,
    }
}

/// True if the first sectors carry a partition table or a boot sector.
fn is_bootable_raw(head: &[u8]) -> bool {
    // MBR, protective MBR, or the boot sector of a file system: all end in 55 AA.
    has(head, 510, &[0x55, 0xaa]) || has(head, 512, b"EFI PART") || has(head, 4096, b"EFI PART")
}

/// Says what a file of `size` bytes is; `head` is its first [`HEAD_BYTES`] and `tail` its last [`TAIL_BYTES`]
/// (less, if the file is shorter).
///
/// # Errors
/// [`Refusal`] with a line that tells the user what to do.
pub fn detect(head: &[u8], tail: &[u8], size: u64) -> Result<Detected, Refusal> {
    if size == 0 {
        return Err(Refusal::new("the object is empty; upload a disk image in qcow2 or raw format"));
    }
    let detected = if has(head, 0, qcow2::MAGIC) {
        Detected { format: "qcow2", virtual_size: qcow2::check(head, size)? }
    } else if let Some(name) = foreign(head, tail) {
        return Err(Refusal::new(format!(
            "the object is a {name} file, which is not supported; convert it with: qemu-img convert -O qcow2 FILE disk.qcow2"
        )));
    } else if is_bootable_raw(head) {
        // A hybrid ISO has a boot signature as well and is a disk; see below for those that have none.
        if !size.is_multiple_of(SECTOR) {
            return Err(Refusal::new(format!(
                "the raw image is {size} bytes long, not a multiple of {SECTOR}: was the upload cut short?"
            )));
        }
        Detected { format: "raw", virtual_size: size }
    } else if has(head, 0x8001, b"CD001") {
        return Err(Refusal::new(
            "the object is an ISO 9660 file without a disk boot sector; upload an installed disk in qcow2 or raw format",
        ));
    } else {
        return Err(Refusal::new(
            "the object is no disk image: neither a qcow2 header nor an MBR or GPT boot signature was found",
        ));
    };
    if detected.virtual_size > VIRTUAL_BYTES_MAX {
        return Err(Refusal::new(format!(
            "the image's disk has {} bytes, more than the largest allowed ({VIRTUAL_BYTES_MAX})",
            detected.virtual_size
        )));
    }
    Ok(detected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(head: &[u8], tail: &[u8]) -> String {
        detect(head, tail, 1 << 20).expect_err("refused").0
    }

    #[test]
    fn raw_disks_need_a_boot_signature() {
        let mut disk = vec![0; HEAD_BYTES];
        assert!(refusal(&disk, &[]).contains("no disk image"));
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(detect(&disk, &[], 1 << 20), Ok(Detected { format: "raw", virtual_size: 1 << 20 }));
        assert!(detect(&disk, &[], (1 << 20) + 1).expect_err("odd").0.contains("cut short"));
        assert!(detect(&disk, &[], (16 << 40) + 512).expect_err("large").0.contains("largest allowed"));
        assert!(detect(&[], &[], 0).is_err());
        assert!(refusal(b"#!/bin/sh\n", &[]).contains("no disk image"));
    }

    #[test]
    fn other_formats_are_named() {
        let at = |offset: usize, magic: &[u8]| {
            let mut head = vec![0; HEAD_BYTES];
            // Even with a boot signature: a host tool would probe the other format.
            head[510..512].copy_from_slice(&[0x55, 0xaa]);
            head[offset..offset + magic.len()].copy_from_slice(magic);
            head
        };
        for (head, name) in [
            (at(0, b"KDMV"), "VMDK"),
            (at(0, b"# Disk DescriptorFile"), "VMDK"),
            (at(0, b"\nversion=1\ncreateType=\"monolithicFlat\""), "VMDK"),
            (at(0x40, &0xbeda_107f_u32.to_le_bytes()), "VDI"),
            (at(0, b"vhdxfile"), "VHDX"),
            (at(0, b"conectix"), "VHD"),
            (at(257, b"ustar"), "OVA"),
            (at(0, b"\x1f\x8b"), "gzip"),
            (at(0, b"LUKS\xba\xbe"), "LUKS"),
        ] {
            assert!(refusal(&head, &[]).contains(name), "{name}");
        }
        assert!(refusal(&at(0, b""), b"conectix").contains("VHD"), "a fixed VHD has its header at the end");
        let mut iso = vec![0; HEAD_BYTES];
        iso[0x8001..0x8006].copy_from_slice(b"CD001");
        assert!(refusal(&iso, &[]).contains("ISO 9660"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(head in proptest::collection::vec(0u8.., 0..2048), size in 0u64..) {
            drop(detect(&head, &head, size));
            let mut qcow = b"QFI\xfb".to_vec();
            qcow.extend(head);
            drop(detect(&qcow, &[], size));
        }
    }
}
