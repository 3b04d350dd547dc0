//! Signature version 2: the examples of AWS's documents, and what must not pass.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use mallee_awswire::server::Service;
use mallee_awswire::sigv2::{Signatory, SignatureQuery, is_right};
use mallee_awswire::sigv4::{
    Authenticated, Body, CredentialSource, Fault, KeyError, KeyQuery, PathRules, Payload, Placement, ResolvedKey,
    SignatureVersion, SignedRequest, Verifier, VerifierConfig,
};
use mallee_awswire::{Code, Flavour};
use ring::hmac;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The documents' key, and a session's with its token.
struct Table {
    on: bool,
}

#[async_trait::async_trait]
impl CredentialSource for Table {
    type Principal = &'static str;

    async fn signing_key(&self, _: KeyQuery<'_>) -> Result<ResolvedKey<&'static str>, KeyError> {
        Err(KeyError::Unknown)
    }

    fn takes_sigv2(&self) -> bool {
        self.on
    }

    async fn sigv2(&self, q: SignatureQuery<'_>) -> Result<Option<Signatory<&'static str>>, KeyError> {
        let expires_at = match (q.access_key_id, q.session_token) {
            (KEY, None) => None,
            ("ASIASESSION", Some("a token+/=")) => Some(rfc3339("2011-10-03T16:00:00Z")),
            ("ASIASESSION", _) | (KEY, Some(_)) => return Err(KeyError::InvalidToken),
            _ => return Err(KeyError::Unknown),
        };
        let right = is_right(&SECRET.into(), q.string_to_sign, q.signature);
        Ok(right.then_some(Signatory { principal: "alice", expires_at }))
    }
}

fn rfc2822(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc2822).unwrap()
}

fn rfc3339(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

/// A request as it is on the wire.
#[derive(Clone)]
struct Raw<'a> {
    method: &'a str,
    target: String,
    headers: Vec<(&'a str, String)>,
    body: String,
    service: Service,
}

impl<'a> Raw<'a> {
    fn s3(method: &'a str, target: &str, headers: &[(&'a str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { method, target: target.to_owned(), headers, body: String::new(), service: Service::S3 }
    }

    fn query(target: &str) -> Self {
        let headers = vec![("host", "elasticmapreduce.amazonaws.com".to_owned())];
        Self { method: "GET", target: target.to_owned(), headers, body: String::new(), service: Service::Ec2 }
    }

    fn verify_with(&self, on: bool, now: OffsetDateTime) -> Result<Option<Authenticated<&'static str>>, Fault> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let is_s3 = self.service == Service::S3;
        let request = SignedRequest {
            method: self.method,
            path,
            query,
            headers: &headers,
            authority: None,
            body: if is_s3 { Body::Stream } else { Body::Bytes(self.body.as_bytes()) },
            service: self.service.name(),
            flavour: self.service.flavour(),
            rules: if is_s3 { PathRules::S3 } else { PathRules::OTHERS },
            host_bucket: None,
        };
        let verifier = Verifier::new(Table { on }, VerifierConfig::default());
        futures_block(verifier.verify(&request, now))
    }

    fn verify(&self, now: OffsetDateTime) -> Result<Authenticated<&'static str>, Fault> {
        self.verify_with(true, now).map(|known| known.expect("it is signed"))
    }

    fn fault(&self, now: OffsetDateTime) -> Fault {
        self.verify(now).map(|known| known.principal).unwrap_err()
    }
}

/// No source here ever waits.
fn futures_block<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn signed(text: &str, algorithm: hmac::Algorithm) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(algorithm, SECRET.as_bytes()), text.as_bytes()))
}

fn sha1(text: &str) -> String {
    signed(text, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)
}

