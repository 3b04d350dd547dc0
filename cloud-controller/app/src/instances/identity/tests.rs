//! What is signed is what `openssl` verifies by the certificate. (That one key is the whole cloud's: `api-ec2/tests`.)

use super::signer::self_signed;
use super::*;
use mallee_proto::v1::{InstanceSpec, Metadata, Port};
use mallee_runtime::Rng;
use std::path::Path;
use std::process::Command;

fn intent(n: u8) -> Unsigned {
    let port = |device_index, last: u8| Port { private_ip: format!("10.0.0.{last}"), device_index, ..Port::default() };
    let metadata = Metadata {
        image_id: "ami-1".into(),
        region: "eu-1".into(),
        zone: "zone-a".into(),
        launch_time_ms: 1_700_000_000_000,
        ..Metadata::default()
    };
    let spec = InstanceSpec {
        instance_type: "t3.nano".into(),
        ports: vec![port(1, 99), port(0, n)],
        metadata: Some(metadata),
        ..InstanceSpec::default()
    };
    let intent = InstanceIntent {
        id: format!("i-{n}"),
        account_id: "123456789012".into(),
        spec: Some(spec),
        ..InstanceIntent::default()
    };
    Unsigned { intent, architecture: "x86_64".into() }
}

/// Whether `openssl` succeeds, and what it writes.
fn openssl(folder: &Path, line: &str) -> (bool, Vec<u8>) {
    let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
    (output.status.success(), output.stdout)
}

#[tokio::test]
async fn openssl_verifies_what_is_signed() {
    let key = make_rsa().await.unwrap().private_pem;
    let certificate = self_signed(&key, "eu-1", 1_700_000_000_000, &Rng::seeded(1)).unwrap();
    let signer = Signer::new(&key, certificate).unwrap();
    let signed = |n: u8| {
        let Unsigned { intent, architecture } = intent(n);
        signer.sign(document::of(&intent, &architecture).unwrap()).unwrap()
    };
    let identity = signed(7);
    assert_eq!(signed(7), identity, "always the same");
    assert_ne!(signed(8).signature, identity.signature);
    let document: serde_json::Value = serde_json::from_str(&identity.document).unwrap();
    for (name, value) in [
        ("accountId", "123456789012"),
        ("architecture", "x86_64"),
        ("availabilityZone", "zone-a"),
        ("imageId", "ami-1"),
        ("instanceId", "i-7"),
        ("instanceType", "t3.nano"),
        ("pendingTime", "2023-11-14T22:13:20Z"),
        ("privateIp", "10.0.0.7"),
        ("region", "eu-1"),
    ] {
        assert_eq!(document[name], value);
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(at.join(name), bytes).unwrap();
    write("certificate", signer.certificate_pem().as_bytes());
    write("document", identity.document.as_bytes());
    write("signature", &identity.signature);
    write("pkcs7", &identity.pkcs7);
    // As the guide of AWS says, with the issuer unverified; and with the certificate as the one that is trusted.
    let ways = [
        "smime -verify -in pkcs7 -inform DER -certfile certificate -noverify",
        "smime -verify -in pkcs7 -inform DER -certfile certificate -CAfile certificate",
        "cms -verify -in pkcs7 -inform DER -certfile certificate -noverify",
        "cms -verify -in pkcs7 -inform DER -certfile certificate -CAfile certificate",
    ];
    for way in ways {
        assert_eq!(openssl(at, way), (true, identity.document.clone().into_bytes()), "{way}");
    }
    let (read, public) = openssl(at, "x509 -in certificate -pubkey -noout");
    assert!(read);
    write("public", &public);
    let alone = "dgst -sha256 -verify public -signature signature document";
    assert!(openssl(at, alone).0);
    // One letter less is another document.
    write("document", identity.document.replace("i-7", "i-8").as_bytes());
    assert!(!openssl(at, alone).0);
    let start = identity.pkcs7.windows(3).position(|part| part == b"i-7").unwrap();
    let mut forged = identity.pkcs7.clone();
    forged[start + 2] = b'8';
    write("pkcs7", &forged);
    for way in ways {
        assert!(!openssl(at, way).0, "{way}");
    }
}
