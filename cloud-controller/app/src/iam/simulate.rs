//! Policy simulation: what the evaluator says of actions that nobody takes.

use super::effective::{EffectivePolicy, policies_of};
use super::on_principals::{self, Holder};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_iam::{
    Context, Decision, Inputs, Layer, Policy, PolicyKind, Principal, Request, RoleSession, Span, explain,
};
use mallee_store::PrincipalKind;
use mallee_types::AccountId;
use std::sync::Arc;

/// Questions of one simulation: actions times resources.
pub const QUESTIONS_MAX: usize = 5_000;

/// A policy and the names it has in the answer.
#[derive(Debug, Clone)]
pub struct Source {
    /// `SourcePolicyId`.
    pub id: String,
    /// `SourcePolicyType`; none for policies of the request.
    pub kind: Option<&'static str>,
    /// The policy.
    pub policy: Arc<Policy>,
}

/// Everything that has a say.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Policies of accounts: denials.
    pub account: Vec<Source>,
    /// Policies of the principal, and those of the request.
    pub identity: Vec<Source>,
    /// The permissions boundary.
    pub boundary: Option<Source>,
    /// The resource's policy.
    pub resource: Option<Source>,
}

/// Who asks, in which context, about whose resources.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who.
    pub principal: Principal,
    /// Condition keys.
    pub context: Context,
    /// Who owns the resources; none: the asker's account.
    pub resource_owner: Option<AccountId>,
}

/// What one policy statement that decided is called and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The policy's name in the answer.
    pub id: String,
    /// The policy's kind in the answer.
    pub kind: Option<&'static str>,
    /// Where the statement stands in its document.
    pub span: Span,
}

/// The answer to one question.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The action asked about.
    pub action: String,
    /// The resource asked about.
    pub resource: String,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    pub decision: &'static str,
    /// The statements that decided.
    pub matched: Vec<Matched>,
    /// Condition keys that statements ask for and the context has not.
    pub missing: Vec<String>,
    /// Whether the boundary allows, where there is one.
    pub boundary_allows: Option<bool>,
}

fn invalid(text: impl Into<String>) -> ApiError {
    Code::InvalidInput.message(text.into())
}

/// Policies of a request, named `PolicyInputList.1` and so on.
///
/// # Errors
/// `InvalidInput` for a document that does not read.
pub fn given(list: &[String], name: &str, kind: PolicyKind) -> Result<Vec<Source>, ApiError> {
    let read = |(n, json): (usize, &String)| {
        let policy = Policy::parse(json, kind).map_err(|error| invalid(error.to_string()))?;
        Ok(Source { id: format!("{name}.{}", n + 1), kind: None, policy: Arc::new(policy) })
    };
    list.iter().enumerate().map(read).collect()
}

/// A principal by its ARN, without a look whether there is one.
///
/// # Errors
/// `InvalidInput` for what is no ARN of a principal.
pub fn principal_of(arn: &str) -> Result<Principal, ApiError> {
    let bad = || invalid(format!("Invalid Entity Arn: {}", clip(arn)));
    let (account, rest) = arn
        .strip_prefix("arn:aws:iam::")
        .or_else(|| arn.strip_prefix("arn:aws:sts::"))
        .and_then(|rest| rest.split_once(':'))
        .ok_or_else(bad)?;
    let account: AccountId = account.parse().map_err(|_| bad())?;
    if rest == "root" {
        return Ok(Principal::Root { account });
    }
    let (kind, rest) = rest.split_once('/').ok_or_else(bad)?;
    let (path, name) = rest.rsplit_once('/').map_or(("/".to_owned(), rest), |(p, name)| (format!("/{p}/"), name));
    if name.is_empty() {
        return Err(bad());
    }
    match kind {
        "user" => Ok(Principal::User { account, path: path.into(), name: name.into(), id: "".into() }),
        "role" => Ok(Principal::Role(RoleSession {
            account,
            path: path.into(),
            name: name.into(),
            id: "".into(),
            session: "simulation".into(),
        })),
        "assumed-role" => Ok(Principal::Role(RoleSession {
            account,
            path: "/".into(),
            name: path.trim_matches('/').into(),
            id: "".into(),
            session: name.into(),
        })),
        _ => Err(bad()),
    }
}