/// Amazon S3 Developer Guide, "Signing and authenticating REST requests", with the bucket in the path.
#[test]
fn the_examples_of_the_s3_developer_guide() {
    type Headers = &'static [(&'static str, &'static str)];
    let upload: Headers = &[
        ("x-amz-acl", "public-read"),
        ("content-type", "application/x-download"),
        ("content-md5", "4gJE4saaMU4BqNR0kLY+lw=="),
        ("x-amz-meta-reviewedby", "joe@johnsmith.net"),
        ("x-amz-meta-reviewedby", "jane@johnsmith.net"),
        ("x-amz-meta-filechecksum", "0x02661779"),
        ("x-amz-meta-checksumalgorithm", "crc32"),
        ("content-disposition", "attachment; filename=database.dat"),
        ("content-encoding", "gzip"),
    ];
    let cases: &[(&str, &str, &str, Headers, &str)] = &[
        ("GET", "/johnsmith/photos/puppy.jpg", "Tue, 27 Mar 2007 19:36:42 +0000", &[], "bWq2s1WEIj+Ydj0vQ697zp+IXMU="),
        (
            "PUT",
            "/johnsmith/photos/puppy.jpg",
            "Tue, 27 Mar 2007 21:15:45 +0000",
            &[("content-type", "image/jpeg"), ("content-length", "94328")],
            "MyyxeRY7whkBe+bq8fHCL/2kKUg=",
        ),
        (
            "GET",
            "/johnsmith/?prefix=photos&max-keys=50&marker=puppy",
            "Tue, 27 Mar 2007 19:42:41 +0000",
            &[],
            "htDYFYduRNen8P9ZfE/s9SuKy0U=",
        ),
        ("GET", "/johnsmith/?acl", "Tue, 27 Mar 2007 19:44:46 +0000", &[], "c2WLPFtWHVgbEmeEG93a4cG37dM="),
        (
            "PUT",
            "/static.johnsmith.net/db-backup.dat.gz",
            "Tue, 27 Mar 2007 21:06:08 +0000",
            upload,
            "ilyl83RwaSoYIEdixDQcA4OnAnc=",
        ),
        ("GET", "/", "Wed, 28 Mar 2007 01:29:59 +0000", &[], "qGdzdERIC03wnaRNKh6OqZehG9s="),
        (
            "GET",
            "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re",
            "Wed, 28 Mar 2007 01:49:49 +0000",
            &[],
            "DNEZGsoieTZ92F3bUfSPQcbGmlM=",
        ),
    ];
    for (method, target, date, headers, signature) in cases {
        let authorization = format!("AWS {KEY}:{signature}");
        let mut raw = Raw::s3(method, target, headers);
        raw.headers.extend([("date", (*date).to_owned()), ("authorization", authorization)]);
        let known = raw.verify(rfc2822(date)).unwrap_or_else(|fault| panic!("{target}: {fault:?}"));
        assert_eq!((known.principal, known.claim.version), ("alice", SignatureVersion::V2));
        assert_eq!((known.claim.placement, known.claim.signed_at()), (Placement::Header, Some(rfc2822(date))));
        assert!(matches!(known.payload, Payload::Unsigned));
        raw.method = "DELETE";
        assert!(matches!(raw.fault(rfc2822(date)), Fault::Mismatch { .. }), "{target}");
    }
}

#[test]
fn the_query_string_of_the_s3_developer_guide() {
    let presigned = |more: &str| {
        let signature = "NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D";
        let target =
            format!("/johnsmith/photos/puppy.jpg?AWSAccessKeyId={KEY}&Signature={signature}&Expires=1175139620{more}");
        Raw::s3("GET", &target, &[])
    };
    let end = OffsetDateTime::from_unix_timestamp(1_175_139_620).unwrap();
    let known = presigned("").verify(end).unwrap();
    assert_eq!((known.claim.placement, known.claim.signed_at()), (Placement::Query { expires: 0 }, None));
    let late = presigned("").fault(end + time::Duration::seconds(1));
    assert_eq!(late.to_api(Flavour::S3).message(), "Request has expired");
    assert!(matches!(presigned("").fault(end - time::Duration::days(8)), Fault::Old(_)));
    // What would make it another request, and is not signed by whoever made the URL.
    for more in ["&acl", "&versionId=3", "&response-content-type=text%2Fhtml"] {
        assert!(matches!(presigned(more).fault(end), Fault::Mismatch { .. }), "{more}");
    }
    for more in ["&legal-hold", "&append", "&x-amz-acl=public-read", "&attributes", "&%61cl"] {
        assert!(matches!(presigned(more).fault(end), Fault::Old(_)), "{more}");
    }
    assert_eq!(presigned("&Expires=1275139620").fault(end), Fault::Duplicate("Expires"));
    assert!(matches!(presigned("&X-Amz-Signature=00").fault(end), Fault::Query(_)));
    let mut two = presigned("");
    two.headers.push(("authorization", format!("AWS {KEY}:bWq2s1WEIj+Ydj0vQ697zp+IXMU=")));
    assert!(matches!(two.fault(end), Fault::Query(_)));
}

