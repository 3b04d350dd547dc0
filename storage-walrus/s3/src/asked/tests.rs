use super::*;
use http::{HeaderName, HeaderValue, Request};
use std::collections::HashSet;

const DOMAIN: &str = "s3.cloud.local";

fn parts(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request =
            request.header(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("text"));
    }
    request.body(()).expect("a request").into_parts().0
}

fn read_with(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Result<Asked, ApiError> {
    Asked::read(&parts(method, uri, headers), &[DOMAIN.to_owned()])
}

fn read(method: &str, uri: &str) -> Result<Asked, ApiError> {
    read_with(method, uri, &[])
}

/// `action resource`, without what every ARN begins with.
fn rights(asked: &Asked) -> Vec<String> {
    let short = |resource: &str| resource.trim_start_matches("arn:aws:s3:::").to_owned();
    asked.questions().iter().map(|asks| format!("{} {}", asks.action, short(&asks.resource))).collect()
}

fn asks(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Vec<String> {
    rights(&read_with(method, uri, headers).expect("an operation"))
}

/// A request that names the operation.
fn request(operation: Operation) -> (String, Vec<(&'static str, &'static str)>) {
    let row = operation.row();
    let path = match row.scope {
        Scope::Service => "/",
        Scope::Bucket => "/b",
        Scope::Object => "/b/k",
    };
    let (more, headers) = match row.when {
        When::Always => (String::new(), vec![]),
        When::Copies => (String::new(), vec![(COPY_SOURCE, "c/d")]),
        When::With(name) => (format!("{name}=1"), vec![]),
        When::Is(name, value) => (format!("{name}={value}"), vec![]),
    };
    (format!("{path}?{}&{more}", row.subresource), headers)
}

#[test]
fn every_operation_is_read_and_asks_for_its_actions() {
    for operation in Operation::ALL {
        let (uri, headers) = request(*operation);
        let asked = read_with(operation.row().method, &uri, &headers)
            .unwrap_or_else(|error| panic!("{}: {error:?}", operation.name()));
        assert_eq!(asked.operation(), *operation);
        let actions: Vec<_> = asked.questions().into_iter().map(|asks| asks.action).collect();
        assert!(
            operation.row().actions.iter().all(|action| actions.iter().any(|asked| asked == action)),
            "{}",
            operation.name()
        );
        assert_eq!(actions.len() > operation.row().actions.len(), asked.source.is_some(), "{}", operation.name());
    }
}

/// Whatever else is done with a sub-resource is no operation: it never falls through to that on the bucket or object.
#[test]
fn no_method_falls_through_a_sub_resource() {
    let mut seen = HashSet::new();
    for row in Operation::ALL.iter().map(|operation| operation.row()).filter(|row| !row.subresource.is_empty()) {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"] {
            for path in ["/b", "/b/k"] {
                for value in ["", "=", "=x"] {
                    let uri = format!("{path}?{}{value}", row.subresource);
                    let Ok(asked) = read(method, &uri) else { continue };
                    seen.insert(asked.operation());
                    let here = Operation::is_subresource(asked.operation().row().scope, row.subresource);
                    // One of the other scope is a plain parameter of a read, or of a write with a value.
                    let plain = !here && (matches!(method, "GET" | "HEAD") || value == "=x");
                    assert!(plain || asked.operation().row().subresource == row.subresource, "{method} {uri}");
                }
            }
        }
    }
    assert!(seen.len() > 50);
}

#[test]
fn requests_ask_as_aws_does() {
    assert_eq!(asks("GET", "/", &[]), ["s3:ListAllMyBuckets *"]);
    assert_eq!(asks("GET", "/b?prefix=x&unknown", &[]), ["s3:ListBucket b"]);
    assert_eq!(asks("PUT", "/b?policy", &[]), ["s3:PutBucketPolicy b"]);
    assert_eq!(asks("GET", "/b/k/1?versionId=null", &[]), ["s3:GetObjectVersion b/k/1"]);
    assert_eq!(asks("GET", "/b/k?tagging&versionId=x", &[]), ["s3:GetObjectVersionTagging b/k"]);
    assert_eq!(asks("DELETE", "/b/k?uploadId=x", &[]), ["s3:AbortMultipartUpload b/k"]);
    let copy = |source| asks("PUT", "/b/k%2F1", &[(COPY_SOURCE, source)]);
    assert_eq!(copy("/c/d%20e"), ["s3:PutObject b/k/1", "s3:GetObject c/d e"]);
    assert_eq!(copy("c/d?e"), ["s3:PutObject b/k/1", "s3:GetObject c/d?e"]);
    assert_eq!(copy("c/d?versionId=null"), ["s3:PutObject b/k/1", "s3:GetObjectVersion c/d"]);
    assert_eq!(copy("c/d?versionId="), ["s3:PutObject b/k/1", "s3:GetObjectVersion c/d"]);
    let part = asks("PUT", "/b/k?partNumber=1&uploadId=x", &[(COPY_SOURCE, "c/d")]);
    assert_eq!(part, ["s3:PutObject b/k", "s3:GetObject c/d"]);
    assert_eq!(asks("PUT", "/b/k", &[("x-amz-acl", "private")]), ["s3:PutObject b/k", "s3:PutObjectAcl b/k"]);
    assert_eq!(asks("PUT", "/b", &[("x-amz-grant-read", "id=1")]), ["s3:CreateBucket b", "s3:PutBucketAcl b"]);
    assert_eq!(asks("POST", "/b?delete", &[]), ["s3:DeleteObject b/*"]);
    for (method, uri) in [("DELETE", "/b/k?versionId=null"), ("PUT", "/b/k?retention")] {
        let bypass = "s3:BypassGovernanceRetention b/k".to_owned();
        assert!(asks(method, uri, &[("x-amz-bypass-governance-retention", "true")]).contains(&bypass), "{method}");
        assert!(!asks(method, uri, &[]).contains(&bypass), "{method}");
    }
    // Whether it has an entity tag is told by whether it is deleted; whether there is one at all is not.
    for (header, value, reads) in [
        ("if-match", "\"e\"", true),
        ("if-match", "*", false),
        ("x-amz-if-match-size", "1", true),
        ("x-amz-if-match-last-modified-time", "Thu, 01 Jan 1970 00:00:05 GMT", true),
    ] {
        let headers: &[(&'static str, &str)] = &[(header, value)];
        assert_eq!(
            asks("DELETE", "/b/k", headers).contains(&"s3:GetObject b/k".to_owned()),
            reads,
            "{header}: {value}"
        );
        let version = asks("DELETE", "/b/k?versionId=null", headers);
        assert_eq!(version.contains(&"s3:GetObjectVersion b/k".to_owned()), reads, "{header}: {value}");
    }
}

#[test]
fn virtual_hosts_are_the_same_requests() {
    let host = format!("b.{DOMAIN}:8773");
    let host: &[(&'static str, &str)] = &[("host", &host)];
    assert_eq!(asks("DELETE", "/k/1", host), ["s3:DeleteObject b/k/1"]);
    assert_eq!(asks("GET", "/?location", host), ["s3:GetBucketLocation b"]);
    assert_eq!(asks("DELETE", "/", host), ["s3:DeleteBucket b"]);
    assert_eq!(read_with("DELETE", "/?location", host).expect_err("no operation").code(), Code::MethodNotAllowed);
}

#[test]
fn what_is_no_operation_is_refused() {
    let code = |method, uri| read(method, uri).expect_err(uri).code();
    assert_eq!(code("GET", "/b?location&acl"), Code::InvalidArgument);
    assert_eq!(code("POST", "/b/k?uploads&uploadId=x"), Code::InvalidArgument);
    for (method, uri) in [("DELETE", "/b?location"), ("HEAD", "/b/k?uploadId=x"), ("POST", "/b/k"), ("PUT", "/")] {
        assert_eq!(code(method, uri), Code::MethodNotAllowed, "{method} {uri}");
    }
    for (method, uri) in [("PUT", "/b/k?new"), ("DELETE", "/b?new="), ("POST", "/b?delete&new")] {
        assert_eq!(code(method, uri), Code::NotImplemented, "{method} {uri}");
    }
    assert!(read("PUT", "/b/k?x-id=PutObject&x-amz-checksum&X-Amz-Signature=").is_ok());
    assert_eq!(code("PUT", "/a%2Fb/k"), Code::InvalidBucketName);
    for source in ["", "b", "/b/", "b%2F", "%ff/k", "arn:aws:s3:x:1:accesspoint/p/object/k", "b/\u{e9}"] {
        assert!(read_with("PUT", "/b/k", &[(COPY_SOURCE, source)]).is_err(), "{source}");
    }
    assert!(read_with("PUT", "/b/k", &[(COPY_SOURCE, "a/a"), (COPY_SOURCE, "b/b")]).is_err(), "one or the other");
}

/// The handlers know a request by what was read, authorised, and given to them: they look at no method, path or source
/// by themselves.
#[test]
fn dispatch_has_no_other_source() {
    let dispatch = include_str!("../dispatch.rs");
    for word in ["Method", "query", "Target", "headers.", "uri"] {
        assert!(!dispatch.contains(word), "{word}");
    }
    for (name, text) in [("copy", include_str!("../ops/copy.rs")), ("parts", include_str!("../ops/parts.rs"))] {
        assert!(!text.contains("\"x-amz-copy-source\""), "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_panics_and_reads_change_nothing(
        method in "GET|HEAD|PUT|POST|DELETE",
        path in "(/[a-z%?&=/.]{0,8}){1,2}",
        query in "((acl|location|uploads|uploadId|delete|policy|new|versionId|list-type|tagging)(=|=2|)&?){0,4}",
        source in proptest::option::of("[a-c/?%=]{0,12}"),
    ) {
        let headers: Vec<_> = source.iter().map(|source| (COPY_SOURCE, source.as_str())).collect();
        let uri = format!("{path}?{query}");
        if uri.parse::<http::Uri>().is_ok() && let Ok(asked) = read_with(&method, &uri, &headers) {
            let row = asked.operation().row();
            proptest::prop_assert_eq!(row.method, &method);
            proptest::prop_assert!(!asked.questions().is_empty());
            let named: HashSet<_> = asked.query.pairs().map(|(name, _)| name).collect();
            let known = named.into_iter().filter(|name| Operation::is_subresource(row.scope, name));
            proptest::prop_assert_eq!(known.collect::<String>(), row.subresource);
        }
    }
}

#[test]
fn replicas_of_others_need_rights_of_their_own() {
    let version = [("x-mallee-replica-version", "x")];
    for replica in [version, [("x-mallee-replica", "s3")]] {
        assert_eq!(asks("PUT", "/b/k", &replica), ["s3:PutObject b/k", "s3:ReplicateObject b/k"]);
        assert_eq!(asks("POST", "/b/k?uploads", &replica), ["s3:PutObject b/k", "s3:ReplicateObject b/k"]);
        assert_eq!(asks("DELETE", "/b/k", &replica), ["s3:DeleteObject b/k", "s3:ReplicateDelete b/k"]);
    }
    assert_eq!(asks("PUT", "/b/k", &[("x-mallee-replica-time", "1")]), ["s3:PutObject b/k"]);
}

/// What a version that is there already has is not for everybody to change who may write replicas.
#[test]
fn what_is_said_of_replicas_needs_rights_of_its_own() {
    let put = |name, value, more| {
        let asked = asks("PUT", "/b/k", &[("x-mallee-replica-version", "x"), (name, value)]);
        assert_eq!(asked, ["s3:PutObject b/k", "s3:ReplicateObject b/k", more], "{name}");
    };
    put("x-mallee-replica-list", "FULL_CONTROL owner", "s3:PutObjectAcl b/k");
    for tags in ["a=b", ""] {
        put("x-amz-tagging", tags, "s3:ReplicateTags b/k");
    }
    put("x-amz-bypass-governance-retention", "true", "s3:BypassGovernanceRetention b/k");
    // A replica with an id of this store is another object with tags.
    let plain = asks("PUT", "/b/k", &[("x-mallee-replica", "s3"), ("x-amz-tagging", "a=b")]);
    assert_eq!(plain, ["s3:PutObject b/k", "s3:ReplicateObject b/k", "s3:PutObjectTagging b/k"]);
}
