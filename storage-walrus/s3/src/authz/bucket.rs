//! What of a bucket has a say in who may use it: its policy, what is kept from the public, who owns what is in it.

use crate::auth::Caller;
use mallee_awswire::ApiError;
use mallee_iam::{Policy, PolicyKind};
use mallee_objects::{Bucket, Documents};
use mallee_s3_config::{Acl, Document, Ownership, OwnershipControls, PublicAccessBlock, kept, text};
use std::sync::Arc;

/// Under which name a policy is kept: the text that the client sent.
pub(crate) const POLICY: &str = "policy";
/// Under which name an access control list is kept; without one the owner has full control, nobody else any.
pub(crate) const ACL: &str = "acl";
/// The text of a document that was deleted, where having none means what new buckets have.
pub(crate) const GONE: &str = "";

/// What new buckets are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NewBuckets {
    /// As AWS makes them since 2023: everything belongs to the bucket's owner, lists do not count, and nothing is public.
    #[default]
    Closed,
    /// As they were before: writers own what they write, lists count, and nothing is kept from the public.
    Open,
}

impl NewBuckets {
    /// The documents of a new bucket, for which this ownership was asked. A closed one has none, so that nothing has to
    /// be read of it.
    pub(crate) fn documents(self, ownership: Option<Ownership>) -> Documents {
        let mut docs = Documents::default();
        if self == Self::Open {
            docs = docs.with(PublicAccessBlock::KIND, "", GONE);
        }
        let ownership = ownership.or((self == Self::Open).then_some(Ownership::ObjectWriter));
        match ownership.filter(|rule| *rule != Ownership::BucketOwnerEnforced) {
            Some(rule) => docs.with(OwnershipControls::KIND, "", &text(&OwnershipControls(rule))),
            None => docs,
        }
    }
}

fn document<D: Document>(bucket: &Bucket, unsaid: D) -> Result<Option<D>, ApiError> {
    match bucket.docs.get(D::KIND) {
        None => Ok(Some(unsaid)),
        Some(GONE) => Ok(None),
        Some(text) => kept(text).map(Some),
    }
}

/// What of a bucket is kept from the public; `None`: its configuration was deleted, nothing is.
pub(crate) fn public_access(bucket: &Bucket) -> Result<Option<PublicAccessBlock>, ApiError> {
    document(bucket, PublicAccessBlock::ALL)
}

/// Who owns what is in a bucket; `None`: its configuration was deleted, which is as [`Ownership::ObjectWriter`].
pub(crate) fn ownership(bucket: &Bucket) -> Result<Option<Ownership>, ApiError> {
    let controls = document(bucket, OwnershipControls(Ownership::BucketOwnerEnforced))?;
    Ok(controls.map(|OwnershipControls(rule)| rule))
}

/// Whether access control lists count in a bucket.
pub(crate) fn has_lists(bucket: &Bucket) -> Result<bool, ApiError> {
    Ok(ownership(bucket)? != Some(Ownership::BucketOwnerEnforced))
}

/// Whether what lists grant to the public is passed over in a bucket.
pub(super) fn ignores_public(bucket: &Bucket) -> Result<bool, ApiError> {
    Ok(public_access(bucket)?.is_some_and(|block| block.ignore_public_acls))
}

fn kept_acl(text: Option<&str>, owner: &str) -> Result<Acl, ApiError> {
    let Some(text) = text else { return Ok(Acl::private(owner)) };
    Acl::kept(text).ok_or_else(|| ApiError::internal("an access control list that is kept cannot be read"))
}

/// The access control list of a bucket.
pub(crate) fn bucket_acl(bucket: &Bucket) -> Result<Acl, ApiError> {
    kept_acl(bucket.docs.get(ACL), &bucket.account)
}

/// The access control list of an object, from what is kept with it.
pub(crate) fn object_acl(kept: Option<&str>, owner: &str) -> Result<Acl, ApiError> {
    kept_acl(kept, owner)
}

/// A bucket's policy as it is kept.
pub(crate) fn read_policy(text: &str) -> Result<Policy, ApiError> {
    Policy::parse(text, PolicyKind::Resource).map_err(ApiError::internal)
}

/// The policy of a bucket for this caller, and whether only what it denies counts.
pub(super) fn policy_for(bucket: &Bucket, caller: &Caller) -> Result<(Option<Arc<str>>, bool), ApiError> {
    let Some(text) = bucket.docs.get(POLICY) else { return Ok((None, false)) };
    let restricted = caller.account != bucket.account
        && public_access(bucket)?.is_some_and(|block| block.restrict_public_buckets)
        && read_policy(text)?.is_public();
    Ok((Some(text.into()), restricted))
}