/// Version 2 signs no headers of ours: those that say what a request does are refused, of URLs and of other requests.
#[test]
fn headers_that_say_what_a_request_does_are_refused() {
    let date = "Tue, 27 Mar 2007 19:36:42 +0000";
    let end = rfc2822(date).unix_timestamp();
    for method in ["PUT", "DELETE"] {
        let authorization = format!("AWS {KEY}:{}", sha1(&format!("{method}\n\n\n{date}\n/b/k")));
        let plain = Raw::s3(method, "/b/k", &[("date", date), ("authorization", &authorization)]);
        let signature = sha1(&format!("{method}\n\n\n{end}\n/b/k")).replace('+', "%2B").replace('=', "%3D");
        let target = format!("/b/k?AWSAccessKeyId={KEY}&Expires={end}&Signature={signature}");
        for signed in [plain, Raw::s3(method, &target, &[])] {
            assert!(signed.verify(rfc2822(date)).is_ok());
            for name in
                ["", "-version", "-time", "-etag", "-list", "-change"].map(|end| format!("x-mallee-replica{end}"))
            {
                let mut more = signed.clone();
                more.headers.push((&name, "x".to_owned()));
                assert_eq!(more.fault(rfc2822(date)), Fault::Unsigned(name.clone()), "{method}");
            }
        }
    }
}

/// botocore signs a bucket's path with a slash, and leaves out the path of the endpoint.
#[test]
fn ways_to_write_a_bucket() {
    let date = "Tue, 27 Mar 2007 19:36:42 +0000";
    let verify = |resource: &str, target: &str| {
        let authorization = format!("AWS {KEY}:{}", sha1(&format!("GET\n\n\n{date}\n{resource}")));
        Raw::s3("GET", target, &[("date", date), ("authorization", &authorization)]).verify(rfc2822(date)).is_ok()
    };
    for signed in ["/b", "/b/", "/services/objectstorage/b", "/services/objectstorage/b/"] {
        assert!(verify(&format!("{signed}?acl"), "/services/objectstorage/b?acl"), "{signed}");
        assert_eq!(verify(&format!("{signed}?acl"), "/b?acl"), signed.len() < 4, "{signed}");
    }
    assert!(verify("/services/walrus", "/services/walrus") && verify("/", "/services/walrus"));
    for (signed, sent) in [("/b", "/b/"), ("/b/k/", "/b/k"), ("/b", "/b/k"), ("/", "/b")] {
        assert!(!verify(signed, sent), "{signed} {sent}");
    }
}

