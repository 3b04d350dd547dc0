//! The decision about one request, in AWS's order: the bucket must be there, be whose the caller thinks it is, and then
//! the caller must be allowed.

use super::bucket::{bucket_acl, has_lists, ignores_public, policy_for};
use super::grants::{self, Of};
use super::object::Target;
use super::{Case, Judgement, Keys, Question, Resource, keys, payer};
use crate::access_log::Trace;
use crate::auth::{Caller, Identity};
use crate::call::Call;
use crate::error::engine;
use crate::headers::text;
use crate::operation::{Operation, on_version};
use crate::ops::copy;
use crate::service::Arrived;
use http::request::Parts;
use mallee_awswire::sigv4::Claim;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error, Limits};
use std::sync::Arc;

/// Who sent a request, and its head: what every question of it has in common.
pub(crate) struct Access {
    pub(crate) identity: Arc<dyn Identity>,
    pub(crate) head: Arc<Parts>,
    pub(crate) claim: Option<Claim>,
}

/// The header that says whose the bucket is.
const EXPECTED: &str = "x-amz-expected-bucket-owner";
/// The same of the bucket of a copy source.
const SOURCE_EXPECTED: &str = "x-amz-source-expected-bucket-owner";

/// The answer to a request that is refused.
pub(super) fn denied(refusal: String) -> ApiError {
    Code::AccessDenied.message(refusal)
}

