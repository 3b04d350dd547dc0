//! The audit trail of the front door: a record of every call of the control plane, allowed or denied.

pub(crate) mod cloudtrail;
mod identity;
mod lent;
pub(crate) mod s3;
mod trails;

pub use cloudtrail::OFFERED as CLOUDTRAIL_OFFERED;

use mallee_app::trails::{Deliverer, ObjectService};
use mallee_app::{Actor, Cloud, RequestFacts};
use mallee_audit::{EVENT_VERSION, Journal, JournalError, Position, Record, parameters, resources};
use mallee_awswire::{ApiError, Params};
use mallee_runtime::TaskScope;
use mallee_runtime::clock::from_unix_ms;
use mallee_runtime::task::{Nudge, spawn_periodic};
use mallee_store::StoreError;
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;

/// Where in a state directory the trail is.
pub const AUDIT_DIR: &str = "audit";
/// How long a record may be in memory of the operating system only: what a loss of power takes at most.
const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// How long a writer before this one may take to end, and how often it is looked at.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);
const OPEN_RETRY: Duration = Duration::from_millis(10);
/// How often what was written is indexed for lookups.
const INDEX_PERIOD: Duration = Duration::from_secs(1);
/// How often it is looked whether something is to be delivered to a bucket.
const DELIVER_PERIOD: Duration = Duration::from_secs(2);
/// How often it is looked whether calls of S3 were begun whose end was never told.
const LENT_PERIOD: Duration = Duration::from_secs(60);
/// How often old events are forgotten by the index.
const FORGET_PERIOD: Duration = Duration::from_secs(3600);
/// First words of the names of operations that only look by CloudTrail's rules, though they make credentials.
const ISSUES: &[&str] = &["AssumeRole", "GetSessionToken", "GetFederationToken"];
/// Longest user agent and error text that are recorded, in characters.
const TEXT_CHARS_MAX: usize = 1024;
/// First words of the names of operations that only look.
const LOOKS: &[&str] = &[
    "AssumeRole",
    "Decode",
    "Decrypt",
    "Describe",
    "Download",
    "Encrypt",
    "GenerateDataKey",
    "GenerateRandom",
    "Get",
    "List",
    "Lookup",
    "ReEncrypt",
    "Search",
    "Simulate",
];

/// One call.
pub(crate) struct Call<'a> {
    /// Name of the service in credential scopes.
    pub(crate) service: &'a str,
    /// The operation; what the request names, whether there is such an operation or not.
    pub(crate) action: &'a str,
    /// What for.
    pub(crate) said: Said<'a>,
    /// Who; none when nobody was recognised.
    pub(crate) actor: Option<&'a Actor>,
    /// What else is known of the request.
    pub(crate) facts: &'a RequestFacts,
    /// The id that the reply carries.
    pub(crate) request_id: &'a str,
}

/// The parameters of a call.
pub(crate) enum Said<'a> {
    /// A form, as far as it could be read.
    Form(Option<&'a Params>),
    /// A body of JSON.
    Json(&'a [u8]),
    /// A path of the administration API, and its body of JSON.
    Path(&'a str, &'a [u8]),
}

impl Said<'_> {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let form = if let Self::Form(params) = self { *params } else { None };
        form.into_iter().flat_map(Params::iter)
    }

    fn shown(&self) -> Value {
        match self {
            Self::Form(_) => parameters::shown(self.pairs()),
            Self::Json(body) => parameters::shown_json(body),
            Self::Path(path, body) => json!({ "path": path, "body": parameters::shown_json(body) }),
        }
    }
}

/// The trail of one cloud controller.
#[derive(Debug)]
pub struct Trail {
    journal: Journal,
    directory: PathBuf,
    objects: Option<Arc<dyn ObjectService>>,
    lent: lent::Lent,
}

