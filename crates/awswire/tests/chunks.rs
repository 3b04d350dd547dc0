//! `aws-chunked` bodies, signed here from AWS's description, fed in every way of cutting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{How, S3, SECRET, Table, raw, signed, verify};
use mallee_awswire::sigv4::{
    ChunkContext, ChunkError, ChunkEvent, ChunkKind, EMPTY_SHA256, Payload, SigningKey, derive_signing_key,
};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use time::macros::datetime;

const TIMESTAMP: &str = "20130524T000000Z";
const SCOPE: &str = "20130524/us-east-1/s3/aws4_request";

fn key(secret: &str) -> SigningKey {
    SigningKey::new(derive_signing_key(&secret.into(), "20130524", "us-east-1", "s3").expose_secret())
}

fn sha(data: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, data))
}

fn context(kind: ChunkKind, secret: &str, seed: &str) -> ChunkContext {
    let mut bytes = [0; 32];
    hex::decode_to_slice(seed, &mut bytes).unwrap();
    ChunkContext::new(kind, key(secret), TIMESTAMP.to_owned(), SCOPE.to_owned(), bytes)
}

/// Encodes a body; `trailers` only for the forms that have them.
fn encode(kind: ChunkKind, seed: &str, chunks: &[&[u8]], trailers: &[(&str, &str)]) -> Vec<u8> {
    let key = key(SECRET);
    let mut previous = seed.to_owned();
    let mut out = Vec::new();
    for chunk in chunks.iter().copied().chain([&b""[..]]) {
        if kind == ChunkKind::UnsignedTrailer {
            out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        } else {
            let text =
                format!("AWS4-HMAC-SHA256-PAYLOAD\n{TIMESTAMP}\n{SCOPE}\n{previous}\n{EMPTY_SHA256}\n{}", sha(chunk));
            previous = hex::encode(key.sign(text.as_bytes()));
            out.extend(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).bytes());
        }
        if !chunk.is_empty() {
            out.extend(chunk);
            out.extend(b"\r\n");
        }
    }
    let mut canonical = String::new();
    for (n, v) in trailers {
        out.extend(format!("{n}:{v}\r\n").bytes());
        canonical.push_str(&format!("{n}:{v}\n"));
    }
    if kind == ChunkKind::SignedTrailer {
        let text = format!("AWS4-HMAC-SHA256-TRAILER\n{TIMESTAMP}\n{SCOPE}\n{previous}\n{}", sha(canonical.as_bytes()));
        out.extend(format!("x-amz-trailer-signature:{}\r\n", hex::encode(key.sign(text.as_bytes()))).bytes());
    }
    out.extend(b"\r\n");
    out
}

type Decoded = (Vec<u8>, Vec<(String, String)>);

fn decode(ctx: ChunkContext, length: u64, announced: &[&str], body: &[u8], step: usize) -> Result<Decoded, ChunkError> {
    let mut decoder = ctx.verifier(length, announced);
    let mut events = Vec::new();
    for piece in body.chunks(step.max(1)) {
        decoder.push(Bytes::copy_from_slice(piece), &mut events)?;
    }
    decoder.finish(&mut events)?;
    let (mut data, mut trailers) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            ChunkEvent::Data(d) => data.extend(d),
            ChunkEvent::Trailers(t) => trailers = t,
        }
    }
    Ok((data, trailers))
}