/// Somebody of an account of whom nothing is known.
#[must_use]
pub fn nobody(account: &AccountId) -> Principal {
    Principal::User { account: account.clone(), path: "/".into(), name: "".into(), id: "".into() }
}

fn source(policy: EffectivePolicy, holder: &Holder) -> Source {
    let word = match policy.holder.0 {
        PrincipalKind::User => "user",
        PrincipalKind::Group => "group",
        PrincipalKind::Role => "role",
        PrincipalKind::Account => "none",
    };
    let (id, kind) = match &policy.arn {
        Some(arn) if on_principals::is_customer(arn) => (policy.name, "user-managed"),
        Some(_) => (policy.name, "aws-managed"),
        None => (format!("{word}_{}_{}", holder.name, policy.name), word),
    };
    Source { id, kind: Some(kind), policy: policy.policy }
}

impl Cloud {
    /// The user, group or role of the caller's account that an ARN names.
    ///
    /// # Errors
    /// `NoSuchEntity`, `InvalidInput`.
    pub async fn holder_of(&self, cx: &OpContext, arn: &str) -> Result<Holder, ApiError> {
        let bad = || invalid(format!("Invalid Entity Arn: {}", clip(arn)));
        let (account, rest) =
            arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(':')).ok_or_else(bad)?;
        let (kind, path) = rest.split_once('/').ok_or_else(bad)?;
        let kind = match kind {
            "user" => PrincipalKind::User,
            "group" => PrincipalKind::Group,
            "role" => PrincipalKind::Role,
            _ => return Err(bad()),
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        if account != cx.account().as_str() {
            return Err(ApiError::no_such_entity(rest.split('/').next().unwrap_or("entity"), name));
        }
        on_principals::find(self.store(), cx.account(), kind, name).await
    }

    /// What applies to a principal, with the names that simulations use.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sources_of(&self, holder: &Holder) -> Result<Sources, ApiError> {
        let all = policies_of(self.store(), &holder.account, holder.kind, &holder.id).await.or_fail()?;
        let list = |policies: Vec<EffectivePolicy>| policies.into_iter().map(|p| source(p, holder)).collect();
        Ok(Sources {
            account: list(all.account),
            identity: list(all.identity),
            boundary: all.boundary.map(|policy| source(policy, holder)),
            resource: None,
        })
    }

    /// The condition keys that the policies of a principal name.
    ///
    /// # Errors
    /// `NoSuchEntity`, `InvalidInput`.
    pub async fn context_keys_of(&self, cx: &OpContext, arn: &str) -> Result<Vec<String>, ApiError> {
        let holder = self.holder_of(cx, arn).await?;
        let sources = self.sources_of(&holder).await?;
        let all = sources.identity.iter().chain(&sources.boundary);
        Ok(all.flat_map(|source| source.policy.context_keys()).collect())
    }
}

/// Answers every action on every resource.
///
/// # Errors
/// `InvalidInput` for what is no action, and for too many questions.
pub fn simulate(
    asker: &Asker,
    sources: &Sources,
    actions: &[String],
    resources: &[String],
) -> Result<Vec<Answer>, ApiError> {
    if actions.len().saturating_mul(resources.len()) > QUESTIONS_MAX {
        return Err(invalid(format!("A simulation has at most {QUESTIONS_MAX} pairs of action and resource.")));
    }
    if let Some(bad) = actions.iter().find(|action| !action.contains(':')) {
        return Err(invalid(format!("Invalid service/action name: {}", clip(bad))));
    }
    let policies = |list: &[Source]| list.iter().map(|source| source.policy.clone()).collect::<Vec<_>>();
    let (account, identity) = (policies(&sources.account), policies(&sources.identity));
    let inputs = Inputs {
        account: &account,
        identity: &identity,
        boundary: sources.boundary.as_ref().map(|source| &*source.policy),
        session: None,
        resource: sources.resource.as_ref().map(|source| &*source.policy),
        resource_account: asker.resource_owner.as_ref(),
        resource_must_allow: false,
        ..Inputs::default()
    };
    let mut answers = Vec::new();
    for action in actions {
        for resource in resources {
            let request = Request { principal: &asker.principal, action, resource, context: &asker.context };
            let told = explain(&request, &inputs);
            let matched = told.matched.iter().filter_map(|statement| {
                let source = match statement.layer {
                    Layer::Account => sources.account.get(statement.policy),
                    Layer::Identity => sources.identity.get(statement.policy),
                    Layer::Boundary => sources.boundary.as_ref(),
                    Layer::Resource => sources.resource.as_ref(),
                    Layer::Session => None,
                }?;
                let span = source.policy.statements().get(statement.statement)?.span();
                Some(Matched { id: source.id.clone(), kind: source.kind, span })
            });
            answers.push(Answer {
                action: action.clone(),
                resource: resource.clone(),
                decision: match told.decision {
                    Decision::Allow => "allowed",
                    Decision::ExplicitDeny(_) => "explicitDeny",
                    Decision::ImplicitDeny { .. } => "implicitDeny",
                },
                matched: matched.collect(),
                missing: told.missing_context,
                boundary_allows: told.boundary_allows,
            });
        }
    }
    Ok(answers)
}

