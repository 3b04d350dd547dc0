//! Sending one message over HTTP: to addresses that may be connected to, without following anybody elsewhere. The
//! connection is kept for the next message.

use super::Target;
use crate::dial::{CannotDial, Open, connect};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use mallee_s3_config::notification::Service;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Longest time that a way to a target takes to stand.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for the rest of a reply whose status is known. (Without it the connection is not used again.)
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time for which a target that says how long is left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// Bytes of a reply that are read; what it says counts for nothing.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The target answered, and did not take it.
    #[error("{why}")]
    Refused {
        /// What it answered.
        why: String,
        /// It takes none at present (429, 503), and wants to be left alone for this long.
        busy: Option<Duration>,
    },
    /// It was sent, and no answer came in time.
    #[error("{0}")]
    Unanswered(String),
    /// The target could not be reached, or may not be asked: nothing was sent.
    #[error("{0}")]
    Unreachable(String),
}

/// The way to a target.
#[derive(Debug)]
pub(super) struct Wire {
    service: Service,
    url: Uri,
    private: bool,
    /// Longest wait for the answer to a message.
    answer: Duration,
    open: Option<Open<Full<Bytes>>>,
}

/// What became of a request.
enum Asked {
    /// The status of the reply, and how long the target wants to be left alone.
    Answered(StatusCode, Option<Duration>),
    /// The connection was closed before a reply.
    Closed(String),
}

impl From<CannotDial> for SendError {
    fn from(error: CannotDial) -> Self {
        unreachable(error)
    }
}

fn unreachable(why: impl std::fmt::Display) -> SendError {
    SendError::Unreachable(why.to_string())
}

impl Wire {
    pub(super) fn new(target: &Target, private: bool, answer: Duration) -> Self {
        Self { service: target.service, url: target.url.clone(), private, answer, open: None }
    }

    /// Sends a message, which was taken if the answer is one of success, however the reply ends.
    pub(super) async fn send(&mut self, text: &str) -> Result<(), SendError> {
        let sent = self.send_now(text).await;
        if matches!(sent, Err(SendError::Unanswered(_) | SendError::Unreachable(_))) {
            self.open = None;
        }
        sent
    }

    async fn send_now(&mut self, text: &str) -> Result<(), SendError> {
        let stood = match &mut self.open {
            Some(open) => open.sender.ready().await.is_ok(),
            None => false,
        };
        if !stood {
            self.connect().await?;
        }
        let mut asked = self.ask(text).await?;
        if stood && matches!(asked, Asked::Closed(_)) {
            // Targets close connections that were idle for long, also just now.
            self.connect().await?;
            asked = self.ask(text).await?;
        }
        match asked {
            Asked::Answered(status, _) if status.is_success() => Ok(()),
            Asked::Answered(status, _) if status.is_redirection() => {
                // Where it leads is the choice of whoever answers.
                let why = format!("it redirects elsewhere ({status}), which is not followed");
                Err(SendError::Refused { why, busy: None })
            }
            Asked::Answered(status, busy) => Err(SendError::Refused { why: format!("it answered {status}"), busy }),
            Asked::Closed(why) => Err(SendError::Unanswered(why)),
        }
    }

    async fn connect(&mut self) -> Result<(), SendError> {
        let open = tokio::time::timeout(OPEN_TIMEOUT, connect(&self.url, self.private, None)).await;
        self.open = Some(open.map_err(|_| unreachable(format!("no connection within {OPEN_TIMEOUT:?}")))??);
        Ok(())
    }

    /// Asks over the connection that stands. What the reply says counts for nothing but its status.
    async fn ask(&mut self, text: &str) -> Result<Asked, SendError> {
        let request = self.request(text)?;
        let Some(open) = &mut self.open else { return Err(unreachable("no connection")) };
        let reply = match tokio::time::timeout(self.answer, open.sender.send_request(request)).await {
            Err(_) => return Err(SendError::Unanswered(format!("no answer within {:?}", self.answer))),
            Ok(Err(error)) => return Ok(Asked::Closed(error.to_string())),
            Ok(Ok(reply)) => reply,
        };
        let (status, busy) = (reply.status(), busy(reply.status(), reply.headers()));
        let rest = Limited::new(reply.into_body(), REPLY_BYTES_MAX).collect();
        if !matches!(tokio::time::timeout(DRAIN_TIMEOUT, rest).await, Ok(Ok(_))) {
            self.open = None;
        }
        Ok(Asked::Answered(status, busy))
    }

    fn request(&self, text: &str) -> Result<Request<Full<Bytes>>, SendError> {
        let (form, body) = match self.service {
            Service::Sns => ("application/json", text.to_owned()),
            Service::Sqs => {
                let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
                let body = format!("Action=SendMessage&Version=2012-11-05&MessageBody={text}");
                ("application/x-www-form-urlencoded", body)
            }
        };
        let host = self.url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, form)
            .header(USER_AGENT, "mallee")
            .body(Full::new(Bytes::from(body)))
            .map_err(unreachable)
    }
}

/// How long a target that takes none at present wants to be left alone: with a time in seconds or a date, bounded.
fn busy(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let until = || {
        let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        // A target's date is by the clock of the world.
        Duration::try_from(at - OffsetDateTime::now_utc()).ok()
    };
    let wait = text.parse().ok().map(Duration::from_secs).or_else(until);
    Some(wait.unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn how_long_targets_want_to_be_left_alone() {
        let of = |status: u16, value: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            busy(StatusCode::from_u16(status).unwrap_or_default(), &headers).map(|wait| wait.as_secs())
        };
        assert_eq!(of(503, "7"), Some(7));
        assert_eq!(of(429, "86400"), Some(600));
        assert_eq!(of(503, "Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(of(503, "Fri, 21 Oct 2135 07:28:00 GMT"), Some(600));
        assert_eq!(of(503, "soon"), Some(0));
        assert_eq!(of(500, "7"), None);
        assert_eq!(busy(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new()), Some(Duration::ZERO));
    }
}
