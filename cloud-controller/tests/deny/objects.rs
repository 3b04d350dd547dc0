//! What policies say about objects: every operation that S3's table has, by whoever may not and by whoever may. The
//! requests that once did more than was asked about are in `tests/clients/test_s3_rights.py`, over real HTTP.

use crate::world::{DOMAIN, Keys, THROUGH, World};
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
    match operation {
        Operation::DeleteObjects => {
            body = BATCH;
            rights = ["k", "l"].map(|key| ("s3:DeleteObject", format!("arn:aws:s3:::b/{key}"))).to_vec();
        }
        Operation::PostObject => rights = vec![("s3:PutObject", "arn:aws:s3:::b/*".to_owned())],
        _ => {}
    }
    query.sort_unstable();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
    Case { name: operation.name(), method: row.method, path, headers, body, rights }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_takes_exactly_its_rights() {
    let world = World::new().await;
    let nobody = world.user("nobody", &[], None).await;
    let cases: Vec<Case> = Operation::ALL.iter().copied().map(case).collect();
    for (at, case) in cases.iter().enumerate() {
        let send = async |keys: &Keys| world.s3_with(case.method, &case.path, case.headers, case.body, keys).await;
        let (before, calls) = (world.fingerprint(), world.s3_calls());
        let answer = send(&nobody).await;
        // HEAD has the status alone.
        let code = if case.method == "HEAD" { "" } else { "AccessDenied" };
        assert_eq!((answer.status, answer.code.as_str()), (403, code), "{}: {}", case.name, answer.text);
        assert_eq!((world.fingerprint(), world.s3_calls()), (before, calls), "{} did something", case.name);
        // All but one are too few.
        let alone = case.rights.len() == 1;
        for missing in (0..case.rights.len()).filter(|_| !alone) {
            let rest = case.rights.iter().enumerate().filter(|(n, _)| *n != missing);
            let rest: Vec<String> = rest.map(|(_, (action, on))| allow(action, on)).collect();
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            let user = world.user(&format!("few{at}x{missing}"), &rest, None).await;
            let answer = send(&user).await;
            assert_eq!(answer.code, "AccessDenied", "{} without {:?}", case.name, case.rights[missing]);
        }
        assert_eq!(world.s3_calls(), calls, "{} did something", case.name);
        let policies: Vec<String> = case.rights.iter().map(|(action, on)| allow(action, on)).collect();
        let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
        let user = world.user(&format!("exact{at}"), &policies, None).await;
        let answer = send(&user).await;
        assert_eq!(answer.status, 200, "{} with {:?}: {}", case.name, case.rights, answer.text);
        assert_eq!(world.s3_calls(), calls + 1, "{}", case.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_is_no_way_around() {
    let world = World::new().await;
    let host = format!("b.{DOMAIN}:8773");
    let host: &[(&str, &str)] = &[("host", &host)];
    let may = [("s3:GetBucketLocation", "arn:aws:s3:::b"), ("s3:DeleteBucket", "arn:aws:s3:::k")];
    let policies = [allow(may[0].0, may[0].1), allow(may[1].0, may[1].1), allow("s3:ListAllMyBuckets", "*")];
    let user = world.user("u", &policies.each_ref().map(String::as_str), None).await;
    let send = async |method, path| world.s3_with(method, path, host, "", &user).await;
    assert_eq!(send("GET", "/?location=").await.text, THROUGH);
    // In path style these would be of bucket k, and the list of buckets.
    for (method, path) in [("DELETE", "/k"), ("GET", "/"), ("DELETE", "/"), ("PUT", "/k")] {
        assert_eq!(send(method, path).await.code, "AccessDenied", "{method} {path}");
    }
    assert_eq!(send("DELETE", "/?location=").await.code, "MethodNotAllowed");
    assert_eq!(world.s3_calls(), 1);
}
