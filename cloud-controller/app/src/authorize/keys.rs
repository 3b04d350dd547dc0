//! Condition keys that follow from the caller and its request, whatever is asked.

use super::rights::Rights;
use crate::{Cloud, OpContext};
use mallee_awswire::xml::timestamp;
use mallee_iam::Context;
use mallee_runtime::clock::from_unix_ms;

/// The global keys of a request.
pub(super) fn of_request(cloud: &Cloud, cx: &OpContext, rights: &Rights) -> Context {
    let mut context = Context::of(&cx.actor.principal);
    let (facts, now_ms) = (&cx.facts, cloud.clock().now_ms());
    context.set("aws:CurrentTime", timestamp(from_unix_ms(now_ms)));
    context.set("aws:EpochTime", (now_ms / 1000).to_string());
    context.set("aws:SecureTransport", facts.secure.to_string());
    context.set("aws:ViaAWSService", "false");
    context.set("aws:RequestedRegion", facts.region.as_deref().unwrap_or(&cloud.config().region));
    context.set("ec2:Region", cloud.config().region.as_str());
    context.set("aws:ResourceAccount", cx.account().as_str());
    if let Some(ip) = facts.source_ip {
        context.set("aws:SourceIp", ip.to_canonical().to_string());
    }
    for (key, value) in [("aws:UserAgent", &facts.user_agent), ("aws:Referer", &facts.referer)] {
        if let Some(value) = value {
            context.set(key, value.as_ref());
        }
    }
    if facts.access_key_id.is_some() {
        context.set("s3:authType", if facts.presigned { "REST-QUERY-STRING" } else { "REST-HEADER" });
        context.set("s3:signatureversion", if facts.sigv2 { "AWS" } else { "AWS4-HMAC-SHA256" });
    }
    if let Some(signed_ms) = facts.signed_ms {
        context.set("s3:signatureAge", now_ms.saturating_sub(signed_ms).max(0).to_string());
    }
    for (key, value) in &rights.tags {
        context.set(&format!("aws:PrincipalTag/{key}"), value.as_str());
    }
    if let Some(session) = &cx.actor.session {
        context.set("aws:TokenIssueTime", timestamp(from_unix_ms(session.issued_ms)));
        // The key is there for temporary credentials only: that is what policies with BoolIfExists count on.
        context.set("aws:MultiFactorAuthPresent", session.mfa_ms.is_some().to_string());
        if let Some(at) = session.mfa_ms {
            context.set("aws:MultiFactorAuthAge", (now_ms.saturating_sub(at) / 1000).max(0).to_string());
        }
        for (key, value) in &session.tags {
            context.set(&format!("aws:PrincipalTag/{key}"), value.as_str());
        }
        let texts = [("aws:SourceIdentity", &session.source_identity), ("aws:FederatedProvider", &session.provider)];
        for (key, value) in texts {
            if let Some(value) = value {
                context.set(key, value.as_str());
            }
        }
        for (key, value) in session.of_instance() {
            context.set(key, value);
        }
    }
    context
}
