//! PKCS#7 SignedData (RFC 2315; CMS of RFC 5652, version 1) with the content in it and one signer, without attributes: what is
//! signed is the content itself, so that the signature is the one that is given alone too.

use crate::keys::der::{INTEGER, OCTET_STRING, RSA_ALGORITHM, SEQUENCE, tlv};

const SET: u8 = 0x31;
/// `[0] EXPLICIT`.
const TAGGED: u8 = 0xa0;
/// 1.2.840.113549.1.7.2
const SIGNED_DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.7.1
const DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// `SEQUENCE { OID 2.16.840.1.101.3.4.2.1 sha256, NULL }`
const SHA256: [u8; 15] = [0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];

/// Who has signed: of its certificate the issuer's name (DER) and the serial number (its content).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedBy {
    pub(super) issuer: Vec<u8>,
    pub(super) serial: Vec<u8>,
}

/// The content with its signature: RSA (PKCS#1 v1.5) with SHA-256.
pub(super) fn signed_data(content: &[u8], signature: &[u8], by: &SignedBy) -> Vec<u8> {
    let one = tlv(INTEGER, &[1]);
    let certificate = tlv(SEQUENCE, &[by.issuer.clone(), tlv(INTEGER, &by.serial)].concat());
    let signer = [one.clone(), certificate, SHA256.to_vec(), RSA_ALGORITHM.to_vec(), tlv(OCTET_STRING, signature)];
    let content = tlv(SEQUENCE, &[DATA.to_vec(), tlv(TAGGED, &tlv(OCTET_STRING, content))].concat());
    let signed = [one, tlv(SET, &SHA256), content, tlv(SET, &tlv(SEQUENCE, &signer.concat()))];
    tlv(SEQUENCE, &[SIGNED_DATA.to_vec(), tlv(TAGGED, &tlv(SEQUENCE, &signed.concat()))].concat())
}
