//! The front door: which service a request is for, request ids, and HTTP replies.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};

use crate::error::{ApiError, Flavour};
use crate::query::Params;

/// A service behind the one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Service {
    /// EC2.
    Ec2,
    /// IAM.
    Iam,
    /// STS.
    Sts,
    /// S3.
    S3,
    /// Mallee's own administration.
    Mallee,
    /// Any other, by its name in credential scopes.
    Other(String),
}

impl Service {
    /// The service that a credential scope names.
    #[must_use]
    pub fn from_scope(name: &str) -> Self {
        match name {
            "ec2" => Self::Ec2,
            "iam" => Self::Iam,
            "sts" => Self::Sts,
            "s3" => Self::S3,
            "mallee" => Self::Mallee,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Its name in credential scopes.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Ec2 => "ec2",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::S3 => "s3",
            Self::Mallee => "mallee",
            Self::Other(name) => name,
        }
    }

    /// Its protocol.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        match self {
            Self::Ec2 => Flavour::Ec2,
            Self::S3 => Flavour::S3,
            _ => Flavour::Query,
        }
    }
}

/// Eucalyptus' paths, whose first part after `/services/` names the service (compared without case).
const PATHS: &[(&str, &str)] = &[
    ("compute", "ec2"),
    ("eucalyptus", "ec2"),
    ("euare", "iam"),
    ("tokens", "sts"),
    ("objectstorage", "s3"),
    ("walrus", "s3"),
    ("loadbalancing", "elasticloadbalancing"),
    ("autoscaling", "autoscaling"),
    ("cloudwatch", "monitoring"),
    ("cloudformation", "cloudformation"),
    ("simpleworkflow", "swf"),
    ("simplequeue", "sqs"),
    ("mallee", "mallee"),
];

/// API versions that belong to one service; every other date is EC2's, which has had the most.
const VERSIONS: &[(&str, &str)] = &[
    ("2010-05-08", "iam"),
    ("2011-06-15", "sts"),
    ("2011-01-01", "autoscaling"),
    ("2010-05-15", "cloudformation"),
    ("2010-08-01", "monitoring"),
    ("2015-12-01", "elasticloadbalancing"),
];

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The service.
    pub service: Service,
    /// Bytes of the path that only name the service (`/services/objectstorage`); S3 takes bucket and key from what follows.
    /// The signature always covers the whole path.
    pub prefix: usize,
}

/// The host of a request as it came: without its port, in lower case.
#[must_use]
pub fn host(headers: &HeaderMap, uri: &http::Uri) -> String {
    let header = headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = header.or_else(|| uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default();
    let port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, rest)| port(rest)).map_or(host, |(name, _)| name);
    name.to_ascii_lowercase()
}

/// The bucket that such a host names below one of these domains of virtual hosts.
#[must_use]
pub fn host_bucket<'h>(host: &'h str, domains: &[String]) -> Option<&'h str> {
    domains.iter().find_map(|d| host.strip_suffix(d.as_str())?.strip_suffix('.')).filter(|bucket| !bucket.is_empty())
}

/// Tells the service of a request: from the credential scope, then from `Action` and `Version` (query string, or `form`
/// if the body is a form) or the target header, then from the path; what is left is S3.
#[must_use]
pub fn route(path: &str, query: &str, headers: &HeaderMap, form: Option<&Params>) -> Route {
    let (by_path, prefix) = match path_service(path) {
        Some((name, prefix)) => (Some(name), prefix),
        None => (None, 0),
    };
    let service = scope_service(query, headers)
        .or_else(|| action_service(query, headers, form, by_path))
        .or_else(|| by_path.map(Service::from_scope))
        .unwrap_or(Service::S3);
    Route { service, prefix }
}

