//! Writes of another Mallee that replicates into a bucket of this one: by headers that only those may send who have
//! `s3:ReplicateObject` and `s3:ReplicateDelete`. What is written so goes no further.

use crate::authz::bucket::{has_lists, object_acl, public_access};
use crate::call::Call;
use crate::dispatch::origin;
use crate::error::{engine, invalid_argument, not_implemented};
use crate::headers::text;
use crate::props::{lock, tags};
use http::HeaderMap;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{
    Bucket, Description, Engine, Error, Found, Marker, ObjectInfo, Origin, Placed, Properties, REPLICA, REPLICATION,
    ReplicaBytes, Retention, Stored, VersionId, VersionName, retain_by_default,
};
use mallee_s3_config::{Acl, GRANTS_MAX, Grant, Grantee, Permission};
use std::sync::Arc;

/// The id that the version has.
pub(crate) const VERSION: &str = "x-mallee-replica-version";
/// When it was written, in milliseconds since 1970.
pub(crate) const TIME: &str = "x-mallee-replica-time";
/// The entity tag that it has.
pub(crate) const ETAG: &str = "x-mallee-replica-etag";
/// What its access control list grants to groups.
pub(crate) const LIST: &str = "x-mallee-replica-list";
/// Nothing is written if the version is not there.
pub(crate) const CHANGE: &str = "x-mallee-replica-change";
/// It is a replica, whatever its version is: of a Mallee that does not take this store for one.
pub(crate) const PLAIN: &str = "x-mallee-replica";
/// Longest entity tag.
const ETAG_BYTES_MAX: usize = 64;
/// The owner, among grantees.
const OWNER: &str = "owner";
/// EC2, among grantees.
const EC2: &str = "ec2";

/// Whether a request is one of a replication.
pub(crate) fn is_replica(headers: &HeaderMap) -> bool {
    headers.contains_key(VERSION) || headers.contains_key(PLAIN)
}

/// Whether a write's list may grant something to the public.
pub(crate) fn may_grant_to_public(headers: &HeaderMap) -> bool {
    let list = text(headers, LIST).filter(|_| headers.contains_key(VERSION)).and_then(read_list);
    let is_group = |grantee: &Option<Grantee>| grantee.as_ref().is_some_and(|grantee| grantee.uri().is_some());
    list.is_some_and(|grants| grants.iter().any(|(_, grantee)| is_group(grantee)))
}

/// Refuses conditions where a version comes with its id: whether it is written hangs on whether it is there, and on nothing
/// else.
///
/// # Errors
/// `NotImplemented`.
pub(crate) fn refuse_conditions(replica: Option<&Incoming>, has_conditions: bool) -> Result<(), ApiError> {
    match replica {
        Some(Incoming::Version(_)) if has_conditions => Err(not_implemented("A condition on a replica's version")),
        _ => Ok(()),
    }
}

/// A list as another store is told of it: what it grants to its owner and to groups. Accounts of one cloud are none of
/// another's, or others of the same number.
///
/// # Errors
/// A list that cannot be read.
pub(super) fn list_text(kept: Option<&str>, owner: &str) -> Result<String, ApiError> {
    let list = object_acl(kept, owner)?;
    let grants = list.grants.iter().filter_map(|Grant { grantee, permission }| {
        let grantee = match grantee {
            Grantee::Account(account) if account == owner => OWNER,
            Grantee::Account(_) => return None,
            Grantee::Ec2 => EC2,
            group => group.uri()?,
        };
        Some(format!("{} {grantee}", permission.name()))
    });
    Ok(grants.collect::<Vec<_>>().join(","))
}

fn read_list(text: &str) -> Option<Vec<(Permission, Option<Grantee>)>> {
    let grants = text.split(',').filter(|grant| !grant.is_empty()).map(|grant| {
        let (permission, grantee) = grant.split_once(' ')?;
        let grantee = match grantee {
            OWNER => None,
            EC2 => Some(Grantee::Ec2),
            uri => Some(Grantee::of_uri(uri)?),
        };
        Some((Permission::parse(permission)?, grantee))
    });
    grants.collect::<Option<Vec<_>>>().filter(|grants| grants.len() <= GRANTS_MAX)
}

/// What is said of a replica.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// It has the id that it has elsewhere.
    Version(IncomingVersion),
    /// It is a new version.
    Plain,
}

/// A version as it is elsewhere.
#[derive(Debug)]
pub(crate) struct IncomingVersion {
    version: VersionId,
    created_ms: i64,
    etag: Option<String>,
    list: Option<Vec<(Permission, Option<Grantee>)>>,
    with_tags: bool,
    only_change: bool,
}

