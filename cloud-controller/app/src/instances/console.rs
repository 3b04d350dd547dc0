//! `GetConsoleOutput`: what the guest wrote, read on its node.

use crate::cluster_link::client;
use crate::fail::wire_failure;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::ConsoleOutputRequest;
use mallee_proto::{Kind, WireError};
use mallee_types::InstanceState;
use std::time::Duration;
use tonic::Request;

/// Longest wait for the node.
const CONSOLE_TIMEOUT: Duration = Duration::from_secs(15);

impl Cloud {
    /// The newest 64 KiB of the serial console and when they were read, in milliseconds since 1970.
    ///
    /// # Errors
    /// EC2's for an id that is none; `Unavailable` when the node cannot be asked, naming why.
    pub async fn console_output(&self, cx: &OpContext, id: &str) -> Result<(Vec<u8>, i64), ApiError> {
        let row = self.find_instances(cx, &[id.to_owned()]).await?.pop();
        let row = row.ok_or_else(|| ApiError::instance_not_found(&[id]))?;
        if row.state == InstanceState::Terminated {
            return Ok((Vec::new(), row.state_changed_ms));
        }
        let state = self.zone_state(&row.zone);
        let Some((channel, _)) = state.session() else {
            return Err(Code::Unavailable.message(format!(
                "The console of {} cannot be read now: {}",
                row.id,
                state.trouble().unwrap_or_default()
            )));
        };
        let mut request = Request::new(ConsoleOutputRequest {
            instance_id: row.id.to_string(),
            node_id: row.node_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        });
        request.set_timeout(CONSOLE_TIMEOUT);
        match client(channel).console_output(request).await.map_err(WireError::from) {
            Ok(reply) => {
                let reply = reply.into_inner();
                Ok((reply.output, reply.read_at_ms))
            }
            // The node has not made the instance yet: nothing was written.
            Err(error) if error.kind == Kind::NotFound => Ok((Vec::new(), self.clock().now_ms())),
            Err(error) if error.kind == Kind::Unavailable => {
                let message = format!("The console of {} cannot be read now: {}", row.id, error.message);
                Err(Code::Unavailable.message(message))
            }
            Err(error) => Err(wire_failure(error)),
        }
    }
}
