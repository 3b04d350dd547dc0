//! Access control lists: of buckets and objects, put and get, and those that new buckets and objects bring.

use crate::acl::{self, ACL_XML_BYTES_MAX, Named, Wanted};
use crate::authz::bucket::{ACL, bucket_acl, has_lists, object_acl, ownership, public_access};
use crate::body::read_small;
use crate::call::{Call, shown_version};
use crate::error::engine;
use crate::operation::Operation;
use crate::ops::get::READ_ATTEMPTS;
use crate::owners::Owners;
use crate::replica::incoming;
use crate::reply::{self, Reply, document};
use http::StatusCode;
use mallee_awswire::{ApiError, Code, XmlWriter};
use mallee_objects::{Bucket, Documents, Error, ObjectInfo, Properties, VersionName, Versioning};
use mallee_s3_config::{Acl, EC2_CANONICAL_ID, Grantee, Ownership};

/// The canned list that gives a bucket's owner what others write into it.
const TO_BUCKET_OWNER: &str = "bucket-owner-full-control";

/// What is said of an object that the caller is about to write into a bucket: what was given, its owner and its list.
///
/// # Errors
/// `AccessControlListNotSupported`, `AccessDenied` for public lists where they are blocked, and what lists that cannot be
/// answer.
pub(crate) async fn of_new_object(call: &Call, bucket: &Bucket, given: Properties) -> Result<Properties, ApiError> {
    let wanted = acl::of_headers(&call.headers)?;
    let rule = ownership(bucket)?;
    let gives = matches!(&wanted, Some(Wanted::Canned(name)) if name == TO_BUCKET_OWNER);
    let owner = match rule {
        Some(Ownership::BucketOwnerEnforced) => bucket.account.clone(),
        Some(Ownership::BucketOwnerPreferred) if gives => bucket.account.clone(),
        Some(Ownership::BucketOwnerPreferred | Ownership::ObjectWriter) | None => call.caller.account.clone(),
    };
    let mut properties = Properties { owner: (owner != bucket.account).then(|| owner.clone()), ..given };
    let Some(wanted) = wanted else { return Ok(properties) };
    if rule == Some(Ownership::BucketOwnerEnforced) {
        // Of what somebody of another account writes, `private` would keep the bucket's owner out.
        let writer = resolved(call, &wanted, &call.caller.account, &bucket.account).await?;
        return match gives || writer.is_private(&bucket.account) {
            true => Ok(properties),
            false => Err(Code::AccessControlListNotSupported.error()),
        };
    }
    let list = resolved(call, &wanted, &owner, &bucket.account).await?;
    blocked(call, bucket, &list)?;
    properties.acl = (list != Acl::private(&owner)).then(|| list.to_string());
    Ok(properties)
}

/// Whether a request may grant something to the public: then it counts, up to the very write, whether that is blocked.
pub(crate) fn may_grant_to_public(call: &Call) -> bool {
    if call.asked.operation() == Operation::PutObjectAcl {
        return true;
    }
    // Few requests bring a list.
    call.asked.further().contains(&"s3:PutObjectAcl")
        && (incoming::may_grant_to_public(&call.headers)
            || match acl::of_headers(&call.headers) {
                Ok(Some(Wanted::Canned(name))) => name != "private" && !name.starts_with("bucket-owner-"),
                Ok(Some(Wanted::Grants(grants))) => grants.iter().any(|(to, _)| matches!(to, Named::Group(_))),
                Ok(None) | Err(_) => false,
            })
}

async fn resolved(call: &Call, wanted: &Wanted, owner: &str, bucket_owner: &str) -> Result<Acl, ApiError> {
    acl::resolve(&call.s3, wanted, owner, bucket_owner).await
}

/// Refuses a public list where those are blocked.
fn blocked(call: &Call, bucket: &Bucket, list: &Acl) -> Result<(), ApiError> {
    let blocks = public_access(bucket)?.is_some_and(|block| block.block_public_acls);
    if blocks && list.is_public() { Err(public_is_blocked(call)) } else { Ok(()) }
}

