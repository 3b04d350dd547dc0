//! QR codes as PNG pictures.

use qrcodegen::{QrCode, QrCodeEcc};

/// Dots along the edge of one module.
const DOTS: usize = 4;
/// Modules of white around the code (the standard's quiet zone).
const QUIET: usize = 4;
/// Largest block that is stored without compression (RFC 1951).
const STORED_MAX: usize = 0xffff;

/// The code of a text as a grey PNG, or none if the text is longer than a QR code takes (2,953 bytes).
#[must_use]
pub fn png(text: &str) -> Option<Vec<u8>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = usize::try_from(code.size()).ok()?;
    let edge = (size + 2 * QUIET) * DOTS;
    let module = |dot: usize| i32::try_from(dot / DOTS).unwrap_or_default() - i32::try_from(QUIET).unwrap_or_default();
    let mut dots = Vec::with_capacity(edge * (edge + 1));
    for y in 0..edge {
        // Each line begins with its filter: none.
        dots.push(0);
        dots.extend((0..edge).map(|x| if code.get_module(module(x), module(y)) { 0u8 } else { 255 }));
    }
    let edge = u32::try_from(edge).ok()?.to_be_bytes();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    // 8 bits of grey, deflate, no filter, not interlaced.
    chunk(&mut out, b"IHDR", &[&edge[..], &edge[..], &[8, 0, 0, 0, 0]].concat());
    chunk(&mut out, b"IDAT", &zlib(&dots));
    chunk(&mut out, b"IEND", &[]);
    Some(out)
}

/// A zlib stream of stored blocks (RFC 1950, 1951).
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut rest = data.chunks(STORED_MAX).peekable();
    while let Some(block) = rest.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(rest.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    let body = [kind, data].concat();
    out.extend(&body);
    out.extend(crc32(&body).to_be_bytes());
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_standards() {
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
        assert_eq!(zlib(b"Wikipedia").split_at(16).1, 0x11e6_0398_u32.to_be_bytes());
    }

    #[test]
    fn a_picture_has_its_parts() {
        let picture = png("otpauth://totp/x?secret=ABC").unwrap();
        assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"));
        assert!(picture.ends_with(&[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]));
        assert!(png(&"x".repeat(4000)).is_none());
    }
}
