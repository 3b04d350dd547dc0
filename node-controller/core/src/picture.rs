//! Pictures of screens as PNG (RFC 2083), for `GetConsoleScreenshot`. Screens are mostly one colour, so runs are all
//! that is compressed: one fixed-Huffman block of literals and distance-one matches (RFC 1950, 1951).

/// Widest and highest screen taken, in pixels.
pub const SIDE_MAX: u32 = 4096;
/// The longest match deflate has.
const RUN_MAX: usize = 258;
/// The shortest.
const RUN_MIN: usize = 3;

/// A screen, row by row, three bytes (red, green, blue) a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width × height × 3` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Reads a binary PPM (`P6`, maxval 255), which is what QEMU writes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_ppm(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes;
        let mut words = Vec::with_capacity(4);
        while words.len() < 4 {
            let word = next_word(&mut rest).ok_or("it ends in its head")?;
            words.push(word);
        }
        let number = |at: usize| words.get(at).and_then(|w: &&str| w.parse::<u32>().ok()).ok_or("a bad number");
        let (width, height) = (number(1)?, number(2)?);
        if words.first() != Some(&"P6") || number(3)? != 255 {
            return Err("it is no PPM of 8 bits a colour".to_owned());
        }
        if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX {
            return Err(format!("{width} × {height} is no screen"));
        }
        let size = width as usize * height as usize * 3;
        let rgb = rest.get(..size).ok_or("it ends in its pixels")?.to_vec();
        Ok(Self { width, height, rgb })
    }

    /// The picture as a PNG file: by palette where it has at most 256 colours, as text screens do.
    #[must_use]
    pub fn to_png(&self) -> Vec<u8> {
        let (kind, palette, pixel) = match self.palette() {
            Some((palette, indexes)) => (3u8, palette, (1, indexes)),
            None => (2u8, Vec::new(), (3, self.rgb.clone())),
        };
        let (bytes_a_pixel, pixels) = pixel;
        let row = self.width as usize * bytes_a_pixel;
        let mut raw = Vec::with_capacity(pixels.len() + self.height as usize);
        for line in pixels.chunks(row.max(1)) {
            // No filter.
            raw.push(0);
            raw.extend_from_slice(line);
        }
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut head = Vec::with_capacity(13);
        head.extend_from_slice(&self.width.to_be_bytes());
        head.extend_from_slice(&self.height.to_be_bytes());
        head.extend_from_slice(&[8, kind, 0, 0, 0]);
        chunk(&mut out, *b"IHDR", &head);
        if !palette.is_empty() {
            chunk(&mut out, *b"PLTE", &palette);
        }
        chunk(&mut out, *b"IDAT", &zlib(&raw));
        chunk(&mut out, *b"IEND", &[]);
        out
    }

    /// The colours, and each pixel as the number of its colour; `None`: there are more than 256.
    fn palette(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut numbers = std::collections::HashMap::new();
        let mut palette = Vec::new();
        let mut indexes = Vec::with_capacity(self.rgb.len() / 3);
        for colour in self.rgb.chunks_exact(3) {
            let number = match numbers.get(colour) {
                Some(number) => *number,
                None => {
                    let number = u8::try_from(numbers.len()).ok()?;
                    numbers.insert(colour, number);
                    palette.extend_from_slice(colour);
                    number
                }
            };
            indexes.push(number);
        }
        Some((palette, indexes))
    }
}

/// The next word of a PPM's head and the one white byte after it; comments are passed over.
fn next_word<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    loop {
        match rest.first()? {
            b'#' => *rest = rest.get(rest.iter().position(|b| *b == b'\n')?..)?,
            b if b.is_ascii_whitespace() => *rest = rest.get(1..)?,
            _ => break,
        }
    }
    let end = rest.iter().position(u8::is_ascii_whitespace)?;
    let (word, after) = rest.split_at(end);
    *rest = after.get(1..)?;
    std::str::from_utf8(word).ok()
}

fn chunk(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    let begin = out.len();
    out.extend_from_slice(&kind);
    out.extend_from_slice(data);
    let sum = crc32(out.get(begin..).unwrap_or_default());
    out.extend_from_slice(&sum.to_be_bytes());
}

