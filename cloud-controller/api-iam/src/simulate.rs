//! SimulateCustomPolicy, SimulatePrincipalPolicy, and the condition keys that policies name.

use crate::IdentityApi;
use crate::parts::Slice;
use crate::wire::text;
use mallee_app::OpContext;
use mallee_app::iam::simulate::{Answer, Asker, Matched, Sources, given, nobody, owner, principal_of, simulate};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::iam::{
    ContextEntry, EvaluationResult, GetContextKeysForCustomPolicyRequest, GetContextKeysForPolicyResponse,
    GetContextKeysForPrincipalPolicyRequest, PermissionsBoundaryDecisionDetail, Position, ResourceSpecificResult,
    SimulateCustomPolicyRequest, SimulatePolicyResponse, SimulatePrincipalPolicyRequest, Statement,
};
use mallee_iam::{Context, PolicyKind};
use mallee_store::PrincipalKind;
use std::collections::BTreeMap;

/// What both simulations ask.
struct Questions {
    actions: Vec<String>,
    resources: Vec<String>,
    context: Vec<ContextEntry>,
    resource_policy: Option<String>,
    resource_owner: Option<String>,
    handling: Option<String>,
    page: Slice,
}

fn unique(keys: impl IntoIterator<Item = String>) -> Vec<String> {
    // Names of keys have no case; the first spelling is shown.
    let mut seen = BTreeMap::new();
    for key in keys {
        seen.entry(key.to_ascii_lowercase()).or_insert(key);
    }
    seen.into_values().collect()
}

fn position(place: mallee_iam::Position) -> Option<Position> {
    let number = |n: u32| Some(i32::try_from(n).unwrap_or(i32::MAX));
    Some(Position { column: number(place.column), line: number(place.line) })
}

fn statement(matched: &Matched) -> Statement {
    Statement {
        end_position: position(matched.span.end),
        source_policy_id: Some(matched.id.clone()),
        source_policy_type: matched.kind.map(str::to_owned),
        start_position: position(matched.span.start),
    }
}

/// One answer; what is particular to the resource is said again where the request named resources, as AWS does.
fn result(answer: Answer, named: bool) -> EvaluationResult {
    let matched: Vec<Statement> = answer.matched.iter().map(statement).collect();
    let boundary = || {
        let allowed = answer.boundary_allows;
        allowed.map(|_| PermissionsBoundaryDecisionDetail { allowed_by_permissions_boundary: allowed })
    };
    let own = ResourceSpecificResult {
        eval_decision_details: Vec::new(),
        eval_resource_decision: Some(answer.decision.to_owned()),
        eval_resource_name: Some(answer.resource.clone()),
        matched_statements: matched.clone(),
        missing_context_values: answer.missing.clone(),
        permissions_boundary_decision_detail: boundary(),
    };
    EvaluationResult {
        eval_action_name: Some(answer.action.clone()),
        eval_decision: Some(answer.decision.to_owned()),
        eval_decision_details: Vec::new(),
        eval_resource_name: Some(answer.resource.clone()),
        matched_statements: matched,
        missing_context_values: answer.missing.clone(),
        organizations_decision_detail: None,
        permissions_boundary_decision_detail: boundary(),
        resource_specific_results: if named { vec![own] } else { Vec::new() },
    }
}

fn answer(
    questions: Questions,
    mut context: Context,
    principal: mallee_iam::Principal,
    mut sources: Sources,
) -> Result<SimulatePolicyResponse, ApiError> {
    // Scenarios of EC2 (`EC2-VPC-InstanceStore`, …): which resources belong to one is not known here.
    if questions.handling.is_some() {
        return Err(ApiError::unsupported_parameter("ResourceHandlingOption"));
    }
    for entry in questions.context {
        let ContextEntry { context_key_name, context_key_type, context_key_values } = entry;
        let name = context_key_name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Code::InvalidInput.message("A context entry has no ContextKeyName."))?;
        // Values are texts whatever their type; only the lists may have many.
        let list = context_key_type.as_deref().is_some_and(|kind| kind.ends_with("List"));
        if !list && context_key_values.len() > 1 {
            return Err(Code::InvalidInput.message(format!(
                "The context key {} has more than one value; its type must be a list.",
                mallee_awswire::texts::clip(&name)
            )));
        }
        context.set_all(&name, context_key_values);
    }
    let policy: Vec<String> = questions.resource_policy.into_iter().collect();
    if let Some(mut source) = given(&policy, "ResourcePolicy", PolicyKind::Resource)?.pop() {
        source.id = "ResourcePolicy".to_owned();
        source.kind = Some("resource");
        sources.resource = Some(source);
    }
    let resource_owner = questions.resource_owner.as_deref().map(owner).transpose()?;
    let asker = Asker { principal, context, resource_owner };
    let named = !questions.resources.is_empty();
    let resources = if named { questions.resources } else { vec!["*".to_owned()] };
    let answers = simulate(&asker, &sources, &questions.actions, &resources)?;
    let numbered = answers.into_iter().enumerate().collect();
    let cut = questions.page.cut_all(numbered, |(n, _)| format!("{n:08}"));
    Ok(SimulatePolicyResponse {
        evaluation_results: cut.items.into_iter().map(|(_, answer)| result(answer, named)).collect(),
        is_truncated: cut.is_truncated,
        marker: cut.marker,
    })
}