impl Incoming {
    /// Reads the headers; `None`: it is no replica.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        if !headers.contains_key(VERSION) {
            return Ok(headers.contains_key(PLAIN).then_some(Self::Plain));
        }
        let said = |name: &str| text(headers, name).unwrap_or_default();
        let wrong = |name: &str| invalid_argument("A replica is not well described.", name, said(name));
        let version = VersionId::parse(said(VERSION)).filter(|id| !id.is_null()).ok_or_else(|| wrong(VERSION))?;
        let created_ms = said(TIME).parse::<i64>().ok().filter(|ms| *ms >= 0).ok_or_else(|| wrong(TIME))?;
        let etag = Some(said(ETAG)).filter(|etag| !etag.is_empty()).map(str::to_owned);
        let good = |etag: &String| {
            etag.len() <= ETAG_BYTES_MAX && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if etag.as_ref().is_some_and(|etag| !good(etag)) {
            return Err(wrong(ETAG));
        }
        let list = match headers.contains_key(LIST) {
            true => Some(read_list(said(LIST)).ok_or_else(|| wrong(LIST))?),
            false => None,
        };
        let (with_tags, only_change) = (headers.contains_key(tags::TAGGING), headers.contains_key(CHANGE));
        Ok(Some(Self::Version(IncomingVersion { version, created_ms, etag, list, with_tags, only_change })))
    }
}

/// The engine for what a replication writes: nobody brings it further. Who is told of it is told whose request it was.
pub(crate) fn writer(call: &Call) -> Engine {
    call.s3.engine().by(Arc::new(Origin { operation: REPLICATION, ..origin(call) }))
}

impl IncomingVersion {
    /// The list that it has in this bucket.
    fn list(&self, bucket: &Bucket) -> Result<Option<String>, ApiError> {
        let Some(grants) = self.list.as_ref().filter(|_| has_lists(bucket).unwrap_or_default()) else {
            return Ok(None);
        };
        let grants = grants.iter().map(|(permission, grantee)| {
            let grantee = grantee.clone().unwrap_or_else(|| Grantee::Account(bucket.account.clone()));
            Grant { grantee, permission: *permission }
        });
        let list = Acl { grants: grants.collect() };
        if list.is_public() && public_access(bucket)?.is_some_and(|block| block.block_public_acls) {
            return Err(Code::AccessDenied.message("The destination bucket blocks public access control lists."));
        }
        Ok((list != Acl::private(&bucket.account)).then(|| list.to_string()))
    }

    /// Writes the object under its id, or gives the one that is there the tags, list and locks of this one, as far as it says
    /// anything of them; what is there then. It belongs to the bucket's owner.
    pub(crate) async fn put(
        self,
        call: &Call,
        bucket: &Bucket,
        what: Description,
        stored: Stored,
    ) -> Result<ObjectInfo, ApiError> {
        let store = writer(call).at(bucket.level());
        let key = what.key.clone();
        let which = Some(VersionName::from(self.version)).into();
        let acl = self.list(bucket);
        let there = store.find(&bucket.name, &key, which).await.map_err(engine);
        let (acl, there) = match (acl, there) {
            (Ok(acl), Ok(there)) if there.is_some() || !self.only_change => (acl, there),
            (acl, there) => {
                store.drop_stored(stored).await;
                acl.and(there)?;
                return Err(engine(Error::NoObject).field("Key", key));
            }
        };
        let given = Properties { owner: None, acl, replication: Some(REPLICA.to_owned()), ..what.properties.clone() };
        let placed = match there {
            None => {
                // The days of a default retention begin with the replica, not with the object.
                let properties = retain_by_default(&bucket.docs, given.clone(), store.clock().now_ms());
                let properties = properties.map_err(engine)?;
                let etag = self.etag.clone().unwrap_or_else(|| what.etag.clone());
                let what = Description { etag, properties, retain_by_default: false, ..what };
                store.put_replica(what, self.version, self.created_ms, ReplicaBytes::New(stored)).await
            }
            Some(_) => {
                store.drop_stored(stored).await;
                Ok(Placed::There)
            }
        };
        if placed.map_err(engine)? == Placed::There {
            let now_ms = store.clock().now_ms();
            let change = |there: &ObjectInfo| {
                // A list is about an owner: that of another is another list.
                let is_owner = there.properties.owner.as_ref().is_none_or(|owner| *owner == bucket.account);
                let takes_list = is_owner && self.list.is_some();
                let acl = if takes_list { given.acl.clone() } else { there.properties.acl.clone() };
                let bypass = lock::bypass(&call.headers);
                Ok(Properties { acl, ..changed(&there.properties, &given, self.with_tags, now_ms, bypass) })
            };
            store.change_properties(&bucket.name, &key, which, &change).await.map_err(engine)?;
        }
        match store.find(&bucket.name, &key, which).await.map_err(engine)? {
            Some(Found::Object(object)) => Ok(object.info),
            _ => Err(engine(Error::NoObject).field("Key", key)),
        }
    }

    /// Writes the delete marker under its id.
    pub(crate) async fn mark(self, call: &Call, bucket: &Bucket, key: &str) -> Result<VersionId, ApiError> {
        let marker = Marker { version: self.version, created_ms: self.created_ms };
        writer(call).put_replica_marker(&bucket.name, key, marker).await.map_err(engine)?;
        Ok(self.version)
    }
}

