//! Objects that have a say in who may do what with them, by their lists and tags, and what of one is told to whom.

use super::bucket::{has_lists, ignores_public, object_acl};
use super::grants::{self, Of};
use super::{Question, Resource, keys};
use crate::call::{Call, absent};
use crate::error::engine;
use crate::operation::on_version;
use mallee_awswire::ApiError;
use mallee_objects::{Bucket, Found, ObjectInfo, Properties, Tags, VersionName};
use std::borrow::Cow;

/// What questions are about.
#[derive(Default)]
pub(super) struct Target {
    pub(super) resource: Resource,
    /// It is an object that should be there.
    pub(super) is_object: bool,
    /// What was found, where that has a say.
    pub(super) found: Option<Seen>,
    /// It is not there, in a bucket whose objects have lists.
    pub(super) absent: Option<ApiError>,
}

/// An object as it was when it was decided about; `None`: there was none.
pub(crate) type Seen = Option<Looks>;

/// What of an object can have a say in who may do something with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Looks {
    write_id: String,
    owner: Option<String>,
    acl: Option<String>,
    pub(super) tags: Tags,
}

impl Looks {
    pub(crate) fn of(info: &ObjectInfo) -> Self {
        let Properties { owner, acl, tags, .. } = &info.properties;
        Self { write_id: info.write_id.clone(), owner: owner.clone(), acl: acl.clone(), tags: tags.clone() }
    }
}

/// An object as policies are asked about it, from what its bucket is: it may have an owner and a list of its own.
pub(crate) fn object_resource(
    bucket_resource: Resource,
    bucket: &Bucket,
    owner: Option<&str>,
    acl: Option<&str>,
) -> Result<Resource, ApiError> {
    let mut resource = bucket_resource;
    if has_lists(bucket)? {
        let owner = owner.unwrap_or(&bucket.account);
        resource.grants = grants::policy(&object_acl(acl, owner)?, Of::Object, ignores_public(bucket)?);
        if owner != bucket.account {
            // The bucket's owner may forbid, and delete; to let others read is the object's owner's.
            resource.denies_only = true;
            resource.account = Some(owner.to_owned());
        }
    }
    Ok(resource)
}

impl Call {
    /// An object that is there, as policies are asked about it: it may have an owner and a list of its own. It is looked
    /// up where that counts, or its tags do.
    pub(super) async fn object_target(
        &self,
        bucket: &Bucket,
        key: &str,
        version: Option<&str>,
        tags_count: bool,
    ) -> Result<Target, ApiError> {
        let has_lists = has_lists(bucket)?;
        if !has_lists && !tags_count {
            return Ok(Target { resource: self.resource(bucket)?, is_object: true, ..Target::default() });
        }
        let name = version.map(VersionName::parse);
        let found = match name {
            Some(None) => None,
            _ => self.s3.engine().find_in(bucket, key, name.flatten().into()).await.map_err(engine)?,
        };
        if let Some(object) = found.and_then(Found::object) {
            let resource = self.object_resource(bucket, &object.info)?;
            return Ok(Target { resource, is_object: true, found: Some(Some(Looks::of(&object.info))), absent: None });
        }
        let mut target = Target { resource: self.resource(bucket)?, is_object: true, ..Target::default() };
        if has_lists {
            // The bucket's list says nothing of what is in it.
            target.resource.grants = None;
            target.absent = Some(absent(bucket, key, name.flatten()));
        }
        target.found = Some(None);
        Ok(target)
    }

    /// An object as policies are asked about it.
    fn object_resource(&self, bucket: &Bucket, info: &ObjectInfo) -> Result<Resource, ApiError> {
        let Properties { owner, acl, .. } = &info.properties;
        object_resource(self.resource(bucket)?, bucket, owner.as_deref(), acl.as_deref())
    }

    /// What may be told of an object that is read: its lock and how many tags it has take rights of their own. (An object
    /// that has neither is asked nothing about.)
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be told.
    pub(crate) async fn shown<'i>(
        &self,
        bucket: &Bucket,
        info: &'i ObjectInfo,
    ) -> Result<Cow<'i, ObjectInfo>, ApiError> {
        let Properties { retention, legal_hold, hold_known, tags, .. } = &info.properties;
        let read_tags = "s3:GetObjectTagging";
        let named = self.asked.query.has("versionId");
        let asked = [
            (retention.is_some(), "s3:GetObjectRetention"),
            (*legal_hold || *hold_known, "s3:GetObjectLegalHold"),
            (!tags.is_empty(), if named { on_version(read_tags) } else { read_tags }),
        ];
        let resource = format!("arn:aws:s3:::{}/{}", bucket.name, info.key);
        let question = |action: &'static str| {
            let keys = keys::of_object_tags(tags);
            Question { action: action.into(), resource: resource.clone(), on: 0, keys }
        };
        let questions: Vec<Question> =
            asked.iter().filter(|(asks, _)| *asks).map(|(_, action)| question(action)).collect();
        if questions.is_empty() {
            return Ok(Cow::Borrowed(info));
        }
        let about = [self.object_resource(bucket, info)?];
        let judgement = self.judge(&about, &questions, &self.keys, None).await?;
        let mut refused = judgement.refusals.iter().map(Option::is_some);
        let mut hides = asked.map(|(asks, _)| asks && refused.next().unwrap_or(true)).into_iter();
        let mut shown = info.clone();
        if hides.next().unwrap_or(true) {
            shown.properties.retention = None;
        }
        if hides.next().unwrap_or(true) {
            shown.properties.legal_hold = false;
            shown.properties.hold_known = false;
        }
        if hides.next().unwrap_or(true) {
            shown.properties.tags.clear();
        }
        Ok(Cow::Owned(shown))
    }
}
