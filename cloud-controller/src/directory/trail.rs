//! What a Walrus of its own tells of calls that manage buckets, for the audit trail.

use super::{DirectoryService, NAME_BYTES_MAX, facts};
use crate::audit::s3::{S3Call, record_of};
use mallee_app::RequestFacts;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::RecordS3Request;
use mallee_proto::v1::record_s3_request::Stage;
use mallee_proto::{Kind, WireError};

impl DirectoryService {
    /// Records a call of S3, or notes that it is about to be done.
    pub(super) async fn record(&self, asked: RecordS3Request) -> Result<(), WireError> {
        let stage = asked.stage();
        let RecordS3Request { request_id, error_code, error_message, caller, event_name, .. } = &asked;
        // A line of the trail's notes has the id in it.
        let is_id = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if request_id.is_empty() || request_id.len() > NAME_BYTES_MAX || !is_id(request_id) || !is_id(event_name) {
            return Err(WireError::new(Kind::Invalid, "a request id or the name of an event is none"));
        }
        let Some(trail) = &self.trail else { return Ok(()) };
        let cloud = self.cloud()?;
        let draft = if stage == Stage::End {
            // Told twice, or after the start that gave it up: it has its record.
            let Some(draft) = trail.take_back(request_id) else { return Ok(()) };
            draft
        } else {
            // Its beginning was written, and not heard: it is told as a whole.
            drop(trail.take_back(request_id));
            let caller = caller.as_ref().ok_or_else(|| WireError::new(Kind::Invalid, "a call of nobody"))?;
            let facts = RequestFacts { source_ip: self.source(caller).unwrap_or_default(), ..facts(caller) };
            let actor = match caller.access_key_id.as_str() {
                "" => None,
                key => self.present(key, &caller.session_token).await?.ok(),
            };
            let call = S3Call {
                actor: actor.as_ref(),
                facts: &facts,
                request_id,
                name: event_name,
                bucket: &asked.bucket,
                owner: Some(asked.owner.as_str()).filter(|owner| !owner.is_empty()),
                parameters: serde_json::from_str(&asked.parameters).unwrap_or_default(),
            };
            record_of(cloud, call)
        };
        if stage == Stage::Begin {
            return trail.lend(draft).map_err(|error| WireError::new(Kind::Unavailable, error.to_string()));
        }
        let error = (!error_code.is_empty()).then(|| match Code::parse(error_code) {
            Some(code) => code.message(error_message.clone()),
            None => ApiError::internal(error_code),
        });
        trail.record(cloud, draft, error.as_ref().map_or(Ok(""), Err)).await;
        Ok(())
    }
}
