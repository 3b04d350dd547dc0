//! The audit trail of a Walrus of its own: the cloud controller's, over the Directory.

use super::authority::request;
use super::directory::CloudLink;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::RecordS3Request;
use mallee_proto::v1::record_s3_request::Stage;
use mallee_walrus::{Case, Event, Keys};
use std::time::Duration;
use tokio::time::Instant;

/// How often the end of a call that was begun is told again while the cloud controller does not answer, and how long it is
/// waited between: it gives such a call up after ten minutes.
const TELLS_MAX: u32 = 40;
const TELL_PERIOD: Duration = Duration::from_secs(10);

/// A call as it is told, up to its outcome: at its end, too, which may be told to another replica than its beginning.
/// `account`: of whoever signed.
fn whole(account: &str, event: &Event<'_>, stage: Stage) -> RecordS3Request {
    let Event { head, claim, arrived_ms, now_ms, .. } = *event;
    let keys = Keys::new();
    let case = Case { head, claim, resources: &[], questions: &[], keys: &keys, quotas: None, arrived_ms, now_ms };
    RecordS3Request {
        stage: stage.into(),
        request_id: event.request_id.to_owned(),
        caller: Some(request(&case)),
        event_name: event.name.to_owned(),
        bucket: event.bucket.to_owned(),
        owner: event.owner.unwrap_or_default().to_owned(),
        parameters: event.parameters.to_string(),
        allowed: event.allowed,
        account: account.to_owned(),
        ..RecordS3Request::default()
    }
}

/// What is told again after this time: the front door's word in it is as old as it was when the request came.
fn aged(told: &RecordS3Request, by: Duration) -> RecordS3Request {
    let mut told = told.clone();
    if let Some(caller) = &mut told.caller {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        caller.waited_ms = caller.waited_ms.saturating_add(by_ms);
    }
    told
}

/// Notes that a call is about to be done.
///
/// # Errors
/// `ServiceUnavailable` when the cloud controller does not say that it has written it down.
pub(super) async fn begin(link: &CloudLink, account: &str, event: &Event<'_>) -> Result<(), ApiError> {
    link.record_s3(whole(account, event, Stage::Begin)).await.map_err(|error| {
        tracing::info!(%error, "a call of S3 is refused: the cloud controller did not write it down");
        Code::ServiceUnavailable.message("The request cannot be recorded now. Please try again.")
    })
}

/// Records a call. The end of one that was begun is told until it is heard.
pub(super) async fn record(link: &CloudLink, account: &str, event: &Event<'_>, begun: bool, error: Option<&ApiError>) {
    let since = Instant::now();
    let told = RecordS3Request {
        error_code: error.map(|error| error.code().as_str().to_owned()).unwrap_or_default(),
        error_message: error.map(|error| error.message().to_owned()).unwrap_or_default(),
        ..whole(account, event, if begun { Stage::End } else { Stage::Whole })
    };
    let Err(why) = link.record_s3(told.clone()).await else { return };
    let (request_id, action) = (event.request_id.to_owned(), event.name);
    if !begun {
        tracing::error!(request_id, action, error = %why, "a call of S3 left no audit record");
        return;
    }
    tracing::warn!(request_id, action, error = %why, "the end of a call of S3 is told to the cloud controller later");
    let link = link.clone();
    tokio::spawn(async move {
        for _ in 0..TELLS_MAX {
            tokio::time::sleep(TELL_PERIOD).await;
            if link.record_s3(aged(&told, since.elapsed())).await.is_ok() {
                return;
            }
        }
        tracing::error!(request_id, action, "the audit record of a call of S3 says that its outcome is not known");
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]
mod tests {
    use super::*;
    use mallee_proto::v1::AuthorizeS3Request;

    #[test]
    fn what_is_told_again_has_waited_longer() {
        let caller = AuthorizeS3Request { waited_ms: 7, ..AuthorizeS3Request::default() };
        let told = RecordS3Request { caller: Some(caller), request_id: "R".to_owned(), ..RecordS3Request::default() };
        let again = aged(&told, Duration::from_secs(300));
        assert_eq!((again.caller.unwrap().waited_ms, again.request_id.as_str()), (300_007, "R"));
        assert_eq!(aged(&RecordS3Request::default(), Duration::from_secs(1)), RecordS3Request::default());
    }
}
