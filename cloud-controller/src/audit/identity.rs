//! Who made a call, as CloudTrail writes it.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>

use mallee_app::{Actor, RequestFacts, Session};
use mallee_audit::{SessionContext, SessionIssuer, UserIdentity};
use mallee_iam::Principal;
use mallee_runtime::clock::from_unix_ms;
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;

pub(super) fn of(actor: Option<&Actor>, facts: &RequestFacts) -> UserIdentity {
    let access_key_id = facts.access_key_id.as_deref().map(str::to_owned);
    let Some(actor) = actor else {
        return UserIdentity { kind: "Unknown".to_owned(), access_key_id, ..UserIdentity::default() };
    };
    let (kind, user_name) = match &actor.principal {
        Principal::Root { .. } => ("Root", Some("root".to_owned())),
        Principal::User { name, .. } => ("IAMUser", Some(name.to_string())),
        Principal::Role(_) => ("AssumedRole", None),
        Principal::Federated { .. } => ("FederatedUser", None),
        Principal::WebIdentity { .. } => ("WebIdentityUser", None),
        Principal::Service { .. } => ("AWSService", None),
        Principal::Anonymous => ("Unknown", None),
    };
    // LookupEvents finds a session by its name.
    let user_name = user_name.or_else(|| Some(actor.arn.rsplit('/').next()?.to_owned()));
    UserIdentity {
        kind: kind.to_owned(),
        principal_id: Some(actor.user_id.to_string()),
        arn: Some(actor.arn.to_string()),
        account_id: Some(actor.account.to_string()),
        access_key_id,
        user_name,
        session_context: actor.session.as_deref().map(|session| context(actor, session)),
        invoked_by: None,
    }
}

fn context(actor: &Actor, session: &Session) -> SessionContext {
    let created = from_unix_ms(session.issued_ms).format(&Rfc3339).unwrap_or_default();
    let mfa = if session.mfa_ms.is_some() { "true" } else { "false" };
    let attributes = Map::from_iter([
        ("creationDate".to_owned(), Value::String(created)),
        ("mfaAuthenticated".to_owned(), Value::String(mfa.to_owned())),
    ]);
    SessionContext { session_issuer: issuer(actor), attributes }
}

fn issuer(actor: &Actor) -> Option<SessionIssuer> {
    let (kind, arn, principal_id) = match &actor.principal {
        Principal::Role(role) => ("Role", role.role_arn(), role.id.to_string()),
        Principal::Federated { issuer, issuer_id, .. } => ("IAMUser", issuer.to_string(), issuer_id.to_string()),
        _ => return None,
    };
    Some(SessionIssuer {
        kind: kind.to_owned(),
        principal_id,
        user_name: arn.rsplit(['/', ':']).next().unwrap_or_default().to_owned(),
        arn,
        account_id: actor.account.to_string(),
    })
}
