//! What an operator's monitoring reads: counters of requests and of the background work, and what the database says of the
//! store, in the text form of Prometheus (OpenMetrics). Whoever reaches the port may read them, so it has no names of
//! buckets or accounts.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use mallee_objects::scrub::ScrubState;
use mallee_objects::{Error, SweepReport};
use mallee_store::{S3Usage, Store, s3_damage_count, s3_garbage_sum, s3_outbox_waiting, s3_usage_whole};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long what the database said is told again.
const KEPT: Duration = Duration::from_secs(5);
/// The form.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the background work counts. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    collected: Counter,
    sweeps: Counter,
    swept: Counter,
}

impl Work {
    /// The collector deleted so many blobs.
    pub(crate) fn collected(&self, blobs: u64) {
        self.collected.inc_by(blobs);
    }

    /// A sweep ended.
    pub(crate) fn swept(&self, report: &SweepReport) {
        self.sweeps.inc();
        self.swept.inc_by(report.deleted);
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Blobs that lost their last reference and whose bytes were deleted";
        registry.register("collected_blobs", help, self.collected.clone());
        registry.register("sweeps", "Sweeps that ended", self.sweeps.clone());
        registry.register("swept_blobs", "Blobs without a row that sweeps deleted", self.swept.clone());
    }
}

