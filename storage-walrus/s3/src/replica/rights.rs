//! What the role of a replication must be allowed
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html>).

use super::{Plan, Unreplicated, refused};
use crate::auth::{Caller, Identity};
use crate::authz::{Case, Judgement, Keys, Question, Resource, keys, object_resource, resource_of};
use http::Request;
use mallee_objects::crypt::Encryption;
use mallee_objects::{Bucket, Limits, OBJECT_LOCK, Object, Properties};
use std::sync::Arc;

/// Which of the resources a question is about.
const SOURCE: usize = 0;
const OBJECT: usize = 1;
const TO: usize = 2;

/// A role that replicates.
pub(crate) struct Role {
    identity: Arc<dyn Identity>,
    pub(crate) caller: Caller,
    /// The time, in milliseconds since 1970.
    now_ms: i64,
}

/// What a role may.
pub(super) struct Rights {
    /// It may bring tags along.
    pub(super) tags: bool,
    /// The quotas of what it writes.
    pub(super) limits: Option<Arc<Limits>>,
}

fn question(action: &'static str, resource: &str, on: usize) -> Question {
    Question { action: action.into(), resource: resource.to_owned(), on, keys: Keys::new() }
}

impl Role {
    /// Of an identity; `None` for none, and for one that is nobody.
    pub(super) fn new(identity: Option<Arc<dyn Identity>>, now_ms: i64) -> Option<Self> {
        let identity = identity?;
        let caller = identity.caller()?.clone();
        Some(Self { identity, caller, now_ms })
    }

    async fn judge(
        &self,
        resources: &[Resource],
        questions: &[Question],
        quotas: Option<usize>,
    ) -> Result<Judgement, Unreplicated> {
        let (head, ()) = Request::new(()).into_parts();
        // It is no way over a network.
        let keys: Keys = vec![("aws:SecureTransport".to_owned(), vec!["true".to_owned()])];
        let (arrived_ms, now_ms) = (self.now_ms, self.now_ms);
        let case = Case { head: &head, claim: None, resources, questions, keys: &keys, quotas, arrived_ms, now_ms };
        let judgement = self.identity.judge(&case).await?;
        if judgement.refusals.len() != questions.len() {
            return Err(Unreplicated::Later("not every question was answered".to_owned()));
        }
        Ok(judgement)
    }

    /// Whether it may bring a delete marker of this key.
    pub(super) async fn may_bring_marker(&self, plan: &Plan<'_>, to: &Bucket, key: &str) -> Result<(), Unreplicated> {
        let source = resource_of(plan.source, &self.caller)?;
        let resources = [source.clone(), source, resource_of(to, &self.caller)?];
        let mut questions = self.of_source(plan);
        questions.push(question("s3:ReplicateDelete", &object_arn(&to.name, key), TO));
        allowed(&self.judge(&resources, &questions, None).await?, questions.len())
    }

    /// What it must be allowed to read an object, with what its tags say of it.
    fn of_object(&self, plan: &Plan<'_>, object: &Object) -> Result<(Vec<Resource>, Vec<Question>), Unreplicated> {
        let source = resource_of(plan.source, &self.caller)?;
        let Properties { owner, acl, .. } = &object.info.properties;
        let of_object = object_resource(source.clone(), plan.source, owner.as_deref(), acl.as_deref())?;
        let from = object_arn(&plan.source.name, &object.info.key);
        let mut questions = self.of_source(plan);
        questions.push(question("s3:GetObjectVersionForReplication", &from, OBJECT));
        questions.push(question("s3:GetObjectVersionAcl", &from, OBJECT));
        if plan.source.docs.get(OBJECT_LOCK).is_some() {
            questions.push(question("s3:GetObjectRetention", &from, OBJECT));
            questions.push(question("s3:GetObjectLegalHold", &from, OBJECT));
        }
        Ok((vec![source, of_object], questions))
    }

