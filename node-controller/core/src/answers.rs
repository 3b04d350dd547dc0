//! Answers to what an instance's user asks of its node beside orders: a picture of the screen, an interrupt.

use crate::inventory::hypervisor_error;
use crate::node::Node;
use mallee_proto::v1::{ErrorDetail, ErrorKind, InstanceAnswer, InstanceAsk, InstanceQuestion};
use mallee_types::InstanceId;

/// The form of the pictures given.
const PNG: &str = "image/png";

pub(crate) async fn answer(node: &Node, ask: InstanceAsk) -> InstanceAnswer {
    let (data, media_type, error) = match execute(node, &ask).await {
        Ok((data, media_type)) => (data, media_type.to_owned(), None),
        Err(error) => (Vec::new(), String::new(), Some(error)),
    };
    let answered_at_ms = node.context().clock.now_ms();
    InstanceAnswer { request_id: ask.request_id, data, media_type, answered_at_ms, error }
}

/// The answer when too much is asked at once.
pub(crate) fn busy(node: &Node, ask: InstanceAsk) -> InstanceAnswer {
    let error = detail(node, ErrorKind::Unavailable, "too many questions at once; ask again");
    let answered_at_ms = node.context().clock.now_ms();
    InstanceAnswer { request_id: ask.request_id, answered_at_ms, error: Some(error), ..InstanceAnswer::default() }
}

fn detail(node: &Node, kind: ErrorKind, message: &str) -> ErrorDetail {
    let message = format!("{}: {message}", node.context().host);
    ErrorDetail { kind: kind.into(), message, ..ErrorDetail::default() }
}

async fn execute(node: &Node, ask: &InstanceAsk) -> Result<(Vec<u8>, &'static str), ErrorDetail> {
    let context = node.context();
    let id: InstanceId =
        ask.instance_id.parse().map_err(|_| detail(node, ErrorKind::Invalid, "that is no instance id"))?;
    if !node.held().contains_key(&id) {
        return Err(detail(node, ErrorKind::NotFound, &format!("{id} is not on this node")));
    }
    let fault = |e: mallee_runtime::FaultError| detail(node, ErrorKind::Unavailable, &e.to_string());
    let failed = |error| hypervisor_error(node, &error);
    match ask.question() {
        InstanceQuestion::Screenshot => {
            context.faults.point("node.screenshot").await.map_err(fault)?;
            let picture = context.drivers.hypervisor.screenshot(&id).await.map_err(failed)?;
            let png = tokio::task::spawn_blocking(move || picture.to_png()).await;
            let png = png.map_err(|_| detail(node, ErrorKind::Internal, "the picture could not be written"))?;
            Ok((png, PNG))
        }
        InstanceQuestion::Interrupt => {
            context.faults.point("node.interrupt").await.map_err(fault)?;
            context.drivers.hypervisor.interrupt(&id).await.map_err(failed)?;
            Ok((Vec::new(), ""))
        }
        InstanceQuestion::Unspecified => {
            Err(detail(node, ErrorKind::Invalid, "a question this version does not know; upgrade the node"))
        }
    }
}
