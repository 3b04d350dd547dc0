//! The decision about one request, in AWS's order: the bucket must be there, be whose the caller thinks it is, and then
//! the caller must be allowed.

use super::bucket::{bucket_acl, has_lists, ignores_public, object_acl, policy_for};
use super::grants::{self, Of};
use super::{Case, Judgement, Keys, Question, Resource, keys};
use crate::auth::{Caller, Identity};
use crate::body::read_small;
use crate::call::{Call, absent};
use crate::error::engine;
use crate::headers::text;
use crate::operation::Operation;
use crate::ops::buckets;
use crate::{CREATE_BUCKET_XML_BYTES_MAX, DELETE_KEYS_MAX, SMALL_XML_BYTES_MAX};
use http::request::Parts;
use mallee_awswire::sigv4::Claim;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Found, Properties, VersionName};
use std::sync::Arc;

/// Who sent a request, and its head: what every question of it has in common.
pub(crate) struct Access {
    pub(crate) identity: Arc<dyn Identity>,
    pub(crate) head: Arc<Parts>,
    pub(crate) claim: Option<Claim>,
}

/// What questions are about.
#[derive(Default)]
struct Target {
    resource: Resource,
    /// Condition keys of an object's tags.
    tags: Keys,
    /// It is an object that should be there.
    is_object: bool,
    /// It is not there, in a bucket whose objects have lists.
    absent: Option<ApiError>,
}

/// The header that says whose the bucket is.
const EXPECTED: &str = "x-amz-expected-bucket-owner";
/// The same of the bucket of a copy source.
const SOURCE_EXPECTED: &str = "x-amz-source-expected-bucket-owner";

/// The answer to a request that is refused.
fn denied(refusal: String) -> ApiError {
    Code::AccessDenied.message(refusal)
}

/// A bucket as policies are asked about it, for this caller.
pub(crate) fn resource_of(bucket: &Bucket, caller: &Caller) -> Result<Resource, ApiError> {
    let (policy, denies_only) = policy_for(bucket, caller)?;
    let grants = match has_lists(bucket)? {
        true => grants::policy(&bucket_acl(bucket)?, Of::Bucket, ignores_public(bucket)?),
        false => None,
    };
    Ok(Resource { account: Some(bucket.account.clone()), policy, denies_only, grants })
}

