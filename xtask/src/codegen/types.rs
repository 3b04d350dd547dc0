//! Structures and enum value lists.

use super::model::{Kind, Model};
use super::names;

/// Enums whose values say nothing here: 1,437 instance types of another cloud.
const OPEN_ENUMS: &[&str] = &["InstanceType"];

/// `types.rs`
pub fn emit(model: &Model) -> String {
    let mut body = String::new();
    for name in model.structures() {
        structure(&mut body, model, name);
    }
    for op in model.operations.iter().filter(|op| op.input.is_none()) {
        line!(
            body,
            "/// `{0}` has no parameters.\n#[derive(Debug, Clone, Default)]\npub struct {0}Request {{}}\n",
            op.name
        );
    }
    let mut out = String::new();
    if body.contains("SecretString") {
        out.push_str("use secrecy::SecretString;\n");
    }
    if body.contains("OffsetDateTime") {
        out.push_str("use time::OffsetDateTime;\n");
    }
    out.push('\n');
    out + &body
}

fn structure(out: &mut String, model: &Model, name: &str) {
    let (members, required) = model.members(name);
    // A sensitive structure or blob hides the whole structure; sensitive strings hide themselves.
    let secret = model.shape(name).sensitive
        || members.iter().any(|m| {
            let s = model.shape(&m.shape);
            s.sensitive && !matches!(s.kind, Kind::String { .. } | Kind::Structure { .. })
        });
    let rust = names::structure(name);
    let derive = if secret { "Clone, Default" } else { "Debug, Clone, Default" };
    line!(out, "/// `{name}`\n#[derive({derive})]\npub struct {rust} {{");
    for m in members {
        let ty = names::rust_type(model, &m.shape);
        let ty = if names::is_collection(model, &m.shape) { ty } else { format!("Option<{ty}>") };
        let note = if required.contains(&m.name) { ", required" } else { "" };
        line!(out, "    /// `{}`{note}\n    pub {}: {ty},", m.name, names::field(&m.name));
    }
    out.push_str("}\n\n");
    if secret {
        line!(
            out,
            "impl std::fmt::Debug for {rust} {{\n    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{\n        \
             f.write_str(\"{rust} [redacted]\")\n    }}\n}}\n"
        );
    }
}

/// `enums.rs`
pub fn emit_enums(model: &Model) -> String {
    let mut out = String::from("//! Values of each enum of the model; the types themselves are strings.\n\n");
    for name in model.enums.iter().filter(|n| !OPEN_ENUMS.contains(&n.as_str())) {
        if let Kind::String { values } = &model.shape(name).kind {
            line!(out, "/// `{name}`\npub const {}: &[&str] = &{values:?};", names::constant(name));
        }
    }
    out
}
