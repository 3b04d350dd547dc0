//! The access control lists that requests bring: canned, in headers of grants, or as XML.

use crate::error::{engine, invalid_argument};
use crate::headers::text;
use crate::service::S3;
use http::HeaderMap;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::OwnerName;
use mallee_s3_config::{Acl, EC2_CANONICAL_ID, GRANTS_MAX, Grant, Grantee, Permission};

/// The header of a canned list.
pub(crate) const CANNED: &str = "x-amz-acl";
/// Headers of grants.
const GRANTS: [(&str, Permission); 5] = [
    ("x-amz-grant-full-control", Permission::FullControl),
    ("x-amz-grant-read", Permission::Read),
    ("x-amz-grant-read-acp", Permission::ReadAcp),
    ("x-amz-grant-write", Permission::Write),
    ("x-amz-grant-write-acp", Permission::WriteAcp),
];
/// Bytes of the XML of a list.
pub(crate) const ACL_XML_BYTES_MAX: usize = 128 * 1024;

/// Who is meant, as the client names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    Canonical(String),
    Email(String),
    Group(String),
}

/// A list as the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Canned(String),
    Grants(Vec<(Named, Permission)>),
}

/// Reads the headers; `None`: they ask for no list.
///
/// # Errors
/// `InvalidRequest`, `InvalidArgument`, `MalformedACLError`.
pub(crate) fn of_headers(headers: &HeaderMap) -> Result<Option<Wanted>, ApiError> {
    let canned = text(headers, CANNED).filter(|name| !name.is_empty());
    let mut grants = Vec::new();
    for (header, permission) in GRANTS {
        let Some(value) = text(headers, header).filter(|value| !value.is_empty()) else { continue };
        for one in value.split(',') {
            grants.push((grantee(header, one.trim())?, permission));
        }
    }
    // Each is looked up.
    if grants.len() > GRANTS_MAX {
        return Err(Code::MalformedAclError.error());
    }
    match (canned, grants.is_empty()) {
        (Some(_), false) => {
            Err(Code::InvalidRequest.message("Specifying both Canned ACLs and Header Grants is not allowed"))
        }
        (Some(name), true) if Acl::canned(name, "", "").is_none() => Err(invalid_argument("", CANNED, name)),
        (Some(name), true) => Ok(Some(Wanted::Canned(name.to_owned()))),
        (None, false) => Ok(Some(Wanted::Grants(grants))),
        (None, true) => Ok(None),
    }
}

/// `id="…"`, `emailAddress="…"` or `uri="…"`.
fn grantee(header: &str, text: &str) -> Result<Named, ApiError> {
    let wrong = || invalid_argument("Argument format not recognized", header, text);
    let (kind, value) = text.split_once('=').ok_or_else(wrong)?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value).to_owned();
    match kind.trim().to_ascii_lowercase().as_str() {
        "id" => Ok(Named::Canonical(value)),
        "emailaddress" => Ok(Named::Email(value)),
        "uri" => Ok(Named::Group(value)),
        _ => Err(wrong()),
    }
}

/// Reads an `AccessControlPolicy`: the owner's id, if it names one, and the grants.
///
/// # Errors
/// `MalformedACLError`.
pub(crate) fn of_xml(body: &[u8]) -> Result<(Option<String>, Wanted), ApiError> {
    let malformed = || Code::MalformedAclError.error();
    let root = Element::parse(body, XmlLimits::bytes(ACL_XML_BYTES_MAX)).map_err(|e| malformed().because(e))?;
    if root.name != "AccessControlPolicy" {
        return Err(malformed());
    }
    let (mut owner, mut list) = (None, None);
    for child in &root.children {
        match child.name.as_str() {
            "Owner" => owner = child.child_text("ID").map(|id| id.trim().to_owned()),
            "AccessControlList" if list.is_none() => list = Some(child),
            _ => return Err(malformed()),
        }
    }
    let mut grants = Vec::new();
    for grant in &list.ok_or_else(malformed)?.children {
        let permission = grant.child_text("Permission").and_then(|text| Permission::parse(text.trim()));
        let found = grant.children.iter().find(|child| child.name == "Grantee");
        let (Some(permission), Some(grantee), "Grant") = (permission, found, grant.name.as_str()) else {
            return Err(malformed());
        };
        grants.push((grantee_of_xml(grantee).ok_or_else(malformed)?, permission));
    }
    if grants.len() > GRANTS_MAX {
        return Err(malformed());
    }
    Ok((owner, Wanted::Grants(grants)))
}

fn grantee_of_xml(grantee: &Element) -> Option<Named> {
    let kind = grantee.attributes.iter().find(|(name, _)| name == "type").map(|(_, value)| value.as_str())?;
    let value = |name| grantee.child_text(name).map(|text| text.trim().to_owned());
    match kind {
        "CanonicalUser" => value("ID").map(Named::Canonical),
        "AmazonCustomerByEmail" => value("EmailAddress").map(Named::Email),
        "Group" => value("URI").map(Named::Group),
        _ => None,
    }
}

