//! AssumeRole.

use super::issue::NewSession;
use super::policies::packed_size;
use super::rights::{OwnPolicies, context};
use super::{Issued, SecondFactor, SessionPolicies, SessionTags};
use crate::fail::OrFail as _;
use crate::{Actor, Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Context, Policy, PolicyKind, Principal, RoleSession};
use mallee_store::{RoleRow, SessionDoc, SessionKind, iam_tag_list, role_by_name};
use mallee_types::AccountId;

/// Session of a role that does not say how long (AWS: one hour), and the longest in a chain of roles, in seconds.
const HOUR: u32 = 3_600;

/// What AssumeRole is asked. Lengths and ranges are checked by the model.
#[derive(Debug, Clone, Default)]
pub struct AssumeRole {
    /// The role.
    pub role_arn: String,
    /// Name of the session.
    pub session_name: String,
    /// How long, in seconds.
    pub seconds: Option<u32>,
    /// What the role's owner and the caller agreed on.
    pub external_id: Option<String>,
    /// Session policies.
    pub policies: SessionPolicies,
    /// Session tags.
    pub tags: SessionTags,
    /// Who it really is.
    pub source_identity: Option<String>,
    /// A second factor; the trust policy may ask for one. The session itself does not count as one with it, as on AWS.
    pub factor: SecondFactor,
}

/// A role assumed.
#[derive(Debug)]
pub struct Assumed {
    /// The credentials.
    pub issued: Issued,
    /// Who has them.
    pub session: RoleSession,
    /// How much of what a session may carry is used, in per cent.
    pub packed_percent: Option<i32>,
    /// Who it really is.
    pub source_identity: Option<String>,
}

/// The account, path and name in `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
pub(super) fn parse_role_arn(arn: &str) -> Result<(AccountId, String, String), ApiError> {
    let parse = || {
        let (account, rest) = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        let (path, name) = rest.strip_prefix("role")?.rsplit_once('/')?;
        let named = path.is_empty() || path.starts_with('/');
        (named && !name.is_empty()).then_some((account.parse().ok()?, format!("{path}/"), name.to_owned()))
    };
    parse().ok_or_else(|| Code::ValidationError.message(format!("{arn} is invalid")))
}

fn denied(actor: &Actor, action: &str, role: &str) -> ApiError {
    let text = format!("User: {} is not authorized to perform: {action} on resource: {role}", actor.arn);
    Code::AccessDenied.message(text)
}

/// How long the session lasts.
pub(super) fn duration(asked: Option<u32>, role: &RoleRow, chained: bool) -> Result<u32, ApiError> {
    let refuse = |text: &'static str| Err(Code::ValidationError.message(text));
    match asked {
        Some(seconds) if chained && seconds > HOUR => {
            refuse("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
        }
        Some(seconds) if seconds > role.max_session_seconds => {
            refuse("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
        }
        Some(seconds) => Ok(seconds),
        None => Ok(HOUR.min(role.max_session_seconds)),
    }
}

/// One who wants to assume a role, and what is known of the request.
struct Asker<'a> {
    actor: &'a Actor,
    own: OwnPolicies,
    context: Context,
    role_arn: &'a str,
    trust: Policy,
}

impl Asker<'_> {
    fn require(&self, action: &str) -> Result<(), ApiError> {
        if self.own.may_assume(self.actor, action, self.role_arn, &self.trust, &self.context) {
            return Ok(());
        }
        Err(denied(self.actor, action, self.role_arn))
    }
}

impl Cloud {
    /// `AssumeRole`: the role's trust policy and the caller's own policies decide here, not before.
    ///
    /// # Errors
    /// `AccessDenied`, also for roles that are not there; `ValidationError`, `MalformedPolicyDocument`,
    /// `PackedPolicyTooLarge`, `InvalidParameterValue`.
    pub async fn assume_role(&self, cx: &OpContext, asked: AssumeRole) -> Result<Assumed, ApiError> {
        let AssumeRole { role_arn, session_name, seconds, external_id, policies, tags, source_identity, factor } =
            asked;
        tags.check()?;
        if matches!(cx.actor.principal, Principal::Root { .. }) {
            return Err(Code::AccessDenied.message("Roles may not be assumed by root accounts."));
        }
        let (account, path, name) = parse_role_arn(&role_arn)?;
        let found = role_by_name(self.store(), &account, &name).await.or_fail()?;
        let role = found.filter(|role| role.path == path && role.name == name);
        let role = role.ok_or_else(|| denied(&cx.actor, "sts:AssumeRole", &role_arn))?;
        let proved = self.prove(cx, &factor).await?;
        let mut asker = self.asker(cx, &role, &role_arn).await?;
        if proved.is_some() {
            asker.context.set("aws:MultiFactorAuthPresent", "true");
            asker.context.set("aws:MultiFactorAuthAge", "0");
        }
        let asker = with_asked(asker, &session_name, external_id, &tags, source_identity.as_deref());
        asker.require("sts:AssumeRole")?;
        if !tags.tags.is_empty() {
            asker.require("sts:TagSession")?;
        }
        let inherited = cx.actor.session.as_ref().and_then(|session| session.source_identity.clone());
        if let Some(new) = &source_identity {
            asker.require("sts:SetSourceIdentity")?;
            // Who it really is does not change on the way.
            if inherited.as_ref().is_some_and(|old| old != new) {
                return Err(denied(&cx.actor, "sts:SetSourceIdentity", &role_arn));
            }
        }
        let seconds = duration(seconds, &role, matches!(cx.actor.principal, Principal::Role(_)))?;
        let tags = tags.inherit(&cx.actor)?;
        let packed_percent = packed_size(policies.bytes(), &tags.tags)?;
        let policies = self.session_documents(&account, policies).await?;
        let source_identity = source_identity.or(inherited);
        let doc = SessionDoc {
            policies,
            tags: tags.tags,
            transitive_tag_keys: tags.transitive,
            source_identity: source_identity.clone(),
            ..SessionDoc::default()
        };
        let session = session_of(&role, &session_name);
        let kind = SessionKind::Role;
        let new = NewSession { account, kind, principal_id: role.id, name: session_name, seconds, doc };
        Ok(Assumed { issued: self.issue(new).await?, session, packed_percent, source_identity })
    }

