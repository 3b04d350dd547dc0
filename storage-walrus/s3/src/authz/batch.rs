//! The objects of a DeleteObjects: each is decided by itself.

use super::{Question, keys};
use crate::DELETE_KEYS_MAX;
use crate::call::Call;
use crate::operation::on_version;
use mallee_awswire::ApiError;
use mallee_objects::Bucket;

/// An object of a batch that is to be deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doomed<'a> {
    pub(crate) key: &'a str,
    /// The version it names.
    pub(crate) version: Option<&'a str>,
    /// The entity tag that it must have.
    pub(crate) etag: Option<&'a str>,
    /// Whether the answer tells what the object is like.
    pub(crate) looks: bool,
}

/// Questions that are asked at once: a batch of deletions has more.
const QUESTIONS_MAX: usize = 1000;

impl Call {
    /// Why each of these objects of a batch may not be deleted, in their order; `None`: it may.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be told.
    pub(crate) async fn refused_keys(
        &self,
        bucket: &Bucket,
        batch: &[Doomed<'_>],
    ) -> Result<Vec<Option<ApiError>>, ApiError> {
        debug_assert!(batch.len() <= DELETE_KEYS_MAX, "the parser sees to it");
        let further = self.asked.further();
        let mut questions = Vec::with_capacity(batch.len());
        // To which object each is.
        let mut of = Vec::with_capacity(batch.len());
        for (at, Doomed { key, version, etag, looks }) in batch.iter().enumerate() {
            let named = |action| if version.is_some() { on_version(action) } else { action };
            let resource = format!("arn:aws:s3:::{}/{key}", bucket.name);
            let keys = keys::of_deleted(*version, *etag);
            let looks = looks.then(|| named("s3:GetObject"));
            for action in std::iter::once(named("s3:DeleteObject")).chain(further.iter().copied()).chain(looks) {
                questions.push(Question {
                    action: action.into(),
                    resource: resource.clone(),
                    on: 0,
                    keys: keys.clone(),
                });
                of.push(at);
            }
        }
        let about = [self.resource(bucket)?];
        let mut refused = vec![None; batch.len()];
        for (questions, of) in questions.chunks(QUESTIONS_MAX).zip(of.chunks(QUESTIONS_MAX)) {
            let judgement = self.judge(&about, questions, &self.keys, None).await?;
            for (at, refusal) in of.iter().zip(judgement.refusals) {
                if let (Some(slot @ None), Some(refusal)) = (refused.get_mut(*at), refusal) {
                    *slot = Some(super::denied(refusal));
                }
            }
        }
        Ok(refused)
    }
}
