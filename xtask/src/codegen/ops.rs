//! `ops.rs`: the operation table, the request enum and its parser.

use super::model::{Model, Op, Protocol};
use super::names;

/// `ops.rs`
pub fn emit(service: &str, request: &str, model: &Model) -> String {
    let mut out = String::from(
        "use mallee_awswire::{ApiError, Flavour, FromQuery, Operation, OperationMeta, Pagination, Params, ServiceMeta};\n\nuse super::*;\n\n",
    );
    let (base, tail) = model.namespace.split_once(&model.api_version).unwrap_or((&model.namespace, ""));
    let tail = if model.protocol == Protocol::Ec2 { "/" } else { tail };
    let flavour = match model.protocol {
        Protocol::Ec2 => "Ec2",
        Protocol::Query => "Query",
    };
    line!(
        out,
        "/// The service.\npub const SERVICE: ServiceMeta = ServiceMeta {{ name: {service:?}, flavour: Flavour::{flavour}, \
         api_version: {:?}, xmlns_base: {base:?}, xmlns_tail: {tail:?} }};\n",
        model.api_version
    );
    out.push_str("/// All generated operations, sorted by name.\npub const OPERATIONS: &[OperationMeta] = &[\n");
    for op in &model.operations {
        row(&mut out, model, op);
    }
    out.push_str("];\n\n");
    line!(
        out,
        "/// Operations of the model that are not generated: known to AWS, not offered here.\npub const NOT_GENERATED: &[&str] = &{:?};\n",
        model.others
    );
    line!(out, "/// A decoded request of any generated operation.\n#[derive(Debug, Clone)]\npub enum {request} {{");
    for op in &model.operations {
        line!(out, "    /// `{0}`\n    {0}(Box<{1}>),", op.name, input(op));
    }
    out.push_str("}\n\n");
    dispatcher(&mut out, request, model);
    for (i, op) in model.operations.iter().enumerate() {
        operation(&mut out, model, op, i);
    }
    out
}

/// The Rust type of an operation's request.
pub fn input(op: &Op) -> String {
    op.input.as_deref().map_or_else(|| format!("{}Request", op.name), names::structure)
}

fn row(out: &mut String, model: &Model, op: &Op) {
    let (members, required) = op.input.as_deref().map_or((&[][..], None), |i| {
        let (m, r) = model.members(i);
        (m, Some(r))
    });
    let wire = |only_required: bool| -> Vec<String> {
        members
            .iter()
            .filter(|m| !only_required || required.is_some_and(|r| r.contains(&m.name)))
            .map(|m| model.request_name(m))
            .collect()
    };
    let page = op.pagination.as_ref().map_or_else(
        || "None".to_owned(),
        |(token, limit)| format!("Some(Pagination {{ token: {token:?}, limit: {limit:?} }})"),
    );
    line!(
        out,
        "    OperationMeta {{ name: {:?}, required: &{:?}, members: &{:?}, dry_run: {}, client_token: {}, pagination: {page}, \
         result_wrapper: {:?}, has_output: {} }},",
        op.name,
        wire(true),
        wire(false),
        members.iter().any(|m| m.name == "DryRun"),
        token(members).is_some(),
        op.wrapper,
        op.output.is_some()
    );
}

fn token(members: &[super::model::Member]) -> Option<&super::model::Member> {
    members.iter().find(|m| m.name == "ClientToken").or_else(|| members.iter().find(|m| m.token))
}

fn dispatcher(out: &mut String, request: &str, model: &Model) {
    line!(
        out,
        "impl {request} {{\n    /// Decodes the request that `action` names.\n    ///\n    /// # Errors\n    \
         /// `InvalidAction` for an action that the API does not have, `UnsupportedOperation` for one that is not generated,\n    \
         /// and whatever is wrong with the parameters.\n    \
         pub fn parse(action: &str, params: &Params) -> Result<Self, ApiError> {{\n        let n = params.root();\n        Ok(match action {{"
    );
    for op in &model.operations {
        line!(out, "            {0:?} => Self::{0}(Box::new(FromQuery::from_query(n)?)),", op.name);
    }
    out.push_str(
        "            other if NOT_GENERATED.binary_search(&other).is_ok() => return Err(ApiError::unsupported_operation(other)),\n            \
         other => return Err(ApiError::invalid_action(other)),\n        })\n    }\n\n    /// The operation's row.\n    #[must_use]\n    \
         pub fn meta(&self) -> &'static OperationMeta {\n        match self {\n",
    );
    for (i, op) in model.operations.iter().enumerate() {
        line!(out, "            Self::{}(_) => &OPERATIONS[{i}],", op.name);
    }
    out.push_str("        }\n    }\n\n    /// The action.\n    #[must_use]\n    pub fn name(&self) -> &'static str {\n        self.meta().name\n    }\n\n");
    out.push_str("    /// True if the caller asked only whether the request would succeed.\n    #[must_use]\n    pub fn dry_run(&self) -> bool {\n        match self {\n");
    let mut rest = false;
    for op in &model.operations {
        if op.input.as_deref().is_some_and(|i| model.members(i).0.iter().any(|m| m.name == "DryRun")) {
            line!(out, "            Self::{}(r) => r.dry_run == Some(true),", op.name);
        } else {
            rest = true;
        }
    }
    if rest {
        out.push_str("            _ => false,\n");
    }
    out.push_str("        }\n    }\n\n    /// The idempotency token, if the request carries one.\n    #[must_use]\n    pub fn client_token(&self) -> Option<&str> {\n        match self {\n");
    rest = false;
    for op in &model.operations {
        let members = op.input.as_deref().map_or(&[][..], |i| model.members(i).0);
        match token(members) {
            Some(m) => {
                line!(out, "            Self::{}(r) => r.{}.as_deref(),", op.name, names::field(&m.name));
            }
            None => rest = true,
        }
    }
    if rest {
        out.push_str("            _ => None,\n");
    }
    out.push_str("        }\n    }\n}\n\n");
}

fn operation(out: &mut String, model: &Model, op: &Op, index: usize) {
    let output = op.output.as_deref().map_or_else(|| "()".to_owned(), names::structure);
    let _ = model;
    line!(
        out,
        "impl Operation for {} {{\n    const META: &'static OperationMeta = &OPERATIONS[{index}];\n    type Output = {output};\n}}\n",
        input(op)
    );
}
