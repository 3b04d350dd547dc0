//! What policies say of conditions: their keys have values wherever AWS's have, so that a `Deny` is one.

use crate::world::{Answer, HOST, Keys, REGION, World};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use mallee_awswire::sigv4::{SigningKey, derive_signing_key};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

const ALL: &str = crate::ALL;

fn deny(action: &str, resource: &str, condition: &Value) -> String {
    let statement = json!({"Effect": "Deny", "Principal": "*", "Action": action,
        "Resource": format!("arn:aws:s3:::{resource}"), "Condition": condition});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn allow(action: &str, resource: &str) -> String {
    let statement = json!({"Effect": "Allow", "Action": action, "Resource": format!("arn:aws:s3:::{resource}")});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// Puts a bucket's policy as its owner does.
async fn put_policy(world: &World, bucket: &str, policy: &str) {
    let put = world.s3_with("PUT", &format!("/{bucket}?policy="), &[], policy, &world.root).await;
    assert_eq!(put.status, 204, "{}", put.text);
}

fn refused(answer: &Answer) -> bool {
    (answer.status, answer.code.as_str()) == (403, "AccessDenied")
}

fn in_days(world: &World, days: i64, minutes: i64) -> String {
    let at = world.cloud.clock().now() + time::Duration::days(days) + time::Duration::minutes(minutes);
    at.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_as_policies_allow() {
    let world = World::new().await;
    let ann = world.user("ann", &[ALL], None).await;
    let made = world.s3_with("PUT", "/lock", &[("x-amz-bucket-object-lock-enabled", "true")], "", &world.root).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let retain = async |mode: &str, until: &str| {
        let body = format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>");
        world.s3_with("PUT", "/lock/k?retention=", &[], &body, &ann).await
    };
    let write = async |mode: &str, until: &str| {
        let headers = [("x-amz-object-lock-mode", mode), ("x-amz-object-lock-retain-until-date", until)];
        world.s3_with("PUT", "/lock/new", &headers, "x", &ann).await
    };
    let hold = async |status: &str| {
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        world.s3_with("PUT", "/lock/k?legal-hold=", &[], &body, &ann).await
    };
    assert_eq!(world.s3_with("PUT", "/lock/k", &[], "x", &ann).await.status, 200);
    let (ten, more) = (in_days(&world, 10, -1), in_days(&world, 10, 1));
    let days = json!({"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}});
    put_policy(&world, "lock", &deny("s3:PutObjectRetention", "lock/*", &days)).await;
    assert!(refused(&retain("GOVERNANCE", &more).await), "by its body");
    assert!(refused(&write("GOVERNANCE", &more).await), "by its headers");
    assert_eq!(retain("GOVERNANCE", &ten).await.status, 200);
    assert_eq!(write("GOVERNANCE", &ten).await.status, 200);
    let mode = json!({"StringEquals": {"s3:object-lock-mode": "COMPLIANCE"}});
    put_policy(&world, "lock", &deny("s3:PutObjectRetention", "lock/*", &mode)).await;
    assert!(refused(&retain("COMPLIANCE", &more).await));
    assert!(refused(&write("COMPLIANCE", &more).await));
    assert_eq!(retain("GOVERNANCE", &more).await.status, 200);
    let until = json!({"DateGreaterThan": {"s3:object-lock-retain-until-date": in_days(&world, 20, 0)}});
    put_policy(&world, "lock", &deny("s3:PutObjectRetention", "lock/*", &until)).await;
    assert!(refused(&retain("GOVERNANCE", &in_days(&world, 21, 0)).await));
    assert_eq!(retain("GOVERNANCE", &in_days(&world, 19, 0)).await.status, 200);
    let off = json!({"StringEquals": {"s3:object-lock-legal-hold": "OFF"}});
    put_policy(&world, "lock", &deny("s3:PutObjectLegalHold", "lock/*", &off)).await;
    assert_eq!(hold("ON").await.status, 200);
    assert!(refused(&hold("OFF").await));
}

/// AWS's policy that makes every write of an object a conditional one.
#[tokio::test(flavor = "multi_thread")]
async fn writes_have_to_be_conditional() {
    let world = World::new().await;
    world.stock().await;
    let ann = world.user("ann", &[ALL], None).await;
    let condition = json!({"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}});
    put_policy(&world, "b", &deny("s3:PutObject", "b/*", &condition)).await;
    let send = async |method, path: &str, headers: &[(&'static str, &str)], body: &str| {
        world.s3_with(method, path, headers, body, &ann).await
    };
    let (new, source) = (("if-none-match", "*"), ("x-amz-copy-source", "c/d"));
    assert!(refused(&send("PUT", "/b/new", &[], "x").await));
    assert!(refused(&send("PUT", "/b/new", &[source], "").await));
    assert_eq!(send("PUT", "/b/new", &[new], "x").await.status, 200);
    let begun = send("POST", "/b/parts?uploads=", &[], "").await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    let id = begun.text.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let part = send("PUT", &format!("/b/parts?partNumber=1&uploadId={id}"), &[source], "").await;
    assert_eq!(part.status, 200, "{}", part.text);
    let etag = part.text.split_once("<ETag>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let complete = format!("/b/parts?uploadId={id}");
    assert!(refused(&send("POST", &complete, &[], &list).await));
    let done = send("POST", &complete, &[new], &list).await;
    assert_eq!(done.status, 200, "{}", done.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_of_a_batch_has_its_own_condition() {
    let world = World::new().await;
    world.stock().await;
    let ann = world.user("ann", &[ALL], None).await;
    let unread = world.user("unread", &[&allow("s3:DeleteObject", "b/*")], None).await;
    let batch = async |keys: &Keys, headers: &[(&'static str, &str)], condition: &str| {
        let body = format!("<Delete><Object><Key>k</Key>{condition}</Object></Delete>");
        let answer = world.s3_with("POST", "/b?delete=", headers, &body, keys).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text
    };
    let denied = |text: &str| text.contains("<Code>AccessDenied</Code>") && !text.contains("<Deleted>");
    // Whether it is so tells what the object is like: that takes the right to read it.
    for condition in ["<ETag>e</ETag>", "<Size>99</Size>", "<LastModifiedTime>2020-01-01T00:00:00Z</LastModifiedTime>"]
    {
        assert!(denied(&batch(&unread, &[], condition).await), "{condition}");
        assert!(batch(&ann, &[], condition).await.contains("<Code>PreconditionFailed</Code>"), "{condition}");
    }
    for (header, value) in [("if-match", "\"e\""), ("x-amz-if-match-size", "99")] {
        let one = async |keys| world.s3_with("DELETE", "/b/k", &[(header, value)], "", keys).await;
        assert!(refused(&one(&unread).await), "{header}");
        assert_eq!(one(&ann).await.status, 412, "{header}");
    }
    let condition = json!({"Null": {"s3:if-match": "true"}});
    put_policy(&world, "b", &deny("s3:DeleteObject", "b/*", &condition)).await;
    assert!(denied(&batch(&ann, &[], "").await));
    assert!(denied(&batch(&ann, &[("if-match", "*")], "").await), "the header means none of them");
    assert!(batch(&unread, &[], "<ETag>*</ETag>").await.contains("<Deleted>"), "whether it is there is no secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_copied_by_whoever_may_tag() {
    let world = World::new().await;
    world.stock().await;
    let rights = [
        ("s3:GetObject", "c/*"),
        ("s3:PutObject", "b/*"),
        ("s3:GetObjectTagging", "c/*"),
        ("s3:PutObjectTagging", "b/*"),
    ];
    let policies = rights.map(|(action, on)| allow(action, on));
    let texts = policies.each_ref().map(String::as_str);
    let plain = world.user("plain", &texts[..2], None).await;
    let reads = world.user("reads", &texts[..3], None).await;
    let writes = world.user("writes", &[texts[0], texts[1], texts[3]], None).await;
    let both = world.user("both", &texts, None).await;
    let copy = async |keys: &Keys, headers: &[(&'static str, &str)]| {
        let headers: Vec<_> = headers.iter().copied().chain([("x-amz-copy-source", "c/d")]).collect();
        world.s3_with("PUT", "/b/copy", &headers, "", keys).await
    };
    let replace = ("x-amz-tagging-directive", "REPLACE");
    assert_eq!(copy(&plain, &[]).await.status, 200, "there are none");
    world.write("c", "d", "tagged", &[("secret", "yes")]).await;
    for few in [&plain, &reads, &writes] {
        assert!(refused(&copy(few, &[]).await));
        assert!(refused(&copy(few, &[("x-amz-metadata-directive", "REPLACE")]).await));
        assert_eq!(copy(few, &[replace]).await.status, 200, "without the tags");
    }
    assert_eq!(copy(&both, &[]).await.status, 200);
    for action in ["s3:PutObject", "s3:PutObjectTagging"] {
        let secret = json!({"StringEquals": {"s3:RequestObjectTag/secret": "yes"}});
        put_policy(&world, "b", &deny(action, "b/*", &secret)).await;
        assert!(refused(&copy(&both, &[]).await), "{action}");
        assert!(
            refused(&copy(&both, &[("x-amz-tagging", "secret=no")]).await),
            "{action}: that is not what is written"
        );
        assert_eq!(copy(&both, &[replace, ("x-amz-tagging", "secret=no")]).await.status, 200, "{action}");
    }
}

/// Tags that differ by their case are two, and neither hides the other from a policy.
#[tokio::test(flavor = "multi_thread")]
async fn tags_have_case() {
    let world = World::new().await;
    world.stock().await;
    let ann = world.user("ann", &[ALL], None).await;
    let tag = async |pairs: [(&str, &str); 2]| {
        let header: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let tags: String =
            pairs.iter().map(|(name, value)| format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>")).collect();
        let body = format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
        [
            world.s3_with("PUT", "/b/new", &[("x-amz-tagging", &header.join("&"))], "x", &ann).await,
            world.s3_with("PUT", "/b/k?tagging=", &[], &body, &ann).await,
        ]
    };
    let secret = json!({"StringEquals": {"s3:RequestObjectTag/Secret": "yes"}});
    put_policy(&world, "b", &deny("s3:PutObjectTagging", "b/*", &secret)).await;
    for pairs in [[("Secret", "yes"), ("secret", "no")], [("secret", "no"), ("Secret", "yes")]] {
        assert!(tag(pairs).await.iter().all(refused), "{pairs:?}");
    }
    for pairs in [[("Secret", "no"), ("secret", "yes")], [("secret", "yes"), ("Secret", "no")]] {
        assert!(tag(pairs).await.iter().all(|answer| answer.status == 200), "{pairs:?}");
    }
    // What is read goes by the same.
    let secret = json!({"StringEquals": {"s3:ExistingObjectTag/Secret": "yes"}});
    put_policy(&world, "b", &deny("s3:GetObject", "b/*", &secret)).await;
    for (tags, hidden) in [
        ([("Secret", "yes"), ("secret", "no")], true),
        ([("secret", "no"), ("Secret", "yes")], true),
        ([("Secret", "no"), ("secret", "yes")], false),
    ] {
        world.write("b", "k", "k", &tags).await;
        assert_eq!(refused(&world.s3("GET", "/b/k", &ann).await), hidden, "{tags:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_a_referer_too() {
    let world = World::new().await;
    world.stock().await;
    world.open("b").await;
    let statement = json!({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*",
        "Condition": {"StringLike": {"aws:Referer": "https://example.org/*"}}});
    put_policy(&world, "b", &json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()).await;
    let from = async |referer: &str| world.s3_unsigned("GET", "/b/k", &[("referer", referer)], "").await;
    assert_eq!(from("https://example.org/page").await.text, "k");
    assert!(refused(&from("https://example.com/page").await));
    // Links are not to make of it what its owner never meant.
    let page = [("referer", "https://example.org/page")];
    let overridden = world.s3_unsigned("GET", "/b/k?response-content-type=text/html", &page, "").await;
    assert_eq!((overridden.status, overridden.code.as_str()), (400, "InvalidRequest"));
    let signed = world.s3("GET", "/b/k?response-content-type=text%2Fhtml", &world.root).await;
    assert_eq!(signed.headers["content-type"], "text/html");
}

/// A form to a bucket, with a policy that names it.
async fn form(world: &World, keys: &Keys) -> Answer {
    let now = world.cloud.clock().now();
    let date = format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day());
    let credential = format!("{}/{date}/{REGION}/s3/aws4_request", keys.id);
    let stamp = format!("{date}T000000Z");
    let conditions = json!([{"bucket": "b"}, {"key": "formed"}, {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
        {"x-amz-credential": &credential}, {"x-amz-date": &stamp}]);
    let policy = json!({"expiration": in_days(world, 1, 0), "conditions": conditions}).to_string();
    let policy = STANDARD.encode(policy);
    let key = derive_signing_key(&keys.secret.clone().into(), &date, REGION, "s3");
    let signature = hex::encode(SigningKey::new(key.expose_secret()).sign(policy.as_bytes()));
    let fields = [
        ("key", "formed"),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &credential),
        ("x-amz-date", &stamp),
        ("policy", &policy),
        ("x-amz-signature", &signature),
    ];
    let part = |name: &str, value: &str| {
        format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body: String = fields.iter().map(|(name, value)| part(name, value)).collect();
    let body = body + &part("file", "data") + "--edge--\r\n";
    let request = Request::builder().method("POST").uri("/b").header("host", HOST);
    let request = request.header("content-type", "multipart/form-data; boundary=edge");
    world.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_signed_as_forms() {
    let world = World::new().await;
    world.stock().await;
    let ann = world.user("ann", &[ALL], None).await;
    let put = async || world.s3_with("PUT", "/b/k", &[], "x", &ann).await;
    let only = |kind: &str| deny("s3:PutObject", "b/*", &json!({"StringNotEquals": {"s3:authType": kind}}));
    put_policy(&world, "b", &only("POST")).await;
    let answer = form(&world, &ann).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert!(refused(&put().await));
    put_policy(&world, "b", &only("REST-HEADER")).await;
    assert!(refused(&form(&world, &ann).await));
    assert_eq!(put().await.status, 200);
    put_policy(&world, "b", &only("REST-QUERY-STRING")).await;
    assert!(refused(&form(&world, &ann).await) && refused(&put().await));
}

/// What is told of an object beside its bytes takes the rights that reading it alone takes.
#[tokio::test(flavor = "multi_thread")]
async fn locks_and_tags_are_told_to_whoever_may_read_them() {
    let world = World::new().await;
    let made = world.s3_with("PUT", "/lock", &[("x-amz-bucket-object-lock-enabled", "true")], "", &world.root).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let until = in_days(&world, 1, 0);
    let headers = [
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-retain-until-date", until.as_str()),
        ("x-amz-tagging", "a=1"),
    ];
    assert_eq!(world.s3_with("PUT", "/lock/k", &headers, "x", &world.root).await.status, 200);
    let told = [
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
        "x-amz-object-lock-legal-hold",
        "x-amz-tagging-count",
    ];
    for (at, (right, names)) in [
        ("s3:GetObject", &[][..]),
        ("s3:GetObjectRetention", &told[..2]),
        ("s3:GetObjectLegalHold", &told[2..3]),
        ("s3:GetObjectTagging", &told[3..]),
        ("s3:*", &told[..]),
    ]
    .into_iter()
    .enumerate()
    {
        let policies = [allow("s3:GetObject", "lock/*"), allow(right, "lock/*")];
        let user = world.user(&format!("u{at}"), &policies.each_ref().map(String::as_str), None).await;
        for method in ["GET", "HEAD"] {
            let answer = world.s3(method, "/lock/k", &user).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            for name in told {
                assert_eq!(answer.headers.contains_key(name), names.contains(&name), "{method} {right} {name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_where_policies_want_them() {
    let world = World::new().await;
    let statement = json!({"Effect": "Deny", "Action": "s3:CreateBucket", "Resource": "*",
        "Condition": {"StringEquals": {"s3:LocationConstraint": REGION}}});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let ann = world.user("ann", &[ALL, &policy], None).await;
    let make = async |name: &str, body: &str| world.s3_with("PUT", name, &[], body, &ann).await;
    let here = format!(
        "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    );
    assert!(refused(&make("/made-here", &here).await));
    assert_eq!(make("/made-anywhere", "").await.status, 200);
}