/// The account in `arn:aws:iam::ACCOUNT:root` or a number alone.
///
/// # Errors
/// `InvalidInput`.
pub fn owner(text: &str) -> Result<AccountId, ApiError> {
    let number = text.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root")).unwrap_or(text);
    number.parse().map_err(|_| invalid(format!("Invalid resource owner: {}", clip(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(policies: &[&str], boundary: Option<&str>, action: &str, resource: &str, context: Context) -> Answer {
        let list: Vec<String> = policies.iter().map(|json| (*json).to_owned()).collect();
        let boundary: Vec<String> = boundary.map(str::to_owned).into_iter().collect();
        let sources = Sources {
            identity: given(&list, "PolicyInputList", PolicyKind::BuiltIn).unwrap(),
            boundary: given(&boundary, "PermissionsBoundaryPolicyInputList", PolicyKind::BuiltIn).unwrap().pop(),
            ..Sources::default()
        };
        let principal = nobody(&"123456789012".parse().unwrap());
        let asker = Asker { principal, context, resource_owner: None };
        simulate(&asker, &sources, &[action.to_owned()], &[resource.to_owned()]).unwrap().remove(0)
    }

    #[test]
    fn decisions_are_named_and_explained() {
        let allow = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*",
            "Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}}"#;
        let deny = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:Put*","Resource":"*"}}"#;
        let from = || Context::new().with("aws:SourceIp", "10.1.1.1");
        let answer = ask(&[allow, deny], None, "s3:GetObject", "arn:aws:s3:::b/k", from());
        assert_eq!((answer.decision, answer.matched.len(), answer.missing.len()), ("allowed", 1, 0));
        assert_eq!(answer.matched[0].id, "PolicyInputList.1");
        let answer = ask(&[allow, deny], None, "s3:PutObject", "arn:aws:s3:::b/k", from());
        assert_eq!((answer.decision, answer.matched[0].id.as_str()), ("explicitDeny", "PolicyInputList.2"));
        let answer = ask(&[allow], None, "s3:GetObject", "arn:aws:s3:::b/k", Context::new());
        assert_eq!((answer.decision, answer.missing), ("implicitDeny", vec!["aws:SourceIp".to_owned()]));
        let answer = ask(&[allow], Some(deny), "s3:GetObject", "arn:aws:s3:::b/k", from());
        assert_eq!((answer.decision, answer.boundary_allows), ("implicitDeny", Some(false)));
    }

    #[test]
    fn principals_are_read_from_arns() {
        assert!(matches!(principal_of("arn:aws:iam::123456789012:root"), Ok(Principal::Root { .. })));
        let user = principal_of("arn:aws:iam::123456789012:user/a/b/c").unwrap();
        assert_eq!(user.arn(), "arn:aws:iam::123456789012:user/a/b/c");
        for bad in ["", "x", "arn:aws:iam::1:user/a", "arn:aws:iam::123456789012:user/", "arn:aws:s3:::b"] {
            assert!(principal_of(bad).is_err(), "{bad}");
        }
    }
}
