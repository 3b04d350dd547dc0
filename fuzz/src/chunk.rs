//! `aws-chunked` bodies. The first bytes say which form, how long the body is said to be, and how it is cut. As it is, a
//! body says the same however it is cut. Signed here, it gives back what was signed; with a bit turned, nothing that was
//! not signed.

use bytes::Bytes;
use mallee_awswire::sigv4::{ChunkContext, ChunkEvent, ChunkKind, SigningKey};

const TIMESTAMP: &str = "20130524T000000Z";
const SCOPE: &str = "20130524/us-east-1/s3/aws4_request";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const TRAILER: &str = "x-amz-checksum-crc32";
/// Most chunks of a body that is made here.
const CHUNKS_MAX: usize = 64;
const KINDS: [ChunkKind; 3] = [ChunkKind::Signed, ChunkKind::SignedTrailer, ChunkKind::UnsignedTrailer];

fn key() -> SigningKey {
    SigningKey::new(&[7; 32])
}

/// The data and the trailers; none if the body is refused.
type Decoded = Option<(Vec<u8>, Vec<(String, String)>)>;

fn decode(kind: ChunkKind, length: u64, body: &[u8], cut: usize) -> Decoded {
    let context = ChunkContext::new(kind, key(), TIMESTAMP.to_owned(), SCOPE.to_owned(), [1; 32]);
    let announced: &[&str] = if kind == ChunkKind::Signed { &[] } else { &[TRAILER] };
    let (mut verifier, mut events) = (context.verifier(length, announced), Vec::new());
    for piece in body.chunks(cut.max(1)) {
        verifier.push(Bytes::copy_from_slice(piece), &mut events).ok()?;
    }
    verifier.finish(&mut events).ok()?;
    let (mut data, mut trailers) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            ChunkEvent::Data(piece) => data.extend_from_slice(&piece),
            ChunkEvent::Trailers(all) => trailers.extend(all),
        }
    }
    assert_eq!(data.len() as u64, length, "as long as it was said to be");
    Some((data, trailers))
}

fn sha256(data: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, data))
}

/// The body of these bytes in chunks of at most `size`, as AWS describes it.
fn encode(kind: ChunkKind, data: &[u8], size: usize, value: &str) -> Vec<u8> {
    let (key, mut previous, mut out) = (key(), hex::encode([1; 32]), Vec::new());
    for chunk in data.chunks(size).chain([&b""[..]]) {
        if kind == ChunkKind::UnsignedTrailer {
            out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        } else {
            let text =
                format!("AWS4-HMAC-SHA256-PAYLOAD\n{TIMESTAMP}\n{SCOPE}\n{previous}\n{EMPTY}\n{}", sha256(chunk));
            previous = hex::encode(key.sign(text.as_bytes()));
            out.extend(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).bytes());
        }
        if !chunk.is_empty() {
            out.extend(chunk);
            out.extend(b"\r\n");
        }
    }
    if kind != ChunkKind::Signed {
        out.extend(format!("{TRAILER}:{value}\r\n").bytes());
    }
    if kind == ChunkKind::SignedTrailer {
        let hash = sha256(format!("{TRAILER}:{value}\n").as_bytes());
        let text = format!("AWS4-HMAC-SHA256-TRAILER\n{TIMESTAMP}\n{SCOPE}\n{previous}\n{hash}");
        out.extend(format!("x-amz-trailer-signature:{}\r\n", hex::encode(key.sign(text.as_bytes()))).bytes());
    }
    out.extend(b"\r\n");
    out
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let [kind, length, cut, size, turned, bit, body @ ..] = data else { return };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    // Few chunks: each takes a signature.
    let (cut, size) = (usize::from(*cut), usize::from(*size).max(1 + body.len() / CHUNKS_MAX));
    let whole = decode(kind, u64::from(*length), body, body.len());
    assert_eq!(decode(kind, u64::from(*length), body, cut), whole, "however it is cut");

    let mut encoded = encode(kind, body, size, "AAAAAA==");
    let trailers = if kind == ChunkKind::Signed { vec![] } else { vec![(TRAILER.to_owned(), "AAAAAA==".to_owned())] };
    let length = body.len() as u64;
    assert_eq!(decode(kind, length, &encoded, cut), Some((body.to_vec(), trailers)), "what was signed");
    let at = usize::from(*turned) % encoded.len();
    encoded[at] ^= 1 << (bit % 8);
    let forged = decode(kind, length, &encoded, cut);
    if kind != ChunkKind::UnsignedTrailer
        && let Some((forged, _)) = forged
    {
        assert_eq!(forged, body, "bytes that nobody signed");
    }
}