/// What a version that is there has, with the locks of the one that comes again and (`with_tags`) its tags. What that one
/// says nothing of is left as it is. `bypass`: a governance retention may become shorter.
pub(super) fn changed(
    there: &Properties,
    given: &Properties,
    with_tags: bool,
    now_ms: i64,
    bypass: bool,
) -> Properties {
    let tags = if with_tags { given.tags.clone() } else { there.tags.clone() };
    // A default retention of the destination stays; and so does what nobody may make shorter.
    let retention = given.retention.filter(|new| Retention::may_change(there.retention, Some(*new), now_ms, bypass));
    let retention = retention.or(there.retention);
    // A hold that somebody laid on the replica stays where nobody ever spoke of one at its source.
    let said = if given.legal_hold || given.hold_known { given } else { there };
    let (legal_hold, hold_known) = (said.legal_hold, said.hold_known);
    Properties { tags, retention, legal_hold, hold_known, ..there.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<Option<Incoming>, Code> {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Incoming::read(&pairs.iter().map(pair).collect()).map_err(|error| error.code())
    }

    #[test]
    fn headers() {
        let id = VersionId::of_parts(-5, 7).to_string();
        let id: &'static str = id.leak();
        assert!(matches!(read(&[]), Ok(None)));
        assert!(matches!(read(&[(TIME, "1"), (ETAG, "e")]), Ok(None)));
        assert!(matches!(read(&[(PLAIN, "s3")]), Ok(Some(Incoming::Plain))));
        let found = read(&[
            (VERSION, id),
            (TIME, "12"),
            (ETAG, "abc-2"),
            (LIST, "FULL_CONTROL owner,READ ec2"),
            (CHANGE, "only"),
        ]);
        let Ok(Some(Incoming::Version(found))) = found else { panic!("{found:?}") };
        assert_eq!((found.version, found.created_ms), (VersionId::of_parts(-5, 7), 12));
        assert_eq!((found.etag.as_deref(), found.only_change), (Some("abc-2"), true));
        let list = vec![(Permission::FullControl, None), (Permission::Read, Some(Grantee::Ec2))];
        assert_eq!(found.list, Some(list));
        for bad in [
            vec![(VERSION, "null"), (TIME, "1")],
            vec![(VERSION, "x"), (TIME, "1")],
            vec![(VERSION, id)],
            vec![(VERSION, id), (TIME, "-1")],
            vec![(VERSION, id), (TIME, "1"), (ETAG, "a\"b")],
            vec![(VERSION, id), (TIME, "1"), (LIST, "READ 111111111111")],
            vec![(VERSION, id), (TIME, "1"), (LIST, "EAT owner")],
        ] {
            assert_eq!(read(&bad).map(drop), Err(Code::InvalidArgument), "{bad:?}");
        }
    }

    #[test]
    fn a_governance_retention_becomes_shorter_by_bypass_alone() {
        use mallee_objects::LockMode::{Compliance, Governance};
        let with = |mode, until_ms| {
            let retention = Some(Retention { mode, until_ms });
            Properties { retention, ..Properties::default() }
        };
        let kept = |there: &Properties, given: &Properties, bypass| changed(there, given, false, 5, bypass).retention;
        let (there, compliance) = (with(Governance, 100), with(Compliance, 100));
        for given in [with(Governance, 50), with(Compliance, 100)] {
            assert_eq!(kept(&there, &given, false), there.retention);
            assert_eq!(kept(&there, &given, true), given.retention);
        }
        assert_eq!(kept(&there, &with(Governance, 200), false), with(Governance, 200).retention, "longer it may be");
        assert_eq!(kept(&compliance, &with(Compliance, 50), true), compliance.retention);
    }

    #[test]
    fn lists_that_name_groups_may_be_public() {
        let of = |list: &'static str| {
            let id = HeaderValue::from_static("x");
            let pairs = [
                (HeaderName::from_static(VERSION), id),
                (HeaderName::from_static(LIST), HeaderValue::from_static(list)),
            ];
            may_grant_to_public(&HeaderMap::from_iter(pairs))
        };
        assert!(of("FULL_CONTROL owner,READ http://acs.amazonaws.com/groups/global/AllUsers"));
        assert!(!of("FULL_CONTROL owner,READ ec2") && !of("") && !of("EAT owner"));
    }

    #[test]
    fn lists_name_no_accounts() {
        let of = |kept: &str| list_text(Some(kept), "1").expect("reads");
        let all = Grantee::AllUsers.uri().expect("a group");
        assert_eq!(list_text(None, "1").expect("the owner's alone"), "FULL_CONTROL owner");
        assert_eq!(of(&format!("FULL_CONTROL 1\nREAD 2\nREAD {all}\n")), format!("FULL_CONTROL owner,READ {all}"));
        assert_eq!(of("READ 2\n"), "");
        assert_eq!(read_list(""), Some(vec![]));
        assert!(list_text(Some("EAT 1\n"), "1").is_err());
    }
}