/// True if the body of this request is a form, which must be read before [`route`] can tell the service of a request
/// without credential scope (SigV2, or anonymous as `AssumeRoleWithWebIdentity` is).
#[must_use]
pub fn is_form(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST
        && headers
            .get(CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split(';').next())
            .is_some_and(|v| v.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn scope_service(query: &str, headers: &HeaderMap) -> Option<Service> {
    let named = |credential: &str| -> Option<Service> {
        let service = credential.split('/').nth(3)?;
        (!service.is_empty()).then(|| Service::from_scope(service))
    };
    if let Some(value) = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()) {
        let credential = value.strip_prefix("AWS4-HMAC-SHA256")?.split("Credential=").nth(1)?;
        return named(credential.split([',', ' ']).next()?);
    }
    let credential = query.split('&').find_map(|p| p.strip_prefix("X-Amz-Credential="))?;
    named(&percent_encoding::percent_decode_str(credential).decode_utf8().ok()?)
}

fn action_service(query: &str, headers: &HeaderMap, form: Option<&Params>, by_path: Option<&str>) -> Option<Service> {
    // `X-Amz-Target: AmazonSSM.GetParameter`: JSON services, none of which is S3.
    if let Some(target) = headers.get("x-amz-target").and_then(|v| v.to_str().ok()) {
        let name = target.split(['.', '_']).next().unwrap_or_default();
        return Some(Service::from_scope(&name.to_ascii_lowercase()));
    }
    let pair = |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
    let action = form.and_then(Params::action).or_else(|| pair("Action"))?;
    let version = form.and_then(Params::version).or_else(|| pair("Version"));
    if action.is_empty() {
        return None;
    }
    // A Eucalyptus path says more than a version.
    if let Some(name) = by_path {
        return Some(Service::from_scope(name));
    }
    let name = VERSIONS.iter().find(|(v, _)| Some(*v) == version).map_or("ec2", |(_, name)| name);
    Some(Service::from_scope(name))
}

fn path_service(path: &str) -> Option<(&'static str, usize)> {
    const ROOT: &str = "/services/";
    let rest = path.strip_prefix(ROOT)?;
    let first = rest.split('/').next()?;
    let (_, name) = PATHS.iter().find(|(p, _)| p.eq_ignore_ascii_case(first))?;
    Some((name, ROOT.len() + first.len()))
}

/// A new request id in the form of a version-4 UUID; `fill` gives the randomness.
#[must_use]
pub fn request_id(fill: impl FnOnce(&mut [u8])) -> String {
    let mut bytes = [0u8; 16];
    fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// An XML reply with the headers that clients of the service look for.
#[must_use]
pub fn xml_response(status: u16, flavour: Flavour, request_id: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (content_type, id_header) = match flavour {
        Flavour::Ec2 => ("text/xml;charset=UTF-8", "x-amzn-requestid"),
        Flavour::Query => ("text/xml", "x-amzn-requestid"),
        Flavour::S3 => ("application/xml", "x-amz-request-id"),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(id_header, id);
    }
    if flavour == Flavour::Ec2 {
        headers.insert("cache-control", HeaderValue::from_static("no-cache, no-store"));
    }
    response
}

/// An error reply. `resource` is the path, which S3's body names.
#[must_use]
pub fn error_response(error: &ApiError, flavour: Flavour, request_id: &str, resource: &str) -> Response<Bytes> {
    let body = error.body(flavour, request_id, resource);
    let mut response = xml_response(error.status(), flavour, request_id, body);
    for (name, value) in error.headers() {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    fn service(path: &str, query: &str, h: &[(&'static str, &str)], form: Option<&str>) -> String {
        let form = form.map(|f| Params::parse("", f.as_bytes()).unwrap());
        route(path, query, &headers(h), form.as_ref()).service.name().to_owned()
    }

    #[test]
    fn the_scope_decides_first() {
        let auth =
            "AWS4-HMAC-SHA256 Credential=AK/20260102/eucalyptus/iam/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(service("/services/compute", "Action=RunInstances", &[("authorization", auth)], None), "iam");
        assert_eq!(service("/b/k", "X-Amz-Credential=AK%2F20260102%2Fx%2Fs3%2Faws4_request", &[], None), "s3");
        assert_eq!(service("/", "X-Amz-Credential=AK/20260102/x/sqs/aws4_request", &[], None), "sqs");
    }

    #[test]
    fn then_action_version_and_target() {
        assert_eq!(service("/", "Action=DescribeInstances&Version=2016-11-15", &[], None), "ec2");
        assert_eq!(service("/", "", &[], Some("Action=AssumeRoleWithWebIdentity&Version=2011-06-15")), "sts");
        assert_eq!(service("/", "", &[], Some("Action=GetUser&Version=2010-05-08")), "iam");
        assert_eq!(service("/services/Euare", "Action=GetUser", &[], None), "iam");
        assert_eq!(service("/", "", &[("x-amz-target", "DynamoDB_20120810.GetItem")], None), "dynamodb");
    }

    #[test]
    fn then_the_path_and_what_is_left_is_s3() {
        assert_eq!(service("/services/compute/", "", &[], None), "ec2");
        assert_eq!(service("/services/Tokens", "", &[], None), "sts");
        assert_eq!(service("/services/unknown/x", "", &[], None), "s3");
        assert_eq!(service("/bucket/key", "list-type=2", &[("authorization", "AWS AK:sig")], None), "s3");
        let r = route("/services/objectstorage/bucket/key", "", &HeaderMap::new(), None);
        assert_eq!((r.service, r.prefix), (Service::S3, "/services/objectstorage".len()));
    }

    #[test]
    fn ids_and_forms() {
        assert_eq!(request_id(|b| b.fill(0xff)), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let form = headers(&[("content-type", "application/x-www-form-urlencoded; charset=utf-8")]);
        assert!(is_form(&Method::POST, &form));
        assert!(!is_form(&Method::PUT, &form));
    }
}