#[test]
fn dates_tokens_and_hashes_of_s3() {
    let date = "Tue, 27 Mar 2007 21:20:26 +0000";
    let now = rfc2822(date);
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let text = format!("DELETE\n\n\n\nx-amz-content-sha256:{hash}\nx-amz-date:{date}\n/johnsmith/photos/puppy.jpg");
    let authorization = format!("AWS {KEY}:{}", sha1(&text));
    let headers = [
        ("date", "Tue, 27 Mar 2007 19:00:00 +0000"),
        ("x-amz-date", date),
        ("x-amz-content-sha256", hash),
        ("authorization", &authorization),
    ];
    let raw = Raw::s3("DELETE", "/johnsmith/photos/puppy.jpg", &headers);
    assert!(matches!(raw.verify(now).unwrap().payload, Payload::Sha256(_)));
    for minutes in [-16, 16] {
        let fault = raw.fault(now + time::Duration::minutes(minutes));
        assert_eq!(fault.to_api(Flavour::S3).code(), Code::RequestTimeTooSkewed);
    }
    let undated = Raw::s3("DELETE", "/johnsmith/photos/puppy.jpg", &headers[2..]);
    assert_eq!(undated.fault(now).to_api(Flavour::S3).code(), Code::AccessDenied);
    for broken in ["AWS x", "AWS :x", "AWS k:", "AWS k:!!!!", "AWS a/b:bWq2s1WEIj+Ydj0vQ697zp+IXMU="] {
        let raw = Raw::s3("GET", "/b/k", &[("date", date), ("authorization", broken)]);
        assert!(matches!(raw.fault(now), Fault::Old(_)), "{broken}");
    }
    // A token in the query string is signed as a header would be.
    let end = rfc3339("2011-10-03T15:19:30Z");
    let text = format!("GET\n\n\n{}\nx-amz-security-token:a token+/=\n/b/k?uploadId=a b", end.unix_timestamp());
    let signature: String = sha1(&text).replace('+', "%2B").replace('=', "%3D");
    let target = format!(
        "/b/k?uploadId=a%20b&AWSAccessKeyId=ASIASESSION&Expires={}&Signature={signature}",
        end.unix_timestamp()
    );
    let with = Raw::s3("GET", &format!("{target}&x-amz-security-token=a%20token%2B%2F%3D"), &[]);
    assert!(with.verify(end).is_ok());
    assert_eq!(Raw::s3("GET", &target, &[]).fault(end), Fault::TokenInvalid);
}

const EXAMPLE: &str = "Action=DescribeJobFlows&Version=2009-03-31&AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&SignatureVersion=2&SignatureMethod=HmacSHA256&Timestamp=2011-10-03T15%3A19%3A30";
const EXAMPLE_SIGNATURE: &str = "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf%2FMj6vPxyYIs%3D";

/// AWS General Reference, "Signature Version 2 signing process".
#[test]
fn the_example_of_the_general_reference() {
    let now = rfc3339("2011-10-03T15:19:30Z");
    let raw = Raw::query(&format!("/?{EXAMPLE}&Signature={EXAMPLE_SIGNATURE}"));
    let known = raw.verify(now).unwrap();
    assert_eq!((known.principal, &*known.claim.service, &*known.claim.region), ("alice", "ec2", ""));
    assert!(matches!(known.payload, Payload::Verified));
    for (minutes, code) in [(-16, Code::RequestExpired), (16, Code::RequestExpired)] {
        assert_eq!(raw.fault(now + time::Duration::minutes(minutes)).to_api(Flavour::Ec2).code(), code);
    }
    assert_eq!(raw.verify_with(false, now).map(|_| ()).unwrap_err(), Fault::Sigv2Off);
    for flavour in [Flavour::Ec2, Flavour::Query, Flavour::S3] {
        assert!(Fault::Sigv2Off.to_api(flavour).message().contains("--allow-sigv2"));
    }
    // Every parameter is signed, wherever it stands.
    let mut more = raw.clone();
    more.target.push_str("&DryRun=true");
    assert!(matches!(more.fault(now), Fault::Mismatch { .. }));
    let mut more = raw.clone();
    more.body = "InstanceId.1=i-1".to_owned();
    assert!(matches!(more.fault(now), Fault::Mismatch { .. }));
    let mut other = raw.clone();
    other.headers[0].1 = "ec2.amazonaws.com".to_owned();
    assert!(matches!(other.fault(now), Fault::Mismatch { .. }));
    let mut other = raw.clone();
    other.service = Service::Mallee;
    assert!(matches!(other.fault(now), Fault::Old(_)));
    assert_eq!(other.fault(now).to_api(Flavour::Query).code(), Code::IncompleteSignature);
}

