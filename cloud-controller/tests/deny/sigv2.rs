//! Signature version 2: off unless the operator switched it on; forged, late and expired ones are refused, and leave
//! nothing behind.

use crate::world::{Answer, HOST, Keys, World};
use crate::{ALL, HOUR, NONE};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;

fn encode(text: &str) -> String {
    // Digits, letters and `-` are all that these values have besides what is escaped.
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%2D", "-").replace("%2E", ".")
}

/// One call of a Query service as old clients send it; `time` is `Timestamp` or `Expires`.
async fn call(world: &World, service: &str, action: &str, keys: &Keys, time: &str, seconds_off: i64) -> Answer {
    let version = if service == "ec2" { "2016-11-15" } else { "2010-05-08" };
    let at = world.cloud.clock().now() + time::Duration::seconds(seconds_off);
    let at = at.replace_nanosecond(0).unwrap();
    let at = at.format(&time::format_description::well_known::Rfc3339).unwrap();
    let mut pairs = vec![
        ("Action", action),
        ("Version", version),
        ("AWSAccessKeyId", &keys.id),
        ("SignatureMethod", "HmacSHA256"),
        ("SignatureVersion", "2"),
        (time, &at),
    ];
    match action {
        "CreateKeyPair" => pairs.push(("KeyName", "old")),
        "CreateUser" => pairs.push(("UserName", "old")),
        _ => {}
    }
    if let Some(token) = &keys.token {
        pairs.push(("SecurityToken", token));
    }
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let form = pairs.join("&");
    let key = hmac::Key::new(hmac::HMAC_SHA256, keys.secret.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, format!("POST\n{HOST}\n/\n{form}").as_bytes()));
    let form = format!("{form}&Signature={}", encode(&signature));
    let request = Request::builder().method("POST").uri("/").header("host", HOST);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    world.send(request.body(Body::from(form)).unwrap()).await
}

/// One S3 request, signed in the query string for so many seconds from now.
async fn s3(world: &World, method: &str, path: &str, keys: &Keys, seconds: i64) -> Answer {
    let end = world.cloud.clock().now().unix_timestamp() + seconds;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, keys.secret.as_bytes());
    let token = keys.token.as_ref().map(|token| format!("x-amz-security-token:{token}\n")).unwrap_or_default();
    let text = format!("{method}\n\n\n{end}\n{token}{path}");
    let signature = encode(&STANDARD.encode(hmac::sign(&key, text.as_bytes())));
    let mut uri = format!("{path}?AWSAccessKeyId={}&Expires={end}&Signature={signature}", keys.id);
    if let Some(token) = &keys.token {
        uri.push_str(&format!("&x-amz-security-token={}", encode(token)));
    }
    world.send(Request::builder().method(method).uri(uri).header("host", HOST).body(Body::empty()).unwrap()).await
}

const CALLS: [(&str, &str); 4] =
    [("ec2", "CreateKeyPair"), ("ec2", "DescribeKeyPairs"), ("iam", "CreateUser"), ("iam", "ListUsers")];

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_until_it_is_switched_on() {
    let world = World::new().await;
    let before = world.fingerprint();
    for (service, action) in CALLS {
        let answer = call(&world, service, action, &world.root, "Timestamp", 0).await;
        assert_eq!((answer.status, answer.code.as_str()), (400, "IncompleteSignature"), "{}", answer.text);
        assert!(answer.text.contains("--allow-sigv2"), "{}", answer.text);
    }
    assert_eq!(world.fingerprint(), before);
    world.cloud.allow_sigv2();
    for (service, action) in CALLS {
        let answer = call(&world, service, action, &world.root, "Timestamp", 0).await;
        assert_eq!(answer.status, 200, "{action}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_by_the_old_door() {
    let world = World::new().await;
    world.cloud.allow_sigv2();
    let denied = world.user("denied", &[ALL, NONE], None).await;
    world.user("mighty", &[ALL], None).await;
    let session = world.session("mighty", &[NONE], HOUR * 1000).await;
    let over = world.session("denied", &[ALL], -1).await;
    let wrong = Keys { secret: "not the secret of this key at all, is it".to_owned(), ..world.root.clone() };
    let nobody = Keys { id: "AKIAAAAAAAAAAAAAAAAA".to_owned(), ..world.root.clone() };
    let tokenless = Keys { token: None, ..session.clone() };
    let stranger = Keys { token: Some("another".to_owned()), ..world.root.clone() };
    let cases = [
        (&denied, "Timestamp", 0),
        (&session, "Timestamp", 0),
        (&over, "Timestamp", 0),
        (&wrong, "Timestamp", 0),
        (&nobody, "Timestamp", 0),
        (&tokenless, "Timestamp", 0),
        (&stranger, "Timestamp", 0),
        (&world.root, "Timestamp", -HOUR),
        (&world.root, "Timestamp", HOUR),
        (&world.root, "Expires", -1),
        (&world.root, "Expires", 8 * 24 * HOUR),
    ];
    world.stock().await;
    let before = world.fingerprint();
    for (service, action) in CALLS {
        for (at, (keys, time, off)) in cases.iter().enumerate() {
            let answer = call(&world, service, action, keys, time, *off).await;
            assert!((400..=403).contains(&answer.status), "{action} {at}: {} {}", answer.status, answer.text);
            let expected: &[&str] = match (at, service) {
                (0 | 1, "ec2") => &["UnauthorizedOperation"],
                (0 | 1, _) => &["AccessDenied"],
                (2, _) => &["ExpiredToken", "RequestExpired"],
                (3, "iam") => &["SignatureDoesNotMatch"],
                (3..=6, "ec2") => &["AuthFailure"],
                (4..=6, _) => &["InvalidClientTokenId"],
                (10, _) => &["IncompleteSignature"],
                _ => &["RequestExpired", "SignatureDoesNotMatch"],
            };
            assert!(expected.contains(&answer.code.as_str()), "{action} {at}: {}", answer.text);
        }
    }
    for (keys, seconds) in [(&denied, 60), (&session, 60)] {
        let answer = s3(&world, "PUT", "/b/key", keys, seconds).await;
        assert_eq!(answer.status, 403, "{}", answer.text);
    }
    assert_eq!(world.fingerprint(), before);
    assert_eq!(call(&world, "ec2", "CreateKeyPair", &world.root, "Expires", 60).await.status, 200);
    let mighty = world.user("other", &[ALL], None).await;
    // It has no body.
    assert_eq!(s3(&world, "PUT", "/b/key", &mighty, 60).await.code, "MissingContentLength");
}
