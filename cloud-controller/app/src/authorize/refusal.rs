//! How a refusal is told: AWS's words, and for EC2 the sealed details that DecodeAuthorizationMessage opens.

use crate::{Cloud, OpContext, sts};
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Decision, Layer, Request};
use serde_json::{Value, json};

/// Longest message that can be sent back to be opened, in characters (STS's model: 10,240).
const MESSAGE_CHARS_MAX: usize = 10_240;

/// The sentence of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    /// "User: … is not authorized to perform: … because …", as AWS says it.
    #[must_use]
    pub fn of(arn: &str, action: &str, resource: Option<&str>, decision: &Decision) -> Self {
        let on = resource.map(|resource| format!(" on resource: {resource}")).unwrap_or_default();
        let why = match decision {
            Decision::ExplicitDeny(statement) => format!("with an explicit deny in {}", one(statement.layer)),
            Decision::ImplicitDeny { layer } => format!("because no {} allows the {action} action", kind(*layer)),
            Decision::Allow => String::new(),
        };
        Self(format!("User: {arn} is not authorized to perform: {action}{on} {why}"))
    }
}

const fn kind(layer: Layer) -> &'static str {
    match layer {
        // An account's own policies stand where AWS has those of an organisation.
        Layer::Account => "service control policy",
        Layer::Resource => "resource-based policy",
        Layer::Identity => "identity-based policy",
        Layer::Boundary => "permissions boundary",
        Layer::Session => "session policy",
    }
}

fn one(layer: Layer) -> String {
    let article = if layer == Layer::Identity { "an" } else { "a" };
    format!("{article} {}", kind(layer))
}

fn items(values: impl IntoIterator<Item = Value>) -> Value {
    json!({ "items": values.into_iter().collect::<Vec<_>>() })
}

/// The details as DecodeAuthorizationMessage shows them.
fn details(cx: &OpContext, request: &Request<'_>, decision: &Decision) -> Value {
    let denies = match decision {
        Decision::ExplicitDeny(statement) => vec![json!({
            "statementId": statement.sid.clone().unwrap_or_default(),
            "effect": "DENY",
            "principals": items([json!({ "value": cx.actor.user_id.as_ref() })]),
            "principalGroups": items([]),
            "actions": items([json!({ "value": request.action })]),
            "resources": items([json!({ "value": request.resource })]),
            "conditions": items([]),
        })],
        _ => Vec::new(),
    };
    let conditions = request.context.iter().map(|(key, values)| {
        let values = values.iter().map(|value| json!({ "value": value }));
        json!({ "key": key, "values": items(values) })
    });
    json!({
        "allowed": false,
        "explicitDeny": matches!(decision, Decision::ExplicitDeny(_)),
        "matchedStatements": items(denies),
        "failures": items([]),
        "context": {
            "principal": {
                "id": cx.actor.user_id.as_ref(),
                "name": cx.actor.arn.rsplit('/').next().unwrap_or_default(),
                "arn": cx.actor.arn.as_ref(),
            },
            "action": request.action,
            "resource": request.resource,
            "conditions": items(conditions),
        },
    })
}

impl Cloud {
    /// The answer to a refused request; `plain` where the question was about no resource.
    pub(super) fn refused(&self, cx: &OpContext, request: &Request<'_>, decision: Decision, plain: bool) -> ApiError {
        let resource = (!plain).then_some(request.resource);
        let Refusal(sentence) = Refusal::of(&cx.actor.arn, request.action, resource, &decision);
        // PassRole is refused in the words of the service that was called.
        let is_ec2 = request.action.starts_with("ec2:") || request.action == "iam:PassRole";
        if !is_ec2 {
            return Code::AccessDenied.message(sentence);
        }
        let text = format!("{} {sentence}.", Code::UnauthorizedOperation.text(&[]));
        if plain {
            return Code::UnauthorizedOperation.message(text);
        }
        let details = details(cx, request, &decision).to_string();
        match sts::message::encode(self.store(), cx.account(), &details) {
            // Longer ones could not be sent back; the sentence says the same in short.
            Ok(sealed) if sealed.len() > MESSAGE_CHARS_MAX => Code::UnauthorizedOperation.message(text),
            Ok(sealed) => {
                Code::UnauthorizedOperation.message(format!("{text} Encoded authorization failure message: {sealed}"))
            }
            Err(error) => Code::UnauthorizedOperation.message(text).because(error),
        }
    }
}
