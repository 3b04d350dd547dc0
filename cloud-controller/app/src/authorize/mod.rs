//! Authorisation: every call is decided here, before its handler runs.
//!
//! The table (`mallee-authz`) says what a call asks, [`rights`] what the caller's policies are, [`subject`] what the
//! resources are like, and the evaluator (`mallee-iam`) decides. What a handler learns only later (a launch template's
//! contents, a role's trust policy) it asks by [`Cloud::require`].

mod identity;
mod keys;
mod limits;
mod refusal;
mod resource;
mod rights;
mod subject;

pub(crate) use limits::PolicyLimit;
pub use mallee_authz::Service;
pub use refusal::Refusal;
pub use resource::{Decided, ResourcePolicy};
pub(crate) use rights::Authorizer;

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_authz::{Mode, Question, Target};
use mallee_awswire::{ApiError, Code, Params};
use mallee_iam::{Context, Decision, Inputs, Policy, Request, evaluate};
use mallee_store::StoreError;
use mallee_types::AccountId;
use rights::Rights;

/// One question of a handler.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// `service:Action`.
    pub action: &'a str,
    /// ARN; `*` where there is none.
    pub resource: &'a str,
    /// Condition keys beside those of the caller and the request.
    pub keys: &'a [(&'a str, Vec<String>)],
    /// The resource's own policy (a role's trust policy, a bucket policy).
    pub policy: Option<&'a Policy>,
    /// Of that policy only what it denies counts.
    pub policy_denies_only: bool,
    /// What the resource's access control list grants, as statements.
    pub grants: Option<&'a Policy>,
    /// Whose the resource is; `None`: the caller's account's.
    pub owner: Option<&'a AccountId>,
    /// The resource's own policy must allow, even in one account (roles).
    pub policy_must_allow: bool,
}

impl Cloud {
    /// Decides a call of a Query service that its parser has read: `Ok` if its handler may run.
    ///
    /// # Errors
    /// `UnauthorizedOperation` (EC2) or `AccessDenied` in AWS's words; what the database says.
    pub async fn authorize(
        &self,
        cx: &OpContext,
        service: Service,
        operation: &str,
        params: &Params,
    ) -> Result<(), ApiError> {
        if cx.is_unrestricted() {
            return Ok(());
        }
        let Some(row) = mallee_authz::row(service, operation) else {
            // A test sees to it that every operation has one; without it nobody but the root gets through.
            return Err(Code::AccessDenied.message(format!("The operation {operation} has no rule of authorization.")));
        };
        let plan = mallee_authz::plan(service, row, params);
        if plan.questions.is_empty() {
            return Ok(());
        }
        let rights = self.rights(cx).await.or_fail()?;
        let facts = wants_facts(cx, &rights);
        let context = keys::of_request(self, cx, &rights);
        let launch = subject::Surroundings::of(self, cx, &plan, facts).await.or_fail()?;
        for question in &plan.questions {
            self.answer(cx, &rights, &context, &launch, question, plan.mode).await?;
        }
        Ok(())
    }

    async fn answer(
        &self,
        cx: &OpContext,
        rights: &Rights,
        context: &Context,
        launch: &subject::Surroundings,
        question: &Question<'_>,
        mode: Mode,
    ) -> Result<(), ApiError> {
        let Some(subject) = self.subject(cx, question.target, wants_facts(cx, rights)).await.or_fail()? else {
            return Ok(());
        };
        let mut context = context.clone();
        for (key, value) in subject.keys {
            context.add(&key, value);
        }
        launch.describe(question, &mut context);
        for (key, values) in &question.keys {
            context.set_all(key, values.iter().map(String::as_str));
        }
        let request = Request {
            principal: &cx.actor.principal,
            action: &question.action,
            resource: &subject.arn,
            context: &context,
        };
        let decision = evaluate(&request, &inputs(cx, rights, &Ask::default()));
        let denied = match mode {
            Mode::Everybody => false,
            Mode::Policy => !decision.is_allowed(),
            Mode::Handler => matches!(decision, Decision::ExplicitDeny(_)),
        };
        if denied {
            return Err(self.refused(cx, &request, decision, matches!(question.target, Target::None)));
        }
        Ok(())
    }

    /// Decides a question that a handler has beyond the table's.
    ///
    /// # Errors
    /// What the database says.
    pub async fn decide(&self, cx: &OpContext, ask: &Ask<'_>) -> Result<Decision, StoreError> {
        let rights = self.rights(cx).await?;
        let context = self.context_of(cx, &rights, ask);
        let request =
            Request { principal: &cx.actor.principal, action: ask.action, resource: ask.resource, context: &context };
        Ok(evaluate(&request, &inputs(cx, &rights, ask)))
    }

    /// As [`Cloud::decide`]; the refusal is the answer to the caller.
    ///
    /// # Errors
    /// `UnauthorizedOperation` (actions of EC2) or `AccessDenied` in AWS's words; what the database says.
    pub async fn require(&self, cx: &OpContext, ask: &Ask<'_>) -> Result<(), ApiError> {
        if ask.policy.is_none() && !ask.policy_must_allow && is_own(cx, ask.owner) && cx.is_unrestricted() {
            return Ok(());
        }
        let rights = self.rights(cx).await.or_fail()?;
        let context = self.context_of(cx, &rights, ask);
        let request =
            Request { principal: &cx.actor.principal, action: ask.action, resource: ask.resource, context: &context };
        match evaluate(&request, &inputs(cx, &rights, ask)) {
            Decision::Allow => Ok(()),
            decision => Err(self.refused(cx, &request, decision, ask.resource == "*")),
        }
    }

    fn context_of(&self, cx: &OpContext, rights: &Rights, ask: &Ask<'_>) -> Context {
        let mut context = keys::of_request(self, cx, rights);
        if let Some(owner) = ask.owner {
            context.set("aws:ResourceAccount", owner.as_str());
            if ask.action.starts_with("s3:") {
                context.set("s3:ResourceAccount", owner.as_str());
            }
        }
        for (key, values) in ask.keys {
            context.set_all(key, values.iter().map(String::as_str));
        }
        context
    }
}

/// Whether what resources are like has to be looked up. Session policies are read for it each time: always then.
fn wants_facts(cx: &OpContext, rights: &Rights) -> bool {
    rights.asks_about_resources || cx.actor.session.as_ref().is_some_and(|session| session.policies.is_some())
}

fn is_own(cx: &OpContext, owner: Option<&AccountId>) -> bool {
    owner.is_none_or(|owner| owner == cx.account())
}

fn inputs<'a>(cx: &'a OpContext, rights: &'a Rights, ask: &Ask<'a>) -> Inputs<'a> {
    Inputs {
        account: &rights.account,
        identity: &rights.identity,
        boundary: rights.boundary.as_deref(),
        session: cx.actor.session.as_ref().and_then(|session| session.policies.as_deref()),
        resource: ask.policy,
        resource_denies_only: ask.policy_denies_only,
        grants: ask.grants,
        resource_account: ask.owner,
        resource_must_allow: ask.policy_must_allow,
    }
}