#[test]
fn forms_of_query_requests() {
    let now = rfc3339("2011-10-03T15:19:30Z");
    let form = |method: &str, time: &str, more: &str| {
        let mut pairs = [
            format!("AWSAccessKeyId={KEY}"),
            "Action=A".to_owned(),
            "N=a%20%2A~".to_owned(),
            format!("SignatureMethod={method}"),
            "SignatureVersion=2".to_owned(),
            time.to_owned(),
        ];
        pairs.sort();
        let text = format!("POST\nlocalhost:8773\n/services/compute\n{}", pairs.join("&"));
        let algorithm = if method == "HmacSHA1" { hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY } else { hmac::HMAC_SHA256 };
        let signature = signed(&text, algorithm).replace('+', "%2B");
        // As forms are written: another order, and a plus for a space.
        pairs.reverse();
        let body = pairs.join("&").replace("%20%2A", "+*");
        let body = format!("{body}&Signature={signature}{more}");
        Raw {
            method: "POST",
            target: "/services/compute".to_owned(),
            headers: vec![("host", "LOCALHOST:8773".to_owned())],
            body,
            service: Service::Iam,
        }
    };
    for method in ["HmacSHA1", "HmacSHA256"] {
        let known = form(method, "Timestamp=2011-10-03T15%3A19%3A30Z", "").verify(now).unwrap();
        assert_eq!((known.claim.placement, known.claim.signed_at()), (Placement::Header, Some(now)));
    }
    let ends = form("HmacSHA256", "Expires=2011-10-03T15%3A29%3A30Z", "");
    assert_eq!(ends.verify(now).unwrap().claim.signed_at(), None);
    assert!(matches!(ends.fault(now + time::Duration::minutes(11)), Fault::Expired { .. }));
    let good = "Timestamp=2011-10-03T15%3A19%3A30Z";
    assert_eq!(form("HmacSHA256", good, "&Signature=x").fault(now), Fault::Duplicate("Signature"));
    assert_eq!(form("HmacSHA256", good, "&SecurityToken=x").fault(now), Fault::TokenInvalid);
    for (method, time) in [("HmacMD5", good), ("HmacSHA256", "Timestamp=now"), ("HmacSHA256", "Other=1")] {
        assert!(matches!(form(method, time, "").fault(now), Fault::Old(_)), "{method} {time}");
    }
    let both = format!("Expires=2011-10-03T15%3A29%3A30Z&{good}");
    assert!(matches!(form("HmacSHA256", &both, "").fault(now), Fault::Old(_)));
    // The weak versions that came before.
    let old = Raw::query(&format!("/?{}&Signature=x", EXAMPLE.replace("Version=2&", "Version=1&")));
    assert!(matches!(old.fault(now), Fault::Old(_)));
    let nobody = Raw::query(&format!("/?{}&Signature={EXAMPLE_SIGNATURE}", EXAMPLE.replace("AKIAI", "AKIAX")));
    assert!(matches!(nobody.fault(now), Fault::UnknownKey(_)));
    let unsigned = Raw::query("/?Action=A");
    assert!(matches!(unsigned.verify_with(true, now), Ok(None)));
}

/// A host that names the bucket: it is signed as if it stood in the path, and no other bucket's path is.
#[test]
fn buckets_in_hosts() {
    let now = rfc2822("Tue, 27 Mar 2007 19:36:42 +0000");
    let date = "Tue, 27 Mar 2007 19:36:42 +0000";
    let signature = sha1(&format!("GET\n\n\n{date}\n/awsexamplebucket1/photos/puppy.jpg"));
    let mut headers = HeaderMap::new();
    headers.insert("host", "awsexamplebucket1.s3.amazonaws.com".parse().unwrap());
    headers.insert("date", date.parse().unwrap());
    headers.insert("authorization", format!("AWS {KEY}:{signature}").parse().unwrap());
    let request = |host_bucket| SignedRequest {
        method: "GET",
        path: "/photos/puppy.jpg",
        query: "",
        headers: &headers,
        authority: None,
        body: Body::Stream,
        service: "s3",
        flavour: Flavour::S3,
        rules: PathRules::S3,
        host_bucket,
    };
    let verifier = Verifier::new(Table { on: true }, VerifierConfig::default());
    let verify = |host_bucket| futures_block(verifier.verify(&request(host_bucket), now)).map(|known| known.is_some());
    assert_eq!(verify(Some("awsexamplebucket1")), Ok(true));
    assert!(matches!(verify(Some("another")), Err(Fault::Mismatch { .. })));
    assert!(matches!(verify(None), Err(Fault::Mismatch { .. })), "a name that is no bucket's");
}