/// An object as policies are asked about it, from what its bucket is: it may have an owner and a list of its own.
pub(crate) fn object_resource(
    bucket_resource: Resource,
    bucket: &Bucket,
    owner: Option<&str>,
    acl: Option<&str>,
) -> Result<Resource, ApiError> {
    // The bucket's list says nothing of what is in it.
    let mut resource = Resource { grants: None, ..bucket_resource };
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
    /// Decides the request: whoever gets past this may do what it asks. The buckets that were looked up are kept for its
    /// handler. The keys of a DeleteObjects are decided one by one when they are known: [`Call::refused_keys`].
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`; what a body answers that has a say in it.
    pub(crate) async fn authorize(&mut self) -> Result<(), ApiError> {
        let operation = self.asked.operation();
        let is_new = self.asked.bucket.is_empty() || operation == Operation::CreateBucket;
        if !is_new {
            self.held.push(self.look_up(&self.asked.bucket, EXPECTED).await?);
        }
        if let Some(source) = &self.asked.source {
            self.held.push(self.look_up(&source.bucket, SOURCE_EXPECTED).await?);
        }
        if operation == Operation::DeleteObjects {
            return Ok(());
        }
        let mut keys = keys::of(&self.asked, &self.headers);
        keys.extend(self.keys_of_body().await?);
        let quotas = operation.is_counted().then_some(0);
        let mut with_tags = false;
        let judgement = loop {
            let targets = if is_new { vec![Target::default()] } else { self.targets(with_tags).await? };
            let mut questions = self.asked.questions();
            for question in &mut questions {
                question.keys.extend(targets.get(question.on).iter().flat_map(|target| target.tags.clone()));
            }
            let resources: Vec<Resource> = targets.iter().map(|target| target.resource.clone()).collect();
            let judgement = self.judge(&resources, &questions, &keys, quotas).await?;
            let has_object = targets.iter().any(|target| target.is_object);
            if judgement.asks_object_tags && has_object && !with_tags {
                with_tags = true;
                continue;
            }
            let refused = judgement.refusals.iter().zip(&questions).find(|(refusal, _)| refusal.is_some());
            if let Some((_, question)) = refused
                && let (Some(bucket), Some(target)) = (self.held.get(question.on), targets.get(question.on))
                && let Some(absent) = &target.absent
                && self.refused_list(bucket).await?.is_none()
            {
                // There is nobody's list that could allow it: who may list the bucket is told so.
                return Err(absent.clone());
            }
            break judgement;
        };
        if let Some(refusal) = judgement.refusals.into_iter().flatten().next() {
            return Err(denied(refusal));
        }
        if let Some(limits) = judgement.limits {
            self.s3 = self.s3.limited(limits);
        }
        Ok(())
    }

    /// What the questions of the request are about: its bucket or object, and the source of a copy.
    async fn targets(&self, with_tags: bool) -> Result<Vec<Target>, ApiError> {
        let mut targets = Vec::with_capacity(2);
        if let Some(bucket) = self.held.first() {
            targets.push(if self.asked.operation().reads_object() {
                self.object_target(bucket, &self.asked.key, self.asked.query.get("versionId"), with_tags).await?
            } else {
                Target { resource: self.resource(bucket)?, ..Target::default() }
            });
        }
        if let (Some(source), Some(bucket)) = (&self.asked.source, self.held.get(1)) {
            targets.push(self.object_target(bucket, &source.key, source.version.as_deref(), with_tags).await?);
        }
        Ok(targets)
    }

    /// An object that is there, as policies are asked about it: it may have an owner and a list of its own.
    async fn object_target(
        &self,
        bucket: &Bucket,
        key: &str,
        version: Option<&str>,
        with_tags: bool,
    ) -> Result<Target, ApiError> {
        let mut target = Target { resource: self.resource(bucket)?, is_object: true, ..Target::default() };
        let has_lists = has_lists(bucket)?;
        if !has_lists && !with_tags {
            return Ok(target);
        }
        // The bucket's list says nothing of what is in it.
        target.resource.grants = None;
        let name = version.map(VersionName::parse);
        let found = match name {
            Some(None) => None,
            _ => self.s3.engine().find(&bucket.name, key, name.flatten().into()).await.map_err(engine)?,
        };
        let Some(object) = found.and_then(Found::object) else {
            target.absent = has_lists.then(|| absent(bucket, key, name.flatten()));
            return Ok(target);
        };
        let Properties { owner, acl, tags, .. } = object.info.properties;
        if with_tags {
            target.tags = keys::of_object_tags(tags.into_iter());
        }
        target.resource = object_resource(target.resource, bucket, owner.as_deref(), acl.as_deref())?;
        Ok(target)
    }

    /// Why each of these keys of a batch (with whether it names a version) may not be deleted, in their order; `None`: it
    /// may.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be told.
    pub(crate) async fn refused_keys(
        &self,
        bucket: &Bucket,
        batch: &[(&str, Option<&str>)],
    ) -> Result<Vec<Option<ApiError>>, ApiError> {
        debug_assert!(batch.len() <= DELETE_KEYS_MAX, "the parser sees to it");
        let further = self.asked.further();
        let questions = |(key, version): &(&str, Option<&str>)| {
            let delete = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
            let resource = format!("arn:aws:s3:::{}/{key}", bucket.name);
            let keys: Keys = version.iter().map(|id| ("s3:VersionId".to_owned(), vec![(*id).to_owned()])).collect();
            let actions = std::iter::once(delete).chain(further.iter().copied());
            actions
                .map(|action| Question { action: action.into(), resource: resource.clone(), on: 0, keys: keys.clone() })
                .collect::<Vec<_>>()
        };
        let questions: Vec<Question> = batch.iter().flat_map(questions).collect();
        let keys = keys::of(&self.asked, &self.headers);
        let judgement = self.judge(&[self.resource(bucket)?], &questions, &keys, None).await?;
        let of_key = |refusals: &[Option<String>]| refusals.iter().flatten().next().cloned().map(denied);
        Ok(judgement.refusals.chunks(1 + further.len()).map(of_key).collect())
    }

    /// What is said to somebody who looks for what is not there: who may not list the bucket does not learn that.
    pub(crate) async fn hidden(&self, bucket: &Bucket, error: ApiError) -> ApiError {
        match self.refused_list(bucket).await {
            Ok(Some(refusal)) => denied(refusal),
            Ok(None) => error,
            Err(unknown) => unknown,
        }
    }

    async fn refused_list(&self, bucket: &Bucket) -> Result<Option<String>, ApiError> {
        let question = Question {
            action: "s3:ListBucket".into(),
            resource: format!("arn:aws:s3:::{}", bucket.name),
            on: 0,
            keys: Keys::new(),
        };
        let judgement = self.judge(&[self.resource(bucket)?], &[question], &Keys::new(), None).await?;
        Ok(judgement.refusals.into_iter().flatten().next())
    }

    async fn judge(
        &self,
        resources: &[Resource],
        questions: &[Question],
        keys: &Keys,
        quotas: Option<usize>,
    ) -> Result<Judgement, ApiError> {
        let Access { identity, head, claim } = &*self.access;
        let case = Case { head, claim: claim.as_ref(), resources, questions, keys, quotas };
        let judgement = identity.judge(&case).await?;
        if judgement.refusals.len() != questions.len() {
            return Err(ApiError::internal("not every question was answered"));
        }
        Ok(judgement)
    }

    async fn look_up(&self, name: &str, expected: &str) -> Result<Bucket, ApiError> {
        let bucket = self.s3.engine().bucket(name).await.map_err(|e| engine(e).field("BucketName", name))?;
        match text(&self.headers, expected) {
            Some(owner) if owner != bucket.account => Err(Code::AccessDenied.error()),
            _ => Ok(bucket),
        }
    }

    /// A bucket as policies are asked about it.
    fn resource(&self, bucket: &Bucket) -> Result<Resource, ApiError> {
        let is_own_root = self.caller.is_root() && self.caller.account == bucket.account;
        // Else a policy could lock everybody out for ever.
        let resource = resource_of(bucket, &self.caller)?;
        Ok(match self.asked.operation() {
            Operation::GetBucketPolicy | Operation::PutBucketPolicy | Operation::DeleteBucketPolicy if is_own_root => {
                Resource { policy: None, denies_only: false, ..resource }
            }
            _ => resource,
        })
    }

    /// Why the caller may not give a role to a service; `None`: it may.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be told.
    pub(crate) async fn refused_role(&self, role: &str, service: &str) -> Result<Option<String>, ApiError> {
        let account = role.split(':').nth(4).map(str::to_owned);
        let question = Question {
            action: "iam:PassRole".into(),
            resource: role.to_owned(),
            on: 0,
            keys: vec![("iam:PassedToService".to_owned(), vec![service.to_owned()])],
        };
        let resource = Resource { account, ..Resource::default() };
        let judgement = self.judge(&[resource], &[question], &Keys::new(), None).await?;
        Ok(judgement.refusals.into_iter().flatten().next())
    }

    /// Whether the caller could put another policy if this were the bucket's.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be told.
    pub(crate) async fn may_put_policy_under(&self, bucket: &Bucket, policy: &str) -> Result<bool, ApiError> {
        let account = Some(bucket.account.clone());
        let resource = Resource { account, policy: Some(policy.into()), ..Resource::default() };
        let question = Question {
            action: "s3:PutBucketPolicy".into(),
            resource: format!("arn:aws:s3:::{}", bucket.name),
            on: 0,
            keys: Keys::new(),
        };
        let judgement = self.judge(&[resource], &[question], &Keys::new(), None).await?;
        Ok(judgement.refusals.iter().all(Option::is_none))
    }

    /// The condition keys that are in the body: it is read here, verified, and kept for the handler. Whether it asks for
    /// a right more is noted.
    async fn keys_of_body(&mut self) -> Result<Keys, ApiError> {
        match self.asked.operation() {
            Operation::PutObjectTagging => {}
            Operation::CreateBucket => {
                let body = read_small(self, CREATE_BUCKET_XML_BYTES_MAX, true, false).await?;
                if buckets::is_tagged(&body)? {
                    self.asked = Arc::new(self.asked.with("s3:TagResource"));
                }
                self.keep_body(body);
                return Ok(Keys::new());
            }
            _ => return Ok(Keys::new()),
        }
        let body = read_small(self, SMALL_XML_BYTES_MAX, true, false).await?;
        // What is no tagging is refused by the handler: it has no tags that could be asked about.
        let tags = Element::parse(&body, XmlLimits::bytes(SMALL_XML_BYTES_MAX)).map(|root| tags(&root));
        self.keep_body(body);
        Ok(keys::of_tags(tags.unwrap_or_default().into_iter()))
    }
}

fn tags(root: &Element) -> Vec<(String, String)> {
    let sets = root.children.iter().filter(|child| child.name == "TagSet");
    let tags = sets.flat_map(|set| set.all("Tag"));
    let text = |tag: &Element, name| tag.child_text(name).unwrap_or_default().to_owned();
    tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect()
}