/// The example of AWS's documentation: 65 KiB of `a` in chunks of 64 KiB and 1 KiB, with its published signatures.
#[test]
fn the_documented_example() {
    let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let mut body = Vec::new();
    for (size, signature) in [
        (65_536usize, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (1_024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ] {
        body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend(b"\r\n");
    }
    for step in [1, 7, 1000, 1 << 20] {
        let (data, trailers) = decode(context(ChunkKind::Signed, secret, seed), 66_560, &[], &body, step).unwrap();
        assert_eq!((data.len(), trailers.len()), (66_560, 0));
    }
    let one_less = decode(context(ChunkKind::Signed, secret, seed), 66_559, &[], &body, 4096);
    assert_eq!(one_less, Err(ChunkError::Length));
    let cut = decode(context(ChunkKind::Signed, secret, seed), 66_560, &[], &body[..body.len() - 2], 4096);
    assert_eq!(cut, Err(ChunkError::Length));
}

const SEED: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
const KINDS: [ChunkKind; 3] = [ChunkKind::Signed, ChunkKind::SignedTrailer, ChunkKind::UnsignedTrailer];
const CRC: (&str, &str) = ("x-amz-checksum-crc32c", "sOO8/Q==");

proptest! {
    #[test]
    fn every_form_decodes_however_it_is_cut(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..5),
        kind in prop_oneof![Just(KINDS[0]), Just(KINDS[1]), Just(KINDS[2])],
        step in 1usize..300,
    ) {
        let parts: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let has = kind != ChunkKind::Signed;
        let trailers: &[(&str, &str)] = if has { &[CRC] } else { &[] };
        let announced: &[&str] = if has { &["X-Amz-Checksum-Crc32c"] } else { &[] };
        let body = encode(kind, SEED, &parts, trailers);
        let want = chunks.concat();
        let got = decode(context(kind, SECRET, SEED), want.len() as u64, announced, &body, step).unwrap();
        prop_assert_eq!(got.0, want);
        prop_assert_eq!(got.1.len(), trailers.len());
    }

    #[test]
    fn noise_never_panics(body in proptest::collection::vec(any::<u8>(), 0..300), step in 1usize..40) {
        for kind in KINDS {
            let _unused = decode(context(kind, SECRET, SEED), 10, &[], &body, step);
        }
    }
}

#[test]
fn every_changed_byte_of_a_signed_body_is_refused() {
    for kind in [ChunkKind::Signed, ChunkKind::SignedTrailer] {
        let has = kind == ChunkKind::SignedTrailer;
        let trailers: &[(&str, &str)] = if has { &[CRC] } else { &[] };
        let announced: &[&str] = if has { &[CRC.0] } else { &[] };
        let body = encode(kind, SEED, &[b"hello", b"world"], trailers);
        assert!(decode(context(kind, SECRET, SEED), 10, announced, &body, 9).is_ok());
        for at in 0..body.len() {
            for flip in [1, 0x20, 0x80] {
                let mut other = body.clone();
                other[at] ^= flip;
                let answer = decode(context(kind, SECRET, SEED), 10, announced, &other, 9);
                // The name of a trailer in another case is the same name.
                let same = answer
                    .as_ref()
                    .is_ok_and(|(d, t)| d == b"helloworld" && t.iter().all(|t| (t.0.as_str(), t.1.as_str()) == CRC));
                let in_trailer = body.windows(6).position(|w| w == b"x-amz-").is_some_and(|start| at >= start);
                assert!(answer.is_err() || (same && in_trailer), "byte {at} ^ {flip:#x}: {answer:?}");
            }
        }
        // Chunks in another order, and a chunk left out.
        let swapped = encode(kind, SEED, &[b"world", b"hello"], trailers);
        let cut = swapped.windows(5).position(|w| w == b"world").unwrap();
        let mut mixed = body.clone();
        mixed[cut..cut + 5].copy_from_slice(b"world");
        assert!(decode(context(kind, SECRET, SEED), 10, announced, &mixed, 64).is_err());
    }
}

#[test]
fn bad_framing_and_trailers() {
    let unsigned = |body: &str, announced: &[&str]| {
        decode(context(ChunkKind::UnsignedTrailer, SECRET, SEED), 5, announced, body.as_bytes(), 3)
    };
    let crc = &[CRC.0][..];
    assert!(unsigned("5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n\r\n", crc).is_ok());
    // Some clients leave out the last line end.
    assert!(unsigned("5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n", crc).is_ok());
    for (body, announced, want) in [
        ("5\r\nhello\r\n0\r\n\r\n", crc, ChunkError::Trailer("one is missing")),
        ("5\r\nhello\r\n0\r\nx-amz-checksum-sha1:x\r\n\r\n", crc, ChunkError::Trailer("not announced")),
        ("5\r\nhello\r\n0\r\na:1\r\na:2\r\n\r\n", &["a"][..], ChunkError::Trailer("given twice")),
        ("6\r\nhello!\r\n0\r\n\r\n", &[][..], ChunkError::Length),
        ("4\r\nhell\r\n0\r\n\r\n", &[][..], ChunkError::Length),
        ("5\r\nhelloX\r\n0\r\n\r\n", &[][..], ChunkError::Malformed("no line end after the data")),
        ("5\nhello\r\n0\r\n\r\n", &[][..], ChunkError::Malformed("a line does not end in CR LF")),
        ("x\r\nhello\r\n", &[][..], ChunkError::Malformed("chunk size")),
        ("ffffffffffffffff\r\n", &[][..], ChunkError::Length),
        ("10000000000000000\r\n", &[][..], ChunkError::Malformed("chunk size")),
        ("5;chunk-signature=0\r\n", &[][..], ChunkError::Malformed("an extension in an unsigned chunk")),
        ("5\r\nhello\r\n0\r\n\r\nmore", &[][..], ChunkError::Malformed("bytes after the end")),
    ] {
        assert_eq!(unsigned(body, announced), Err(want), "{body:?}");
    }
    let long = "0".repeat(1000);
    assert_eq!(unsigned(&long, &[]), Err(ChunkError::Malformed("a line is too long")));
    let signed_kind = decode(context(ChunkKind::Signed, SECRET, SEED), 5, &[], b"5\r\nhello\r\n0\r\n\r\n", 3);
    assert_eq!(signed_kind, Err(ChunkError::Malformed("a chunk is not signed")));
}

/// From a request signed by AWS's crate to the chunks signed by AWS's crate.
#[test]
fn chunks_of_awss_own_crate() {
    let now = datetime!(2026-01-02 03:04:05 UTC);
    let put = raw("PUT", "/b/k", &[("x-amz-decoded-content-length", "10")], "");
    let how = How { payload: Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"), ..How::default() };
    let sent = signed(&put, S3, how, now);
    let answer = verify(&sent, S3, Table::default(), now).unwrap();
    let Payload::Chunked(context) = answer.payload else { panic!("not chunked") };

    let identity = aws_credential_types::Credentials::new(common::KEY, SECRET, None, None, "test").into();
    let params: aws_sigv4::sign::v4::SigningParams<'_, ()> = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region("eucalyptus")
        .name("s3")
        .time(now.into())
        .settings(())
        .build()
        .unwrap();
    let mut previous = hex::encode(answer.claim.signature);
    let mut body = Vec::new();
    for chunk in [&b"hello"[..], b"world", b""] {
        let (_, signature) =
            aws_sigv4::sign::v4::sign_chunk(&Bytes::copy_from_slice(chunk), &previous, &params).unwrap().into_parts();
        body.extend(format!("{:x};chunk-signature={signature}\r\n", chunk.len()).bytes());
        if !chunk.is_empty() {
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        previous = signature;
    }
    let mut headers = http::HeaderMap::new();
    headers.insert(CRC.0, CRC.1.parse().unwrap());
    let headers = aws_smithy_runtime_api::http::Headers::try_from(headers).unwrap();
    let (_, signature) = aws_sigv4::sign::v4::sign_trailer(&headers, &previous, &params).unwrap().into_parts();
    body.extend(format!("{}:{}\r\nx-amz-trailer-signature:{signature}\r\n\r\n", CRC.0, CRC.1).bytes());
    let (data, trailers) = decode(*context, 10, &[CRC.0], &body, 11).unwrap();
    assert_eq!(data, b"helloworld");
    assert_eq!(trailers, [(CRC.0.to_owned(), CRC.1.to_owned())]);
}
