//! `decode.rs`: requests from query parameters.

use super::model::{Kind, Member, Model, Protocol};
use super::{names, rules};

/// `decode.rs`
pub fn emit(model: &Model) -> String {
    let mut out = String::from(
        "use mallee_awswire::query::Leaf;\nuse mallee_awswire::{ApiError, FromQuery, Node};\n\nuse super::*;\n\n",
    );
    for name in &model.inputs {
        structure(&mut out, model, name);
    }
    for op in model.operations.iter().filter(|op| op.input.is_none()) {
        line!(
            out,
            "impl FromQuery for {0}Request {{\n    fn from_query(n: Node<'_>) -> Result<Self, ApiError> {{\n        \
             match n.members()?.next() {{\n            Some(c) => Err(c.unknown()),\n            None => Ok(Self {{}}),\n        }}\n    }}\n}}\n",
            op.name
        );
    }
    out
}

fn structure(out: &mut String, model: &Model, name: &str) {
    let (members, required) = model.members(name);
    let rust = names::structure(name);
    line!(out, "impl FromQuery for {rust} {{\n    fn from_query(n: Node<'_>) -> Result<Self, ApiError> {{");
    if members.is_empty() {
        out.push_str("        match n.members()?.next() {\n            Some(c) => Err(c.unknown()),\n            None => Ok(Self {}),\n        }\n    }\n}\n\n");
        return;
    }
    out.push_str(
        "        let mut r = Self::default();\n        for c in n.members()? {\n            match c.name() {\n",
    );
    for m in members {
        line!(out, "                {:?} => r.{} = {},", model.request_name(m), names::field(&m.name), value(model, m));
    }
    out.push_str("                _ => return Err(c.unknown()),\n            }\n        }\n");
    for m in members {
        let (field, wire) = (names::field(&m.name), model.request_name(m));
        if required.contains(&m.name) {
            let absent = if names::is_collection(model, &m.shape) { "is_empty" } else { "is_none" };
            let error = match model.protocol {
                Protocol::Ec2 => "missing",
                Protocol::Query => "null",
            };
            // An empty collection is a value in the query protocol, and cannot be sent in EC2's.
            if model.protocol == Protocol::Query && names::is_collection(model, &m.shape) {
                line!(
                    out,
                    "        if r.{field}.is_empty() && n.member({wire:?}).is_none() {{ return Err(n.{error}({wire:?})); }}"
                );
            } else {
                line!(out, "        if r.{field}.{absent}() {{ return Err(n.{error}({wire:?})); }}");
            }
        }
        if let Some(check) = rules::check(model, m, &field, &wire) {
            line!(out, "        {check}");
        }
    }
    out.push_str("        Ok(r)\n    }\n}\n\n");
}

fn value(model: &Model, m: &Member) -> String {
    match &model.shape(&m.shape).kind {
        Kind::List { location, flattened, .. } => {
            if model.protocol == Protocol::Ec2 || *flattened {
                "Leaf::flat(c)?".to_owned()
            } else {
                format!("Leaf::wrapped(c, {:?})?", location.as_deref().unwrap_or("member"))
            }
        }
        Kind::Map { key_name, value_name, .. } => format!("Leaf::map(c, {key_name:?}, {value_name:?})?"),
        _ => "Some(FromQuery::from_query(c)?)".to_owned(),
    }
}