/// PNG's checksum (ISO 3309), bit by bit: a picture is small.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

fn adler32(bytes: &[u8]) -> u32 {
    const BASE: u32 = 65_521;
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % BASE;
        b = (b + a) % BASE;
    }
    (b << 16) | a
}

/// Bits, least significant first.
#[derive(Debug, Default)]
struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, bits: u32) {
        self.held |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.out.push(self.held.to_le_bytes()[0]);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Huffman codes come most significant bit first.
    fn code(&mut self, code: u32, bits: u32) {
        self.put(code.reverse_bits() >> (32 - bits), bits);
    }

    /// A literal or length of the fixed code (RFC 1951, 3.2.6).
    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..=143 => self.code(0x30 + symbol, 8),
            144..=255 => self.code(0x190 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    /// A repetition of the byte before, 3 to 258 times (RFC 1951, 3.2.5).
    fn run(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(3);
        let (symbol, base, extra) = match length {
            258 => (285, 258, 0),
            0..=10 => (254 + length, length, 0),
            _ => {
                // Groups of four codes, each group with one extra bit more.
                let extra = (length - 3).ilog2() - 2;
                let group = (length - 3) >> extra;
                (257 + extra * 4 + group, ((group) << extra) + 3, extra)
            }
        };
        self.symbol(symbol);
        self.put(length - base, extra);
        // Distance one: code 0 of five bits.
        self.code(0, 5);
    }
}

fn zlib(data: &[u8]) -> Vec<u8> {
    // Deflate with a window of 32 KiB, fastest.
    let mut bits = Bits { out: vec![0x78, 0x01], ..Bits::default() };
    // The last block, with fixed codes.
    bits.put(1, 1);
    bits.put(1, 2);
    let mut at = 0;
    while let Some(byte) = data.get(at) {
        bits.symbol(u32::from(*byte));
        at += 1;
        let mut same = data.get(at..).unwrap_or_default().iter().take_while(|b| *b == byte).count();
        while same >= RUN_MIN {
            let length = same.min(RUN_MAX);
            bits.run(length);
            at += length;
            same -= length;
        }
    }
    bits.symbol(256);
    // To the next byte.
    bits.put(0, 7);
    let mut out = bits.out;
    out.extend_from_slice(&adler32(data).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn every_length_has_its_code() {
        // Length, symbol, base of the symbol (RFC 1951, 3.2.5).
        for (length, symbol, base) in [
            (3, 257, 3),
            (10, 264, 10),
            (11, 265, 11),
            (12, 265, 11),
            (18, 268, 17),
            (19, 269, 19),
            (34, 272, 31),
            (35, 273, 35),
            (66, 276, 59),
            (67, 277, 67),
            (131, 281, 131),
            (257, 284, 227),
            (258, 285, 258),
        ] {
            let mut got = Bits::default();
            got.run(length);
            got.put(0, 7);
            let mut want = Bits::default();
            want.symbol(symbol);
            let extra = match symbol {
                265..=268 => 1,
                269..=272 => 2,
                273..=276 => 3,
                277..=280 => 4,
                281..=284 => 5,
                _ => 0,
            };
            want.put(u32::try_from(length).unwrap() - base, extra);
            want.code(0, 5);
            want.put(0, 7);
            assert_eq!(got.out, want.out, "{length}");
        }
    }

    #[test]
    fn a_ppm_is_read_and_bad_ones_are_not() {
        let picture = Picture::from_ppm(b"P6\n# by QEMU\n2 1\n255\nabcdef").unwrap();
        assert_eq!(picture, Picture { width: 2, height: 1, rgb: b"abcdef".to_vec() });
        for bad in [&b"P5 1 1 255 aaa"[..], b"P6 2 1 255\nabc", b"P6 0 1 255\n", b"P6 99999 1 255\n", b"P6 1", b""] {
            assert!(Picture::from_ppm(bad).is_err());
        }
        let png = picture.to_png();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.windows(4).any(|w| w == b"PLTE"));
    }
}