    /// Whether it may bring a version into another store; whether with its tags. What it may do there is asked of it as of
    /// a bucket here, of whose policy nobody knows here.
    pub(super) async fn may_send(
        &self,
        plan: &Plan<'_>,
        key: &str,
        object: Option<&Object>,
    ) -> Result<bool, Unreplicated> {
        let to = format!("{}/{key}", plan.rule.destination.bucket);
        let Some(object) = object else {
            let mut questions = self.of_source(plan);
            questions.push(question("s3:ReplicateDelete", &to, SOURCE));
            let source = resource_of(plan.source, &self.caller)?;
            return allowed(&self.judge(&[source], &questions, None).await?, questions.len()).map(|()| true);
        };
        let (resources, mut questions) = self.of_object(plan, object)?;
        questions.push(question("s3:ReplicateObject", &to, SOURCE));
        let must = questions.len();
        let from = object_arn(&plan.source.name, key);
        questions.push(question("s3:GetObjectVersionTagging", &from, OBJECT));
        questions.push(question("s3:ReplicateTags", &to, SOURCE));
        with_tags(&mut questions, object);
        let judgement = self.judge(&resources, &questions, None).await?;
        allowed(&judgement, must)?;
        Ok(judgement.refusals.iter().all(Option::is_none))
    }

    /// Whether it may bring an object, and what of it. `tags_differ`: those that the destination has of it are others.
    pub(super) async fn may_bring(
        &self,
        plan: &Plan<'_>,
        to: &Bucket,
        object: &Object,
        tags_differ: bool,
    ) -> Result<Rights, Unreplicated> {
        let (mut resources, mut questions) = self.of_object(plan, object)?;
        resources.push(resource_of(to, &self.caller)?);
        let key = object.info.key.as_str();
        let (from, to) = (object_arn(&plan.source.name, key), object_arn(&to.name, key));
        if plan.rule.destination.to_owner {
            questions.push(question("s3:ObjectOwnerOverrideToBucketOwner", &to, TO));
        }
        let writes = questions.len();
        // It stays encrypted as it is.
        let encryption = Encryption::from_text(object.info.properties.encryption.as_deref())?;
        let keys = keys::of_encryption(encryption.as_ref());
        questions.push(Question { keys, ..question("s3:ReplicateObject", &to, TO) });
        let must = questions.len();
        if tags_differ {
            questions.push(question("s3:GetObjectVersionTagging", &from, OBJECT));
            questions.push(question("s3:ReplicateTags", &to, TO));
        }
        with_tags(&mut questions, object);
        let first = self.judge(&resources, &questions[..must], Some(writes)).await?;
        allowed(&first, must)?;
        // As on AWS an object is brought without its tags where those may not be.
        let tags = match questions.get(must..) {
            None | Some([]) => true,
            Some(optional) => self.judge(&resources, optional, None).await?.refusals.iter().all(Option::is_none),
        };
        Ok(Rights { tags, limits: first.limits })
    }

    fn of_source(&self, plan: &Plan<'_>) -> Vec<Question> {
        let bucket = format!("arn:aws:s3:::{}", plan.source.name);
        ["s3:GetReplicationConfiguration", "s3:ListBucket"].map(|action| question(action, &bucket, SOURCE)).to_vec()
    }
}

/// Says with each question about the object which tags it has.
fn with_tags(questions: &mut [Question], object: &Object) {
    let existing = keys::of_object_tags(&object.info.properties.tags);
    for question in questions.iter_mut().filter(|question| question.on == OBJECT) {
        question.keys.clone_from(&existing);
    }
}

fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// Refuses for the first refusal among these.
fn allowed(judgement: &Judgement, among: usize) -> Result<(), Unreplicated> {
    match judgement.refusals.iter().take(among).flatten().next() {
        None => Ok(()),
        Some(refusal) => Err(refused(refusal.clone())),
    }
}