impl Trail {
    /// Opens the trail whose files are in this directory. A writer that is about to end is waited for.
    ///
    /// # Errors
    /// When the files cannot be read or written, or another process is writing them.
    pub async fn open(directory: &Path) -> io::Result<Self> {
        let deadline = tokio::time::Instant::now() + OPEN_PATIENCE;
        loop {
            let path = directory.to_owned();
            let open = move || -> io::Result<_> { Ok((Journal::open(&path)?, lent::Lent::open(&path)?)) };
            match tokio::task::spawn_blocking(open).await.map_err(io::Error::other)? {
                Ok((journal, lent)) => {
                    let directory = directory.to_owned();
                    return Ok(Self { journal, directory, objects: None, lent });
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock || tokio::time::Instant::now() >= deadline => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(OPEN_RETRY).await,
            }
        }
    }

    /// With the object store, to which accounts may have their records delivered.
    #[must_use]
    pub fn with_objects(mut self, objects: Arc<dyn ObjectService>) -> Self {
        self.objects = Some(objects);
        self
    }

    pub(crate) fn objects(&self) -> Option<Arc<dyn ObjectService>> {
        self.objects.clone()
    }

    /// How far the journal is written.
    pub(crate) fn written(&self) -> Position {
        *self.journal.watch_written().borrow()
    }

    fn spawn_delivery(self: &Arc<Self>, scope: &TaskScope, cloud: &Arc<Cloud>, objects: Arc<dyn ObjectService>) {
        let (trail, rng, cloud) = (self.clone(), cloud.rng().clone(), cloud.clone());
        let deliverer = Arc::new(Mutex::new(Deliverer::new(self.directory.clone(), self.written())));
        spawn_periodic(scope, "audit-deliver", DELIVER_PERIOD, Nudge::default(), rng, move || {
            let (trail, cloud, deliverer, objects) = (trail.clone(), cloud.clone(), deliverer.clone(), objects.clone());
            async move { deliverer.lock().await.pass(&cloud, &*objects, trail.written()).await }
        });
    }

    /// Has what is written kept by the disk, and indexed for lookups, until the scope stops.
    pub(crate) fn spawn(self: &Arc<Self>, scope: &TaskScope, cloud: &Arc<Cloud>) {
        let (trail, rng) = (self.clone(), cloud.rng().clone());
        spawn_periodic(scope, "audit-sync", SYNC_PERIOD, Nudge::default(), rng.clone(), move || {
            let trail = trail.clone();
            async move { trail.journal.sync().await }
        });
        let (trail, indexed) = (self.clone(), cloud.clone());
        spawn_periodic(scope, "audit-index", INDEX_PERIOD, Nudge::default(), rng.clone(), move || {
            let (trail, cloud) = (trail.clone(), indexed.clone());
            async move { mallee_app::audit::index(&cloud, &trail.directory).await }
        });
        let (trail, clock) = (self.clone(), cloud.clock().clone());
        spawn_periodic(scope, "audit-lent", LENT_PERIOD, Nudge::default(), rng.clone(), move || {
            let (trail, now_ms) = (trail.clone(), clock.now_ms());
            async move { trail.give_up_lent(now_ms).await }
        });
        if let Some(objects) = self.objects() {
            self.spawn_delivery(scope, cloud, objects);
        }
        let cloud = cloud.clone();
        spawn_periodic(scope, "audit-forget", FORGET_PERIOD, Nudge::default(), rng, move || {
            let cloud = cloud.clone();
            async move { mallee_app::audit::forget(cloud.store(), cloud.clock().now_ms()).await as Result<(), StoreError> }
        });
    }

    /// Notes a call that is about to be done: should the process end in it, its record says so when the trail is next
    /// opened.
    pub(crate) fn begin(&self, draft: &Record) {
        // As with the record itself: a cloud whose disk is full goes on.
        if let Err(error) = self.journal.begin(draft) {
            let (request_id, action) = (&draft.request_id, &draft.event_name);
            tracing::error!(request_id, action, %error, "a call is not noted: a crash in it would leave no audit record");
        }
    }

    /// Records a call: what was known before it, with its outcome (the body of the reply, or the error). A call that
    /// changed something, or was refused, is in the file when this returns; of one that only looked the writer takes
    /// care.
    pub(crate) async fn record(&self, cloud: &Cloud, draft: Record, outcome: Result<&str, &ApiError>) {
        self.record_all(cloud, vec![draft], outcome).await;
    }

    /// As [`Trail::record`], of a call that several accounts are told of.
    pub(crate) async fn record_all(&self, cloud: &Cloud, drafts: Vec<Record>, outcome: Result<&str, &ApiError>) {
        let Some((request_id, action)) = drafts.first().map(|one| (one.request_id.clone(), one.event_name.clone()))
        else {
            return;
        };
        // The call has been done, and its caller is told so: an answer of "failed" would be false.
        if let Err(error) = self.write(cloud, drafts, outcome).await {
            tracing::error!(request_id, action, %error, "a call left no audit record");
        }
    }

    /// # Errors
    /// When the records could not be written.
    async fn write(
        &self,
        cloud: &Cloud,
        drafts: Vec<Record>,
        outcome: Result<&str, &ApiError>,
    ) -> Result<(), JournalError> {
        let now_ms = cloud.clock().now_ms();
        let records: Vec<Record> =
            drafts.into_iter().map(|draft| s3::discreet(ended(draft, now_ms, outcome))).collect();
        if records.iter().any(|record| may_change(&record.event_name) || record.error_code.is_some()) {
            self.journal.append_all(&records).await
        } else {
            self.journal.note_all(&records).await
        }
    }
}

/// Whether an operation only looks, by its name, as CloudTrail sees it.
pub(crate) fn is_read_only(action: &str) -> bool {
    LOOKS.iter().any(|first| action.starts_with(first))
}

/// Whether an operation may leave something behind.
pub(crate) fn may_change(action: &str) -> bool {
    !is_read_only(action) || ISSUES.iter().any(|first| action.starts_with(first))
}

fn shortened(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

fn event_time(event_ms: i64) -> String {
    from_unix_ms(event_ms / 1000 * 1000).format(&Rfc3339).unwrap_or_default()
}

/// The record of a call, up to its outcome.
pub(crate) fn draft(cloud: &Cloud, call: &Call<'_>) -> Record {
    let event_ms = cloud.clock().now_ms();
    Record {
        event_version: EVENT_VERSION.to_owned(),
        user_identity: identity::of(call.actor, call.facts),
        event_time: event_time(event_ms),
        event_ms,
        event_source: format!("{}.amazonaws.com", call.service),
        event_name: shortened(call.action),
        aws_region: cloud.config().region.clone(),
        source_ip_address: call.facts.source_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        user_agent: shortened(call.facts.user_agent.as_deref().unwrap_or_default()),
        request_parameters: call.said.shown(),
        response_elements: Value::Null,
        additional_event_data: Value::Null,
        error_code: None,
        error_message: None,
        request_id: call.request_id.to_owned(),
        event_id: cloud.rng().uuid(),
        shared_event_id: None,
        read_only: is_read_only(call.action),
        resources: resources::of(call.service, call.said.pairs()),
        event_type: "AwsApiCall".to_owned(),
        management_event: true,
        recipient_account_id: call.actor.map(|actor| actor.account.to_string()).unwrap_or_default(),
        event_category: "Management".to_owned(),
        addendum: None,
    }
}

/// CloudTrail's time of an event is that of its end.
fn ended(mut record: Record, now_ms: i64, outcome: Result<&str, &ApiError>) -> Record {
    (record.event_ms, record.event_time) = (now_ms, event_time(now_ms));
    match outcome {
        Ok(reply) if !record.read_only => {
            record.resources = resources::with_made(std::mem::take(&mut record.resources), reply);
        }
        Ok(_) => {}
        Err(error) => {
            record.error_code = Some(error.code().as_str().to_owned());
            record.error_message = Some(shortened(error.message()));
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_credentials_leaves_something_behind() {
        for action in ["RunInstances", "AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken", "", "Nonsense"] {
            assert!(may_change(action), "{action}");
        }
        for action in ["DescribeInstances", "GetCallerIdentity", "ListUsers", "DecodeAuthorizationMessage", "Decrypt"] {
            assert!(!may_change(action), "{action}");
        }
    }
}