    async fn asker<'a>(&self, cx: &'a OpContext, role: &RoleRow, role_arn: &'a str) -> Result<Asker<'a>, ApiError> {
        let trust = Policy::parse(&role.trust, PolicyKind::Trust).map_err(|error| {
            // A stored document that does not read lets nobody in.
            tracing::error!(role = role_arn, %error, "the trust policy of a role does not read");
            denied(&cx.actor, "sts:AssumeRole", role_arn)
        })?;
        let mut context = context(cx, self.clock().now_ms());
        let own_id = match &cx.actor.principal {
            Principal::User { id, .. } => Some(id),
            Principal::Role(role) => Some(&role.id),
            _ => None,
        };
        if let Some(id) = own_id {
            for tag in iam_tag_list(self.store(), id).await.or_fail()? {
                // Tags of the session win over those of the principal.
                let key = format!("aws:PrincipalTag/{}", tag.key);
                if context.get(&key).is_empty() {
                    context.set(&key, tag.value);
                }
            }
        }
        for tag in iam_tag_list(self.store(), &role.id).await.or_fail()? {
            context.set(&format!("aws:ResourceTag/{}", tag.key), tag.value.as_str());
            context.set(&format!("iam:ResourceTag/{}", tag.key), tag.value);
        }
        let own = self.own_policies(&cx.actor).await.or_fail()?;
        Ok(Asker { actor: &cx.actor, own, context, role_arn, trust })
    }
}

/// The role, as a session of this name acts in it.
pub(super) fn session_of(role: &RoleRow, session_name: &str) -> RoleSession {
    RoleSession {
        account: role.account_id.clone(),
        path: role.path.clone().into(),
        name: role.name.clone().into(),
        id: role.id.clone().into(),
        session: session_name.into(),
    }
}

/// What a request says of the session it asks for, for trust policies.
pub(super) fn describe(context: &mut Context, session_name: &str, tags: &SessionTags, source_identity: Option<&str>) {
    context.set("sts:RoleSessionName", session_name);
    context.set_all("sts:SourceIdentity", source_identity);
    context.set_all("sts:TransitiveTagKeys", tags.transitive.iter().map(String::as_str));
    context.set_all("aws:TagKeys", tags.tags.iter().map(|(key, _)| key.as_str()));
    for (key, value) in &tags.tags {
        context.set(&format!("aws:RequestTag/{key}"), value.as_str());
    }
}

fn with_asked<'a>(
    mut asker: Asker<'a>,
    session_name: &str,
    external_id: Option<String>,
    tags: &SessionTags,
    source_identity: Option<&str>,
) -> Asker<'a> {
    asker.context.set_all("sts:ExternalId", external_id);
    describe(&mut asker.context, session_name, tags, source_identity);
    asker
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_arns() {
        let parsed = |arn| parse_role_arn(arn).map(|(account, path, name)| format!("{account} {path} {name}"));
        assert_eq!(parsed("arn:aws:iam::123456789012:role/r").unwrap(), "123456789012 / r");
        assert_eq!(parsed("arn:aws:iam::123456789012:role/a/b/r").unwrap(), "123456789012 /a/b/ r");
        for bad in
            ["r", "arn:aws:iam::123456789012:role/", "arn:aws:iam::1:role/r", "arn:aws:iam::123456789012:rolex/r"]
        {
            assert_eq!(parsed(bad).unwrap_err().message(), format!("{bad} is invalid"));
        }
    }

    #[test]
    fn durations() {
        let role = |max| RoleRow {
            id: String::new(),
            account_id: "123456789012".parse().unwrap(),
            name: String::new(),
            path: String::new(),
            description: None,
            trust: String::new(),
            max_session_seconds: max,
            created_ms: 0,
            last_used_ms: None,
            last_used_region: None,
        };
        assert_eq!(duration(None, &role(43_200), false).unwrap(), 3_600);
        assert_eq!(duration(Some(7_200), &role(43_200), false).unwrap(), 7_200);
        assert!(duration(Some(7_200), &role(3_600), false).unwrap_err().message().contains("MaxSessionDuration"));
        assert!(duration(Some(7_200), &role(43_200), true).unwrap_err().message().contains("role chaining"));
        assert_eq!(duration(Some(3_600), &role(43_200), true).unwrap(), 3_600);
    }
}