fn public_is_blocked(call: &Call) -> ApiError {
    Code::AccessDenied.message(format!(
        "User: {} is not authorized to perform: {} on resource: \"{}\" because public ACLs are prevented by the \
         BlockPublicAcls setting in S3 Block Public Access.",
        call.caller.arn,
        call.asked.operation().row().actions.first().copied().unwrap_or_default(),
        call.asked.resource(),
    ))
}

/// The documents of a new bucket, with the list that its maker asks for.
///
/// # Errors
/// `InvalidBucketAclWithObjectOwnership`, `InvalidBucketAclWithBlockPublicAccessError`, and what lists that cannot be
/// answer.
pub(crate) async fn of_new_bucket(call: &Call, docs: Documents) -> Result<Documents, ApiError> {
    let Some(wanted) = acl::of_headers(&call.headers)? else { return Ok(docs) };
    let owner = &call.caller.account;
    let list = resolved(call, &wanted, owner, owner).await?;
    if list.is_private(owner) {
        return Ok(docs);
    }
    let bucket = Bucket {
        name: call.asked.bucket.clone(),
        account: owner.clone(),
        region: String::new(),
        created_ms: 0,
        versioning: Versioning::Off,
        id: 0,
        rev: 0,
        docs: docs.clone(),
    };
    if !has_lists(&bucket)? {
        return Err(Code::InvalidBucketAclWithObjectOwnership.error());
    }
    if list.is_public() && public_access(&bucket)?.is_some_and(|block| block.block_public_acls) {
        return Err(Code::InvalidBucketAclWithBlockPublicAccess.error());
    }
    Ok(docs.with(ACL, "", &list.to_string()))
}

/// The list that a PUT of one brings.
async fn from_request(call: &mut Call, owner: &str, bucket_owner: &str) -> Result<Acl, ApiError> {
    let in_headers = acl::of_headers(&call.headers)?;
    let body = read_small(call, ACL_XML_BYTES_MAX, true, false).await?;
    // It may be asked for again, for another object.
    call.keep_body(body.clone());
    let wanted = match (in_headers, body.is_empty()) {
        (Some(wanted), true) => wanted,
        (Some(_), false) => return Err(Code::UnexpectedContent.error()),
        (None, true) => return Err(Code::MissingSecurityHeader.error().field("MissingHeaderName", acl::CANNED)),
        (None, false) => {
            let (named, wanted) = acl::of_xml(&body)?;
            // Whom something belongs to does not change by its list.
            let is_owner = match named {
                Some(id) => call.s3.engine().owner(owner).await.map_err(engine)?.canonical_id == id,
                None => true,
            };
            if !is_owner {
                return Err(Code::AccessDenied.error());
            }
            wanted
        }
    };
    resolved(call, &wanted, owner, bucket_owner).await
}

/// PUT /bucket?acl
pub(crate) async fn put_bucket(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let list = from_request(&mut call, &bucket.account, &bucket.account).await?;
    // Even a list that changes nothing.
    if !has_lists(&bucket)? {
        return Err(Code::AccessControlListNotSupported.error());
    }
    blocked(&call, &bucket, &list)?;
    // Within the transaction: lists may just have been turned off, or public ones been blocked.
    let check = |found: &Bucket| match (has_lists(found), blocked(&call, found, &list)) {
        _ if found.id != bucket.id => Err(Error::NoBucket),
        (Ok(true), Ok(())) => Ok(()),
        (Ok(true), Err(_)) => Err(Error::Precondition),
        _ => Err(Error::State(String::new())),
    };
    match call.s3.engine().set_document(&bucket.name, ACL, "", &list.to_string(), &check).await {
        Ok(()) => Ok(reply::empty(StatusCode::OK)),
        Err(Error::Precondition) => Err(public_is_blocked(&call)),
        Err(Error::State(_)) => Err(Code::AccessControlListNotSupported.error()),
        Err(error) => Err(engine(error).field("BucketName", bucket.name)),
    }
}

/// GET /bucket?acl
pub(crate) async fn get_bucket(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let list = if has_lists(&bucket)? { bucket_acl(&bucket)? } else { Acl::private(&bucket.account) };
    Ok(reply::xml(written(&call, &bucket.account, &list).await?))
}

