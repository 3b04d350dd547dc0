//! From host, path and query string to bucket, key and parameters.

use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use mallee_awswire::server::{host, host_bucket, route};
use mallee_awswire::sigv4::uri_encode;
use mallee_awswire::{ApiError, Code};
use percent_encoding::percent_decode_str;

/// Query parameters that are looked at in one request.
const PARAMETERS_MAX: usize = 100;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The service (`/`).
    Service,
    /// A bucket.
    Bucket(String),
    /// An object: bucket and key.
    Object(String, String),
}

fn decode(text: &str) -> Result<String, ApiError> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| Code::InvalidUri.error())
}

impl Target {
    /// The target of a request, for these domains of virtual hosts.
    ///
    /// # Errors
    /// `InvalidURI`, `InvalidBucketName`.
    pub fn of(parts: &Parts, domains: &[String]) -> Result<Self, ApiError> {
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let host = host(&parts.headers, &parts.uri);
        Self::read(&host, path, route(path, query, &parts.headers, None).prefix, domains)
    }

    /// Reads the target. `host` is without a port; `prefix` bytes of the path only name the service, unless the host has
    /// named the bucket.
    pub(crate) fn read(host: &str, path: &str, prefix: usize, domains: &[String]) -> Result<Self, ApiError> {
        let bucket = host_bucket(host, domains);
        let path = path.get(if bucket.is_some() { 0 } else { prefix }..).unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        if let Some(bucket) = bucket {
            let bucket = bucket.to_owned();
            return Ok(if path.is_empty() { Self::Bucket(bucket) } else { Self::Object(bucket, decode(path)?) });
        }
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let bucket = decode(bucket)?;
        // Else `a%2Fb` and its key would have the ARN of another object of `a`.
        if bucket.contains('/') {
            return Err(Code::InvalidBucketName.error().field("BucketName", bucket));
        }
        Ok(match (bucket.is_empty(), key.is_empty()) {
            (true, true) => Self::Service,
            (true, false) => return Err(Code::InvalidBucketName.error().field("BucketName", "")),
            (false, true) => Self::Bucket(bucket),
            (false, false) => Self::Object(bucket, decode(key)?),
        })
    }
}

/// The address of an object of the bucket that a request names, as its client reaches it: by the same host, and what
/// there is before the bucket in the path. A proxy that ends TLS says so in `X-Forwarded-Proto`.
pub(crate) fn address(head: &Parts, domains: &[String], bucket: &str, key: &str) -> String {
    let given = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let own = given(HOST).or_else(|| head.uri.authority().map(Authority::as_str)).unwrap_or_default();
    let tls = given(HeaderName::from_static("x-forwarded-proto")).or(head.uri.scheme_str()) == Some("https");
    let mut to = format!("{}://{own}", if tls { "https" } else { "http" });
    if host_bucket(&host(&head.headers, &head.uri), domains).is_none() {
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let before = path.get(..route(path, query, &head.headers, None).prefix).unwrap_or_default();
        to.push_str(before.trim_end_matches('/'));
        to.push('/');
        uri_encode(&mut to, bucket.as_bytes(), false);
    }
    to.push('/');
    uri_encode(&mut to, key.as_bytes(), true);
    to
}

/// The query string, decoded.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; `+` is a space, as AWS reads it.
    ///
    /// # Errors
    /// `InvalidURI` for bad escapes and too many parameters.
    pub fn read(text: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            if pairs.len() == PARAMETERS_MAX {
                return Err(Code::InvalidUri.error());
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |t: &str| decode(&t.replace('+', "%20"));
            pairs.push((plain(name)?, plain(value)?));
        }
        Ok(Self(pairs))
    }

    /// Every parameter and its value, in the order of the request.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether the parameter is there, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The first value of a parameter, empty ones not counted.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// A number, within bounds; absent and empty read as `None`.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.value(name) else { return Ok(None) };
        // AWS reads 32-bit integers.
        match text.parse::<i32>().ok().and_then(|n| u64::try_from(n).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(Code::InvalidArgument
                .message(format!("Provided {name} not an integer or within integer range"))
                .field("ArgumentName", name)
                .field("ArgumentValue", mallee_awswire::texts::clip(text).into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(host: &str, path: &str) -> Target {
        Target::read(host, path, 0, &["s3.cloud.local".to_owned()]).expect("readable")
    }

    #[test]
    fn addresses_are_as_clients_reach_them() {
        let of = |host: &str, path: &str, proto: &str| {
            let head = http::Request::builder().uri(path).header(HOST, host).header("x-forwarded-proto", proto);
            let (head, ()) = head.body(()).expect("a request").into_parts();
            address(&head, &["s3.cloud.local".to_owned()], "b", "a b/ü")
        };
        for (host, path, proto, wanted) in [
            ("h:8773", "/b/a%20b/%C3%BC?uploadId=x", "", "http://h:8773/b/a%20b/%C3%BC"),
            ("b.s3.cloud.local", "/a%20b/%C3%BC", "https", "https://b.s3.cloud.local/a%20b/%C3%BC"),
            ("h", "/services/objectstorage/b", "http", "http://h/services/objectstorage/b/a%20b/%C3%BC"),
        ] {
            assert_eq!(of(host, path, proto), wanted);
        }
    }

    #[test]
    fn path_style_and_virtual_hosts() {
        assert_eq!(read("h", "/"), Target::Service);
        assert_eq!(read("h", "/b"), Target::Bucket("b".into()));
        assert_eq!(read("h", "/b/"), Target::Bucket("b".into()));
        assert_eq!(read("h", "/b//"), Target::Object("b".into(), "/".into()));
        assert_eq!(read("h", "/b/../x%2Fy%20z"), Target::Object("b".into(), "../x/y z".into()));
        assert_eq!(read("b.c.s3.cloud.local", "/k"), Target::Object("b.c".into(), "k".into()));
        assert_eq!(read("s3.cloud.local", "/b/k"), Target::Object("b".into(), "k".into()));
        assert_eq!(read("xs3.cloud.local", "/b"), Target::Bucket("b".into()));
        let prefixed = Target::read("h", "/services/objectstorage/b/k", 23, &[]).expect("readable");
        assert_eq!(prefixed, Target::Object("b".into(), "k".into()));
        let domains = ["s3.cloud.local".to_owned()];
        let hosted = Target::read("b.s3.cloud.local", "/services/objectstorage/k", 23, &domains).expect("readable");
        assert_eq!(hosted, Target::Object("b".into(), "services/objectstorage/k".into()));
        assert!(Target::read("h", "/b/%ff", 0, &[]).is_err(), "not UTF-8");
        assert!(Target::read("h", "//k", 0, &[]).is_err());
        assert!(Target::read("h", "/a%2Fb/k", 0, &[]).is_err(), "the ARN of b/k in a");
    }

    #[test]
    fn queries() {
        let query = Query::read("prefix=a%2Bb+c&list-type=2&acl&n=-1").expect("readable");
        assert_eq!(query.get("prefix"), Some("a+b c"));
        assert!(query.has("acl") && query.value("acl").is_none());
        assert!(query.number("n").is_err());
        assert_eq!(query.number("list-type").expect("number"), Some(2));
        assert!(Query::read(&"a=1&".repeat(101)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_path_or_query_makes_them_panic(path in ".{0,80}", query in ".{0,80}", prefix in 0usize..100) {
            drop(Target::read(&path, &path, prefix, std::slice::from_ref(&query)));
            drop(Query::read(&query));
        }
    }
}
