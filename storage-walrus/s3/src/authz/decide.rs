//! The decision about one request, in AWS's order: the bucket must be there, be whose the caller thinks it is, and then
//! the caller must be allowed.

use super::{Case, Judgement, Keys, Question, Resource, keys};
use crate::auth::Identity;
use crate::body::read_small;
use crate::call::Call;
use crate::error::engine;
use crate::headers::text;
use crate::operation::Operation;
use crate::{DELETE_KEYS_MAX, SMALL_XML_BYTES_MAX};
use http::request::Parts;
use mallee_awswire::sigv4::Claim;
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code};
use mallee_objects::Bucket;
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
fn denied(refusal: String) -> ApiError {
    Code::AccessDenied.message(refusal)
}

impl Call {
    /// Decides the request: whoever gets past this may do what it asks. The buckets that were looked up are kept for its
    /// handler. The keys of a DeleteObjects are decided one by one when they are known: [`Call::refused_keys`].
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`; what a body answers that has a say in it.
    pub(crate) async fn authorize(&mut self) -> Result<(), ApiError> {
        let operation = self.asked.operation();
        let mut resources = Vec::with_capacity(2);
        if self.asked.bucket.is_empty() || operation == Operation::CreateBucket {
            resources.push(Resource::default());
        } else {
            let bucket = self.look_up(&self.asked.bucket, EXPECTED).await?;
            resources.push(self.resource(&bucket));
            self.held.push(bucket);
        }
        if let Some(source) = &self.asked.source {
            let bucket = self.look_up(&source.bucket, SOURCE_EXPECTED).await?;
            resources.push(self.resource(&bucket));
            self.held.push(bucket);
        }
        if operation == Operation::DeleteObjects {
            return Ok(());
        }
        let mut keys = keys::of(&self.asked, &self.headers);
        keys.extend(self.keys_of_body().await?);
        let questions = self.asked.questions();
        let quotas = operation.is_counted().then_some(0);
        let judgement = self.judge(&resources, &questions, &keys, quotas).await?;
        if let Some(refusal) = judgement.refusals.into_iter().flatten().next() {
            return Err(denied(refusal));
        }
        if let Some(limits) = judgement.limits {
            self.s3 = self.s3.limited(limits);
        }
        Ok(())
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
        let question = |(key, version): &(&str, Option<&str>)| Question {
            action: if version.is_some() { "s3:DeleteObjectVersion".into() } else { "s3:DeleteObject".into() },
            resource: format!("arn:aws:s3:::{}/{key}", bucket.name),
            on: 0,
            keys: version.iter().map(|id| ("s3:VersionId".to_owned(), vec![(*id).to_owned()])).collect(),
        };
        let questions: Vec<Question> = batch.iter().map(question).collect();
        let keys = keys::of(&self.asked, &self.headers);
        let judgement = self.judge(&[self.resource(bucket)], &questions, &keys, None).await?;
        Ok(judgement.refusals.into_iter().map(|refusal| refusal.map(denied)).collect())
    }

    /// What is said to somebody who looks for what is not there: who may not list the bucket does not learn that.
    pub(crate) async fn hidden(&self, bucket: &Bucket, error: ApiError) -> ApiError {
        let question = Question {
            action: "s3:ListBucket".into(),
            resource: format!("arn:aws:s3:::{}", bucket.name),
            on: 0,
            keys: Keys::new(),
        };
        match self.judge(&[self.resource(bucket)], &[question], &Keys::new(), None).await {
            Ok(judgement) => match judgement.refusals.into_iter().flatten().next() {
                Some(refusal) => denied(refusal),
                None => error,
            },
            Err(unknown) => unknown,
        }
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
    fn resource(&self, bucket: &Bucket) -> Resource {
        Resource { account: Some(bucket.account.clone()), ..Resource::default() }
    }

    /// The condition keys that are in the body: it is read here, verified, and kept for the handler.
    async fn keys_of_body(&mut self) -> Result<Keys, ApiError> {
        if self.asked.operation() != Operation::PutObjectTagging {
            return Ok(Keys::new());
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