/// Whether it is what the initiator of an upload may do with it.
const fn is_of_upload(operation: Operation) -> bool {
    matches!(operation, Operation::AbortMultipartUpload | Operation::ListParts)
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
        if let Some(trace) = Trace::of(&self.access.head) {
            trace.note(self);
        }
        payer::check(self)?;
        if operation == Operation::CreateBucket && self.caller.is_anonymous() {
            // A bucket is somebody's. Else the body would be read first: it has a say in the decision.
            return Err(Code::AccessDenied.error());
        }
        let now_ms = self.s3.engine().clock().now_ms();
        self.keys = keys::of(&self.asked, &self.headers, self.access.claim.as_ref(), now_ms);
        if operation == Operation::DeleteObjects {
            return Ok(());
        }
        let of_body = self.keys_of_body(now_ms).await?;
        self.keys.extend(of_body);
        if let Some(limits) = self.decide().await? {
            self.s3 = self.s3.limited(limits);
        }
        self.s3.engine().faults().point("walrus.decided").await.map_err(ApiError::internal)
    }

    /// Decides the request, and notes the object that had a say in it: what is done is done to that one only. The quotas
    /// that bind it.
    async fn decide(&self) -> Result<Option<Arc<Limits>>, ApiError> {
        let operation = self.asked.operation();
        let is_new = self.asked.bucket.is_empty() || operation == Operation::CreateBucket;
        let quotas = operation.is_counted().then_some(0);
        let mut with_tags = false;
        loop {
            let targets = if is_new { vec![Target::default()] } else { self.targets(with_tags).await? };
            let mut questions = self.asked.questions();
            self.ask_of_copied_tags(&targets, &mut questions);
            if with_tags {
                for question in &mut questions {
                    let found = targets.get(question.on).and_then(|target| target.found.as_ref()?.as_ref());
                    question.keys.extend(found.into_iter().flat_map(|found| keys::of_object_tags(&found.tags)));
                }
            }
            let resources: Vec<Resource> = targets.iter().map(|target| target.resource.clone()).collect();
            let judgement = self.judge(&resources, &questions, &self.keys, quotas).await?;
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
            if let Some(refusal) = judgement.refusals.into_iter().flatten().next() {
                return Err(denied(refusal));
            }
            self.note_lists(resources, &questions).await?;
            // At most one of them is an object: a copy's target is not there yet.
            self.note(targets.into_iter().find_map(|target| target.found));
            return Ok(judgement.limits);
        }
    }

    /// Decides again about what is there now. The quotas stay what they were; so do the keys of a DeleteObjects undecided.
    ///
    /// # Errors
    /// As [`Call::authorize`].
    pub(crate) async fn decide_again(&self) -> Result<(), ApiError> {
        if self.asked.operation() == Operation::DeleteObjects {
            return Ok(());
        }
        self.decide().await.map(drop)
    }

    /// A copy that keeps the tags of its source reads and writes tags, though no header says so.
    fn ask_of_copied_tags(&self, targets: &[Target], questions: &mut Vec<Question>) {
        let Some(source) = self.asked.source.as_ref().filter(|_| copy::keeps_tags(&self.asked, &self.headers)) else {
            return;
        };
        let Some(Some(found)) = targets.get(1).and_then(|target| target.found.as_ref()) else { return };
        if found.tags.is_empty() {
            return;
        }
        let tags = keys::of_tags(found.tags.clone().into_iter());
        let read = "s3:GetObjectTagging";
        let read = if source.version.is_some() { on_version(read) } else { read };
        let ask =
            |action: &'static str, resource, on| Question { action: action.into(), resource, on, keys: Keys::new() };
        questions.push(ask("s3:PutObjectTagging", self.asked.resource(), 0));
        questions.push(ask(read, format!("arn:aws:s3:::{}/{}", source.bucket, source.key), 1));
        for question in questions.iter_mut().filter(|question| question.on == 0) {
            question.keys.extend(tags.iter().cloned());
        }
    }

    /// Notes for the access log whether it took a list to allow the request.
    async fn note_lists(&self, resources: Vec<Resource>, questions: &[Question]) -> Result<(), ApiError> {
        // No list says who may end or list an upload.
        let by_lists = !is_of_upload(self.asked.operation());
        let wanted = Trace::of(&self.access.head).filter(|trace| by_lists && trace.is_wanted());
        let Some(trace) = wanted.filter(|_| resources.iter().any(|resource| resource.grants.is_some())) else {
            return Ok(());
        };
        let without: Vec<Resource> =
            resources.into_iter().map(|resource| Resource { grants: None, ..resource }).collect();
        let judgement = self.judge(&without, questions, &self.keys, None).await?;
        if judgement.refusals.iter().any(Option::is_some) {
            trace.by_list();
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
                Target { resource: self.initiated(bucket, self.resource(bucket)?).await?, ..Target::default() }
            });
        }
        if let (Some(source), Some(bucket)) = (&self.asked.source, self.held.get(1)) {
            let counts = with_tags || copy::keeps_tags(&self.asked, &self.headers);
            targets.push(self.object_target(bucket, &source.key, source.version.as_deref(), counts).await?);
        }
        Ok(targets)
    }

    /// The bucket as it is for whoever began the upload that the request ends or lists; for others as it was.
    async fn initiated(&self, bucket: &Bucket, resource: Resource) -> Result<Resource, ApiError> {
        let is_owner = self.caller.account == bucket.account;
        // A bucket that is closed to other accounts is closed to the initiator, too.
        if !is_of_upload(self.asked.operation()) || self.caller.is_anonymous() || is_owner || resource.denies_only {
            return Ok(resource);
        }
        let id = self.asked.query.get("uploadId").unwrap_or_default();
        match self.s3.engine().upload(&bucket.name, &self.asked.key, id).await {
            Ok(upload) if upload.account == self.caller.account => {
                Ok(Resource { grants: Some(grants::of_initiator(&upload.account)), ..resource })
            }
            Ok(_) | Err(Error::NoUpload) => Ok(resource),
            Err(error) => Err(engine(error)),
        }
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
        let judgement = self.judge(&[self.resource(bucket)?], &[question], &self.keys, None).await?;
        Ok(judgement.refusals.into_iter().flatten().next())
    }

    pub(super) async fn judge(
        &self,
        resources: &[Resource],
        questions: &[Question],
        keys: &Keys,
        quotas: Option<usize>,
    ) -> Result<Judgement, ApiError> {
        let Access { identity, head, claim } = &*self.access;
        let now_ms = self.s3.engine().clock().now_ms();
        let arrived_ms = head.extensions.get::<Arrived>().map_or(now_ms, |Arrived(at)| *at);
        let case = Case { head, claim: claim.as_ref(), resources, questions, keys, quotas, arrived_ms, now_ms };
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
    pub(super) fn resource(&self, bucket: &Bucket) -> Result<Resource, ApiError> {
        let is_own_root = self.caller.is_root_of(&bucket.account);
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
        let judgement = self.judge(&[resource], &[question], &self.keys, None).await?;
        Ok(judgement.refusals.iter().all(Option::is_none))
    }
}