/// Gauges of what the database says.
#[derive(Debug, Default)]
struct Said {
    answers: Gauge,
    objects: Gauge,
    bytes: Gauge,
    versions: Gauge,
    version_bytes: Gauge,
    part_bytes: Gauge,
    garbage_blobs: Gauge,
    garbage_bytes: Gauge,
    damaged: Gauge,
    pass: Gauge,
    running: Gauge,
    progress: Gauge<f64, AtomicU64>,
    began: Gauge,
    ended: Gauge,
    pass_blobs: Gauge,
    pass_bytes: Gauge,
    pass_damaged: Gauge,
    waiting: Family<[(&'static str, String); 1], Gauge>,
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// How much of a pass is done, from 0 to 1: it goes by the blobs' ids, whose digits are random.
fn progress(state: &ScrubState) -> f64 {
    match (&state.ended_ms, &state.after) {
        (Some(_), _) => 1.0,
        (None, Some(after)) => {
            let digits = after.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
            f64::from(digits.unwrap_or_default()) / f64::from(u32::MAX)
        }
        (None, None) => 0.0,
    }
}

/// What waits for each declared target, of all accounts together: their numbers, which the ARNs have, are nobody's here.
fn by_name(waiting: Vec<(String, u64)>) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for (arn, count) in waiting {
        let name = arn.rsplit(':').next().unwrap_or_default().to_owned();
        *out.entry(name).or_default() += count;
    }
    out
}

impl Said {
    fn register(&self, registry: &mut Registry) {
        let mut gauge = |name, help, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge("database_answers", "1 when the database answered last; else the figures from it are old", &self.answers);
        gauge("objects", "Objects that listings show", &self.objects);
        gauge("versions", "All versions, with delete markers", &self.versions);
        gauge("garbage_blobs", "Blobs that wait to be deleted", &self.garbage_blobs);
        gauge("damaged_blobs", "Blobs that are known to be damaged or missing", &self.damaged);
        gauge("scrub_pass", "Number of the scrub's pass that is under way or ended last", &self.pass);
        gauge("scrub_running", "1 while a pass of the scrub is under way", &self.running);
        gauge("scrub_blobs", "Blobs that the pass has read", &self.pass_blobs);
        gauge("scrub_damaged_blobs", "Those that it found damaged or missing", &self.pass_damaged);
        let mut bytes = |name, help, gauge: &Gauge| {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        };
        bytes("object", "Bytes of the objects that listings show", &self.bytes);
        bytes("version", "Bytes of all versions", &self.version_bytes);
        bytes("part", "Bytes of parts of uploads that are not complete", &self.part_bytes);
        bytes("garbage", "Bytes of the blobs that wait to be deleted", &self.garbage_bytes);
        bytes("scrub", "Bytes that the pass has read", &self.pass_bytes);
        let mut seconds = |name, help, gauge: &Gauge| {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        };
        seconds("scrub_began", "When the pass began, since 1970", &self.began);
        seconds("scrub_ended", "When it ended, since 1970; 0 while it is under way", &self.ended);
        registry.register("scrub_progress", "How much of the pass is done, from 0 to 1", self.progress.clone());
        let help = "Messages about changes of objects that wait for a target";
        registry.register("notifications_waiting", help, self.waiting.clone());
    }

    fn scrub(&self, state: &ScrubState) {
        self.pass.set(whole(state.pass));
        self.running.set(i64::from(state.pass > 0 && state.ended_ms.is_none()));
        self.progress.set(progress(state));
        self.began.set(state.started_ms / 1000);
        self.ended.set(state.ended_ms.unwrap_or_default() / 1000);
        self.pass_blobs.set(whole(state.blobs));
        self.pass_bytes.set(whole(state.bytes));
        self.pass_damaged.set(whole(state.damaged));
    }

    async fn ask(&self, store: &Store) -> Result<(), Error> {
        let S3Usage { objects, bytes, versions, version_bytes, part_bytes } = s3_usage_whole(store).await?;
        let garbage = s3_garbage_sum(store).await?;
        let damaged = s3_damage_count(store).await?;
        let scrub = mallee_objects::scrub::state(store).await?;
        let waiting = by_name(s3_outbox_waiting(store).await?);
        self.objects.set(objects);
        self.bytes.set(bytes);
        self.versions.set(versions);
        self.version_bytes.set(version_bytes);
        self.part_bytes.set(part_bytes);
        self.garbage_blobs.set(whole(garbage.0));
        self.garbage_bytes.set(whole(garbage.1));
        self.damaged.set(whole(damaged));
        self.scrub(&scrub);
        self.waiting.clear();
        for (target, count) in waiting {
            self.waiting.get_or_create(&[("target", target)]).set(whole(count));
        }
        Ok(())
    }
}

/// What is served.
#[derive(Debug)]
struct Metrics {
    store: Store,
    registry: Registry,
    said: Said,
    /// When the database was asked last.
    asked: Mutex<Option<Instant>>,
}

impl Metrics {
    async fn text(&self) -> Result<String, std::fmt::Error> {
        let mut asked = self.asked.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= KEPT) {
            let outcome = self.said.ask(&self.store).await;
            self.said.answers.set(i64::from(outcome.is_ok()));
            if let Err(error) = outcome {
                tracing::warn!(%error, "metrics: the database did not answer");
            }
            *asked = Some(Instant::now());
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The port's router: `GET /metrics`.
pub(crate) fn router(store: Store, requests: &mallee_s3::Metrics, work: &Work) -> Router {
    let (mut registry, said) = (Registry::with_prefix("mallee_s3"), Said::default());
    requests.register(&mut registry);
    work.register(&mut registry);
    said.register(&mut registry);
    let metrics = Metrics { store, registry, said, asked: Mutex::default() };
    Router::new().route("/metrics", get(answer)).with_state(Arc::new(metrics))
}

async fn answer(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.text().await {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_by_the_names_that_were_declared() {
        let waiting = [("arn:aws:sqs:r:111111111111:jobs", 2), ("arn:aws:sns:r:111111111111:hook", 1)];
        let more = [("arn:aws:sqs:r:222222222222:jobs", 3)];
        let all = waiting.into_iter().chain(more).map(|(arn, count)| (arn.to_owned(), count)).collect();
        let told: Vec<(String, u64)> = by_name(all).into_iter().collect();
        assert_eq!(told, [("hook".to_owned(), 1), ("jobs".to_owned(), 5)]);
    }

    #[test]
    fn a_pass_goes_by_ids() {
        let mut state = ScrubState { pass: 3, ..ScrubState::default() };
        assert_eq!(progress(&state), 0.0);
        state.after = Some(format!("80000000{}", "0".repeat(24)));
        assert!((progress(&state) - 0.5).abs() < 0.001);
        state.after = Some("short".to_owned());
        assert_eq!(progress(&state), 0.0);
        state.ended_ms = Some(1);
        assert_eq!(progress(&state), 1.0);
    }
}
