//! `GetConsoleScreenshot` and `SendDiagnosticInterrupt`: what a running instance's node is asked beside orders.

use crate::cluster_link::client;
use crate::fail::{OrFail as _, wire_failure};
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::{AskInstanceReply, AskInstanceRequest, InstanceQuestion};
use mallee_proto::{Kind, WireError};
use mallee_types::InstanceState;
use std::time::Duration;
use tonic::Request;

/// Longest wait for the node.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

impl Cloud {
    /// A picture of the instance's screen, as PNG.
    ///
    /// # Errors
    /// `IncorrectInstanceState` for one that does not run; `Unavailable` when its node cannot be asked, naming why.
    pub async fn screenshot(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<Vec<u8>, ApiError> {
        Ok(self.ask(cx, id, InstanceQuestion::Screenshot, dry_run).await?.data)
    }

    /// A non-maskable interrupt for the instance's guest.
    ///
    /// # Errors
    /// As [`Cloud::screenshot`].
    pub async fn interrupt(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        self.ask(cx, id, InstanceQuestion::Interrupt, dry_run).await.map(drop)
    }

    async fn ask(
        &self,
        cx: &OpContext,
        id: &str,
        question: InstanceQuestion,
        dry_run: bool,
    ) -> Result<AskInstanceReply, ApiError> {
        let row = self.find_instances(cx, &[id.to_owned()]).await?.pop();
        let row = row.ok_or_else(|| ApiError::instance_not_found(&[id]))?;
        let not_running = || {
            Code::IncorrectInstanceState.message(format!("The instance '{}' is not in the 'running' state.", row.id))
        };
        if row.state != InstanceState::Running {
            return Err(not_running());
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.ask").await.or_fail()?;
        let state = self.zone_state(&row.zone);
        let unavailable =
            |why: &str| Code::Unavailable.message(format!("The node of {} cannot be asked now: {why}", row.id));
        let Some((channel, _)) = state.session() else {
            return Err(unavailable(&state.trouble().unwrap_or_default()));
        };
        let mut request = Request::new(AskInstanceRequest {
            instance_id: row.id.to_string(),
            node_id: row.node_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            question: question.into(),
        });
        request.set_timeout(ASK_TIMEOUT);
        match client(channel).ask_instance(request).await.map_err(WireError::from) {
            Ok(reply) => Ok(reply.into_inner()),
            // It has gone off since, or its node is bringing it up again.
            Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {
                Err(not_running().because(error.message))
            }
            Err(error) if error.kind == Kind::Unavailable => Err(unavailable(&error.message)),
            Err(error) => Err(wire_failure(error)),
        }
    }
}
