//! What is counted of requests. The labels are names of operations and classes of status: there are as many series as
//! that, whatever clients send.

use axum::body::{Body, Bytes};
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What is counted as an operation besides S3's own: what a browser asks beforehand, pages of web sites, and requests
/// that were refused before it was known what they ask for.
pub(crate) const PREFLIGHT: &str = "Preflight";
pub(crate) const WEBSITE: &str = "Website";
pub(crate) const UNREAD: &str = "Unread";

/// Upper bounds of what durations are counted by, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

type Label = (&'static str, &'static str);

/// The counters. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<[Label; 2], Counter>,
    seconds: Family<[Label; 1], Histogram, fn() -> Histogram>,
    received: Family<[Label; 1], Counter>,
    sent: Family<[Label; 1], Counter>,
    running: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            received: Family::default(),
            sent: Family::default(),
            running: Gauge::default(),
        }
    }
}

/// `2xx`
const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

const fn of(operation: &'static str) -> [Label; 1] {
    [("operation", operation)]
}

impl Metrics {
    /// Has them told with a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests that were answered", self.requests.clone());
        registry.register("requests_running", "Requests whose answer has not begun", self.running.clone());
        let help = "Time from the head of a request to the head of its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, self.seconds.clone());
        let help = "Bytes of the bodies of requests, as they were read";
        registry.register_with_unit("received", help, Unit::Bytes, self.received.clone());
        let help = "Bytes of the bodies of answers, as they were given to the connection";
        registry.register_with_unit("sent", help, Unit::Bytes, self.sent.clone());
    }

    /// A request has come.
    pub(crate) fn begin(&self) -> Running<'_> {
        self.running.inc();
        Running { metrics: self, began: Instant::now() }
    }

    /// The body of a request, counted while it is read.
    pub(crate) fn received(&self, operation: &'static str, body: Body) -> Body {
        counted(body, || self.received.get_or_create(&of(operation)).clone())
    }
}

/// A request that is being answered.
pub(crate) struct Running<'m> {
    metrics: &'m Metrics,
    began: Instant,
}

impl Running<'_> {
    /// The answer begins: counts it, and its body while it is sent.
    pub(crate) fn answered(self, operation: &'static str, status: StatusCode, body: Body) -> Body {
        let Metrics { requests, seconds, sent, .. } = self.metrics;
        requests.get_or_create(&[("operation", operation), ("status", class(status))]).inc();
        let took: Duration = self.began.elapsed();
        seconds.get_or_create(&of(operation)).observe(took.as_secs_f64());
        counted(body, || sent.get_or_create(&of(operation)).clone())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.metrics.running.dec();
    }
}

fn counted(body: Body, counter: impl FnOnce() -> Counter) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Counted { body, counter: counter() })
}

struct Counted {
    body: Body,
    counter: Counter,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.counter.inc_by(data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use prometheus_client::encoding::text::encode;

    #[tokio::test]
    async fn requests_and_bytes_are_told() {
        let metrics = Metrics::default();
        let mut registry = Registry::with_prefix("mallee_s3");
        metrics.register(&mut registry);
        let told = |line: &str| {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        };
        let running = metrics.begin();
        told("mallee_s3_requests_running 1");
        let body = metrics.received("PutObject", Body::from("seven b"));
        assert_eq!(body.size_hint().exact(), Some(7));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "seven b");
        let body = running.answered("PutObject", StatusCode::OK, Body::empty());
        assert!(body.is_end_stream());
        told("mallee_s3_requests_running 0");
        told("mallee_s3_requests_total{operation=\"PutObject\",status=\"2xx\"} 1");
        told("mallee_s3_received_bytes_total{operation=\"PutObject\"} 7");
        told("mallee_s3_request_duration_seconds_count{operation=\"PutObject\"} 1");

        // Of a body that is dropped in the middle counts what was read.
        let chunks = ["four", "never"].map(|text| Ok::<_, std::convert::Infallible>(Bytes::from(text)));
        let body = Body::from_stream(futures::stream::iter(chunks));
        let mut body = metrics.begin().answered("GetObject", StatusCode::NOT_FOUND, body);
        drop(body.frame().await);
        drop(body);
        told("mallee_s3_sent_bytes_total{operation=\"GetObject\"} 4");
        told("mallee_s3_requests_total{operation=\"GetObject\",status=\"4xx\"} 1");
        // Who goes away before the answer is not answered.
        drop(metrics.begin());
        told("mallee_s3_requests_running 0");
        told("mallee_s3_requests_total{operation=\"GetObject\",status=\"4xx\"} 1");
    }
}
