//! What policies say about objects: every operation that S3's table has, by whoever may not and by whoever may. The
//! requests that once did more than was asked about are in `tests/clients/test_s3_rights.py`, over real HTTP.

use crate::world::{Answer, DOMAIN, Keys, World};
use mallee_s3::{Operation, Scope, When};

const BATCH: &str = "<Delete><Object><Key>k</Key></Object><Object><Key>l</Key></Object></Delete>";

fn allow(action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}]}}"#
    )
}

/// A request that is the operation, and every right that it takes.
struct Case {
    name: &'static str,
    method: &'static str,
    path: String,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    rights: Vec<(&'static str, String)>,
}

fn case(operation: Operation) -> Case {
    let row = operation.row();
    let (path, resource) = match row.scope {
        Scope::Service => ("/", "*"),
        Scope::Bucket => ("/b", "arn:aws:s3:::b"),
        Scope::Object => ("/b/k", "arn:aws:s3:::b/k"),
    };
    let mut query: Vec<(&str, &str)> = vec![];
    if !row.subresource.is_empty() {
        query.push((row.subresource, ""));
    }
    let mut headers: &[(&str, &str)] = &[];
    let mut rights: Vec<(&str, String)> = row.actions.iter().map(|action| (*action, resource.to_owned())).collect();
    match row.when {
        When::Always => {}
        When::With(name) => query.push((name, "1")),
        When::Is(name, value) => query.push((name, value)),
        When::Copies => {
            headers = &[("x-amz-copy-source", "c/d")];
            rights.push(("s3:GetObject", "arn:aws:s3:::c/d".to_owned()));
        }
    }
    let mut body = "";
    if operation == Operation::DeleteObjects {
        body = BATCH;
        rights = ["k", "l"].map(|key| ("s3:DeleteObject", format!("arn:aws:s3:::b/{key}"))).to_vec();
    }
    query.sort_unstable();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
    Case { name: operation.name(), method: row.method, path, headers, body, rights }
}

/// The operations that a head alone asks for: a form says in its body what it wants (`tests/clients/test_s3_post.py`).
fn cases() -> impl Iterator<Item = Case> {
    Operation::ALL.iter().copied().filter(|operation| *operation != Operation::PostObject).map(case)
}

/// Whether an answer says that it is not allowed, wholly or in part.
fn is_denied(case: &Case, answer: &Answer) -> bool {
    match case.name {
        // Each key has an answer of its own.
        "DeleteObjects" => answer.status == 200 && answer.text.contains("<Code>AccessDenied</Code>"),
        // HEAD has the status alone.
        _ if case.method == "HEAD" => answer.status == 403,
        _ => (answer.status, answer.code.as_str()) == (403, "AccessDenied"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_takes_exactly_its_rights() {
    let world = World::new().await;
    let nobody = world.user("nobody", &[], None).await;
    for (at, case) in cases().enumerate() {
        let case = &case;
        world.stock().await;
        let send = async |keys: &Keys| world.s3_with(case.method, &case.path, case.headers, case.body, keys).await;
        let before = world.fingerprint();
        let answer = send(&nobody).await;
        assert!(is_denied(case, &answer), "{}: {} {}", case.name, answer.status, answer.text);
        assert!(!answer.text.contains("<Deleted>"), "{}: {}", case.name, answer.text);
        assert_eq!(world.fingerprint(), before, "{} did something", case.name);
        // All but one are too few.
        let alone = case.rights.len() == 1;
        for missing in (0..case.rights.len()).filter(|_| !alone) {
            let rest = case.rights.iter().enumerate().filter(|(n, _)| *n != missing);
            let rest: Vec<String> = rest.map(|(_, (action, on))| allow(action, on)).collect();
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            let user = world.user(&format!("few{at}x{missing}"), &rest, None).await;
            let before = world.fingerprint();
            let answer = send(&user).await;
            assert!(is_denied(case, &answer), "{} without {:?}", case.name, case.rights[missing]);
            let changed = world.fingerprint() != before;
            assert_eq!(changed, case.name == "DeleteObjects", "{} without {:?}", case.name, case.rights[missing]);
        }
        world.stock().await;
        let policies: Vec<String> = case.rights.iter().map(|(action, on)| allow(action, on)).collect();
        let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
        let user = world.user(&format!("exact{at}"), &policies, None).await;
        let answer = send(&user).await;
        assert!(!is_denied(case, &answer), "{} with {:?}: {}", case.name, case.rights, answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_is_no_way_around() {
    let world = World::new().await;
    world.stock().await;
    let host = format!("b.{DOMAIN}:8773");
    let host: &[(&str, &str)] = &[("host", &host)];
    let may = [("s3:GetBucketLocation", "arn:aws:s3:::b"), ("s3:DeleteBucket", "arn:aws:s3:::k")];
    let policies = [allow(may[0].0, may[0].1), allow(may[1].0, may[1].1), allow("s3:ListAllMyBuckets", "*")];
    let user = world.user("u", &policies.each_ref().map(String::as_str), None).await;
    let before = world.fingerprint();
    let send = async |method, path| world.s3_with(method, path, host, "", &user).await;
    assert_eq!(send("GET", "/?location=").await.status, 200);
    // In path style these would be of bucket k, and the list of buckets.
    for (method, path) in [("DELETE", "/k"), ("GET", "/"), ("DELETE", "/"), ("PUT", "/k")] {
        assert_eq!(send(method, path).await.code, "AccessDenied", "{method} {path}");
    }
    assert_eq!(send("DELETE", "/?location=").await.code, "MethodNotAllowed");
    assert_eq!(world.fingerprint(), before);
}

/// Who may not, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Why {
    Anonymous,
    OtherAccount,
    IdentityDenies,
    BucketPolicyDenies,
    Boundary,
    SessionPolicy,
    PublicAccessBlock,
}

const EVERY_WHY: [Why; 7] = [
    Why::Anonymous,
    Why::OtherAccount,
    Why::IdentityDenies,
    Why::BucketPolicyDenies,
    Why::Boundary,
    Why::SessionPolicy,
    Why::PublicAccessBlock,
];

/// Everything that has a say in it says no, one at a time, to every operation: the code is right, and nothing is done.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_past_any_denial() {
    let world = World::new().await;
    world.stock().await;
    let deny =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["s3:*","s3express:*"],"Resource":"*"}]}"#;
    let only_ec2 = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:*","Resource":"*"}]}"#;
    let mighty = world.user("mighty", &[crate::ALL], None).await;
    let denied = world.user("denied", &[crate::ALL, deny], None).await;
    let bounded = world.user("bounded", &[crate::ALL], Some(only_ec2)).await;
    let session = world.session("session", &[only_ec2], crate::HOUR * 1000).await;
    let (_, stranger) = world.account("222222222222").await;
    let (other_id, other) = world.account("333333333333").await;
    // Both accounts are known before: what is refused writes nothing.
    for keys in [&mighty, &session, &stranger, &other] {
        world.s3("GET", "/", keys).await;
    }
    let statement = |effect: &str, principal: &str| {
        let resources = ["b", "c"].map(|bucket| format!(r#""arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*""#));
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":{principal},"Action":["s3:*","s3express:*"],"Resource":[{}]}}]}}"#,
            resources.join(",")
        )
    };
    let (all_denied, all_allowed) = (statement("Deny", "\"*\""), statement("Allow", "\"*\""));
    for why in EVERY_WHY {
        match why {
            Why::BucketPolicyDenies => world.set_policy(Some(&all_denied)).await,
            // A public policy: the switch is on in new buckets.
            Why::PublicAccessBlock => world.set_policy(Some(&all_allowed)).await,
            _ => world.set_policy(None).await,
        }
        for case in cases() {
            // Those are about nobody's bucket.
            let is_of_account = matches!(case.name, "ListBuckets" | "CreateBucket");
            let applies = match why {
                Why::Anonymous | Why::IdentityDenies | Why::Boundary | Why::SessionPolicy => true,
                Why::OtherAccount | Why::BucketPolicyDenies | Why::PublicAccessBlock => !is_of_account,
            };
            if !applies {
                continue;
            }
            let keys = match why {
                Why::Anonymous => None,
                Why::OtherAccount => Some(&stranger),
                Why::IdentityDenies => Some(&denied),
                Why::BucketPolicyDenies => Some(&mighty),
                Why::Boundary => Some(&bounded),
                Why::SessionPolicy => Some(&session),
                Why::PublicAccessBlock => Some(&other),
            };
            let before = world.fingerprint();
            let answer = match keys {
                Some(keys) => world.s3_with(case.method, &case.path, case.headers, case.body, keys).await,
                None => world.s3_unsigned(case.method, &case.path, case.headers, case.body).await,
            };
            assert!(is_denied(&case, &answer), "{why:?} {}: {} {}", case.name, answer.status, answer.text);
            assert!(!answer.text.contains("<Deleted>"), "{why:?} {}: {}", case.name, answer.text);
            assert_eq!(world.fingerprint(), before, "{why:?} {} did something", case.name);
        }
    }
    // The same policy lets everybody of another account in once the switch is off: it was the switch that refused.
    world.open("b").await;
    assert_eq!(world.s3("GET", "/b/k", &other).await.text, "k", "{other_id}");
}