/// The list that is meant, for what `owner` owns in a bucket of `bucket_owner`.
///
/// # Errors
/// `InvalidArgument` for ids and groups that are none, `UnresolvableGrantByEmailAddress`,
/// `AmbiguousGrantByEmailAddress`.
pub(crate) async fn resolve(s3: &S3, wanted: &Wanted, owner: &str, bucket_owner: &str) -> Result<Acl, ApiError> {
    match wanted {
        Wanted::Canned(name) => {
            Acl::canned(name, owner, bucket_owner).ok_or_else(|| invalid_argument("", CANNED, name))
        }
        Wanted::Grants(named) => {
            let mut grants = Vec::with_capacity(named.len());
            for (grantee, permission) in named {
                let grantee = account(s3, grantee).await?;
                grants.push(Grant { grantee, permission: *permission });
            }
            Ok(Acl { grants })
        }
    }
}

async fn account(s3: &S3, named: &Named) -> Result<Grantee, ApiError> {
    match named {
        Named::Group(uri) => Grantee::of_uri(uri).ok_or_else(|| invalid_argument("Invalid group uri", "Group", uri)),
        Named::Canonical(id) if id == EC2_CANONICAL_ID => Ok(Grantee::Ec2),
        Named::Canonical(id) => {
            let found = s3.engine().owners(OwnerName::Canonical(id)).await.map_err(engine)?;
            let found =
                found.into_iter().next().ok_or_else(|| invalid_argument("Invalid id", "CanonicalUser/ID", id))?;
            Ok(Grantee::Account(found.account))
        }
        Named::Email(address) => {
            let mut found = s3.engine().owners(OwnerName::Email(address)).await.map_err(engine)?;
            match (found.pop(), found.len()) {
                (None, _) => Err(Code::UnresolvableGrantByEmailAddress.error()),
                (Some(one), 0) => Ok(Grantee::Account(one.account)),
                (Some(_), _) => Err(Code::AmbiguousGrantByEmailAddress.error()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn lists_in_headers() {
        let read = |pairs: &[(&'static str, &'static str)]| of_headers(&headers(pairs)).map_err(|e| e.code());
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(CANNED, "public-read")]), Ok(Some(Wanted::Canned("public-read".into()))));
        assert_eq!(read(&[(CANNED, "public")]), Err(Code::InvalidArgument));
        assert_eq!(read(&[(CANNED, "private"), ("x-amz-grant-read", "id=1")]), Err(Code::InvalidRequest));
        let both = read(&[("x-amz-grant-read", "id=\"a\", emailAddress=b@c"), ("x-amz-grant-write-acp", "uri=\"g\"")]);
        let grants = vec![
            (Named::Canonical("a".into()), Permission::Read),
            (Named::Email("b@c".into()), Permission::Read),
            (Named::Group("g".into()), Permission::WriteAcp),
        ];
        assert_eq!(both, Ok(Some(Wanted::Grants(grants))));
        let many = |count| {
            let value = HeaderValue::from_str(&vec!["id=a"; count].join(",")).expect("a value");
            let given = HeaderMap::from_iter([(http::HeaderName::from_static("x-amz-grant-read"), value)]);
            of_headers(&given).map(|wanted| wanted.is_some()).map_err(|e| e.code())
        };
        assert_eq!((many(GRANTS_MAX), many(GRANTS_MAX + 1)), (Ok(true), Err(Code::MalformedAclError)));
        for bad in ["a", "name=a", "="] {
            let given: HeaderMap = [(http::HeaderName::from_static("x-amz-grant-read"), HeaderValue::from_static(bad))]
                .into_iter()
                .collect();
            assert_eq!(of_headers(&given).map_err(|e| e.code()), Err(Code::InvalidArgument), "{bad}");
        }
    }

    #[test]
    fn lists_in_xml() {
        let xsi = r#"xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance""#;
        let read = |inner: &str| {
            of_xml(format!("<AccessControlPolicy {xsi}>{inner}</AccessControlPolicy>").as_bytes()).map_err(|e| e.code())
        };
        let grant = |kind: &str, inner: &str, permission: &str| {
            format!(
                "<Grant><Grantee xsi:type=\"{kind}\">{inner}</Grantee><Permission>{permission}</Permission></Grant>"
            )
        };
        let list = |grants: &str| format!("<Owner><ID>o</ID></Owner><AccessControlList>{grants}</AccessControlList>");
        let good = read(&list(&grant("CanonicalUser", "<ID>a</ID><DisplayName>x</DisplayName>", "WRITE")));
        let grants = vec![(Named::Canonical("a".into()), Permission::Write)];
        assert_eq!(good, Ok((Some("o".into()), Wanted::Grants(grants))));
        assert_eq!(read(&list("")), Ok((Some("o".into()), Wanted::Grants(vec![]))));
        let many = grant("Group", "<URI>g</URI>", "READ").repeat(GRANTS_MAX + 1);
        for bad in [
            list(&many),
            list(&grant("CanonicalUser", "", "READ")),
            list(&grant("Group", "<URI>g</URI>", "EAT")),
            list(&grant("Somebody", "<ID>a</ID>", "READ")),
            list("<Grant/>"),
            "<Owner/>".to_owned(),
            "<Other/>".to_owned(),
        ] {
            assert_eq!(read(&bad), Err(Code::MalformedAclError), "{bad}");
        }
    }
}