fn boundary_of(list: &[String], sources: &mut Sources) -> Result<(), ApiError> {
    if let Some(boundary) = given(list, "PermissionsBoundaryPolicyInputList", PolicyKind::BuiltIn)?.into_iter().next() {
        sources.boundary = Some(boundary);
    }
    Ok(())
}

impl IdentityApi {
    #[allow(clippy::unused_async, reason = "all handlers have one shape")]
    pub(crate) async fn simulate_custom_policy(
        &self,
        cx: &OpContext,
        r: SimulateCustomPolicyRequest,
    ) -> Result<SimulatePolicyResponse, ApiError> {
        let SimulateCustomPolicyRequest {
            action_names,
            caller_arn,
            context_entries,
            marker,
            max_items,
            ordered_organization_policy_input_list,
            permissions_boundary_policy_input_list,
            policy_input_list,
            resource_arns,
            resource_handling_option,
            resource_owner,
            resource_policy,
        } = r;
        if !ordered_organization_policy_input_list.is_empty() {
            return Err(ApiError::unsupported_parameter("OrderedOrganizationPolicyInputList"));
        }
        let mut sources = Sources {
            identity: given(&policy_input_list, "PolicyInputList", PolicyKind::BuiltIn)?,
            ..Sources::default()
        };
        boundary_of(&permissions_boundary_policy_input_list, &mut sources)?;
        // Without a caller nothing is known of who asks: what policies want to know of it is reported as missing.
        let (principal, context) = match caller_arn.as_deref() {
            Some(arn) => {
                let principal = principal_of(arn)?;
                let context = Context::of(&principal);
                (principal, context)
            }
            None => (nobody(cx.account()), Context::new()),
        };
        let questions = Questions {
            actions: action_names,
            resources: resource_arns,
            context: context_entries,
            resource_policy,
            resource_owner,
            handling: resource_handling_option,
            page: Slice::new(marker.as_deref(), max_items)?,
        };
        answer(questions, context, principal, sources)
    }

    pub(crate) async fn simulate_principal_policy(
        &self,
        cx: &OpContext,
        r: SimulatePrincipalPolicyRequest,
    ) -> Result<SimulatePolicyResponse, ApiError> {
        let SimulatePrincipalPolicyRequest {
            action_names,
            caller_arn,
            context_entries,
            marker,
            max_items,
            permissions_boundary_policy_input_list,
            policy_exclusion_list,
            policy_input_list,
            policy_source_arn,
            resource_arns,
            resource_handling_option,
            resource_owner,
            resource_policy,
        } = r;
        if !policy_exclusion_list.is_empty() {
            return Err(ApiError::unsupported_parameter("PolicyExclusionList"));
        }
        let arn = text(policy_source_arn);
        let holder = self.cloud.holder_of(cx, &arn).await?;
        let mut sources = self.cloud.sources_of(&holder).await?;
        sources.identity.extend(given(&policy_input_list, "PolicyInputList", PolicyKind::BuiltIn)?);
        boundary_of(&permissions_boundary_policy_input_list, &mut sources)?;
        let principal = match (caller_arn.as_deref(), holder.kind) {
            (Some(caller), _) => principal_of(caller)?,
            // A group asks for nothing itself.
            (None, PrincipalKind::Group) => nobody(cx.account()),
            (None, _) => principal_of(&arn)?,
        };
        let context = Context::of(&principal);
        let questions = Questions {
            actions: action_names,
            resources: resource_arns,
            context: context_entries,
            resource_policy,
            resource_owner,
            handling: resource_handling_option,
            page: Slice::new(marker.as_deref(), max_items)?,
        };
        answer(questions, context, principal, sources)
    }

    #[allow(clippy::unused_async, reason = "all handlers have one shape")]
    pub(crate) async fn get_context_keys_for_custom_policy(
        &self,
        _cx: &OpContext,
        r: GetContextKeysForCustomPolicyRequest,
    ) -> Result<GetContextKeysForPolicyResponse, ApiError> {
        let GetContextKeysForCustomPolicyRequest { policy_input_list } = r;
        let sources = given(&policy_input_list, "PolicyInputList", PolicyKind::BuiltIn)?;
        let keys = sources.iter().flat_map(|source| source.policy.context_keys());
        Ok(GetContextKeysForPolicyResponse { context_key_names: unique(keys) })
    }

    pub(crate) async fn get_context_keys_for_principal_policy(
        &self,
        cx: &OpContext,
        r: GetContextKeysForPrincipalPolicyRequest,
    ) -> Result<GetContextKeysForPolicyResponse, ApiError> {
        let GetContextKeysForPrincipalPolicyRequest { policy_input_list, policy_source_arn } = r;
        let mut keys = self.cloud.context_keys_of(cx, &text(policy_source_arn)).await?;
        let sources = given(&policy_input_list, "PolicyInputList", PolicyKind::BuiltIn)?;
        keys.extend(sources.iter().flat_map(|source| source.policy.context_keys()));
        Ok(GetContextKeysForPolicyResponse { context_key_names: unique(keys) })
    }
}