/// PUT /bucket/key?acl
pub(crate) async fn put_object(mut call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let mut bucket = call.bucket(&bucket).await?;
    let version = call.version(&bucket)?;
    let mut attempt = 1;
    let info = loop {
        let object = call.object(&bucket, &key, version).await?;
        let owner = object.info.properties.owner.clone().filter(|_| has_lists(&bucket).unwrap_or_default());
        let owner = owner.unwrap_or_else(|| bucket.account.clone());
        let list = from_request(&mut call, &owner, &bucket.account).await?;
        if !has_lists(&bucket)? {
            // AWS refuses every list. Clients that copy an object (s3cmd) set the list of the source, and stop where they
            // cannot: one that says what holds anyway is taken.
            return match list.is_private(&bucket.account) {
                true => Ok(reply::empty(StatusCode::OK)),
                false => Err(Code::AccessControlListNotSupported.error()),
            };
        }
        blocked(&call, &bucket, &list)?;
        let text = (list != Acl::private(&owner)).then(|| list.to_string());
        // What was decided is about this very object.
        let change = |info: &ObjectInfo| match info.write_id == object.info.write_id && call.is_decided(Some(info)) {
            true => Ok(Properties { acl: text.clone(), ..info.properties.clone() }),
            false => Err(Error::Gone),
        };
        let named = VersionName::parse(&object.info.version.to_string());
        match call.s3.engine().change_properties(&bucket.name, &key, named.into(), &change).await {
            Ok(Some(info)) => break info,
            Ok(None) => return Err(Code::NoSuchKey.error().field("Key", key)),
            // The object is another one now, or its bucket says something else of lists.
            Err(Error::Gone) if attempt < READ_ATTEMPTS => {
                call.s3.engine().forget(&bucket.name, &key);
                bucket = call.look_again(&bucket).await?;
                attempt += 1;
            }
            Err(error) => return Err(engine(error)),
        }
    };
    let mut response = reply::empty(StatusCode::OK);
    reply::set_version(&mut response, shown_version(&bucket, info.version));
    Ok(response)
}

/// GET /bucket/key?acl
pub(crate) async fn get_object(call: Call, bucket: String, key: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let version = call.version(&bucket)?;
    let object = call.object(&bucket, &key, version).await?;
    let Properties { owner, acl, .. } = object.info.properties;
    let (owner, list) = if has_lists(&bucket)? {
        let owner = owner.unwrap_or_else(|| bucket.account.clone());
        let list = object_acl(acl.as_deref(), &owner)?;
        (owner, list)
    } else {
        (bucket.account.clone(), Acl::private(&bucket.account))
    };
    let mut response = reply::xml(written(&call, &owner, &list).await?);
    reply::set_version(&mut response, shown_version(&bucket, object.info.version));
    Ok(response)
}

async fn written(call: &Call, owner: &str, list: &Acl) -> Result<XmlWriter, ApiError> {
    let named = list.grants.iter().filter_map(|grant| match &grant.grantee {
        Grantee::Account(account) => Some(account.as_str()),
        _ => None,
    });
    let owners = Owners::of(&call.s3, named.chain([owner]).collect()).await?;
    let mut w = document("AccessControlPolicy");
    owners.write(&mut w, "Owner", owner);
    w.open("AccessControlList");
    for grant in &list.grants {
        w.open("Grant");
        // The writer sets one attribute; the second rides in the name.
        let kind = if grant.grantee.uri().is_some() { "Group" } else { "CanonicalUser" };
        w.open_attr("Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"", "xsi:type", kind);
        match &grant.grantee {
            Grantee::Account(account) => owners.write_names(&mut w, account),
            Grantee::Ec2 => w.text("ID", EC2_CANONICAL_ID),
            group => w.text("URI", group.uri().unwrap_or_default()),
        }
        w.close("Grantee");
        w.text("Permission", grant.permission.name());
        w.close("Grant");
    }
    w.close("AccessControlList");
    w.close("AccessControlPolicy");
    Ok(w)
}
