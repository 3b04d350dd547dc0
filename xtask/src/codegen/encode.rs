//! `encode.rs`: replies to XML.

use std::collections::BTreeSet;

use super::model::{Kind, Member, Model, Protocol};
use super::names;

/// Replies of which AWS sends only the attribute that was asked for: their empty lists stay away.
const SPARSE: &[&str] = &[
    "DescribeNetworkInterfaceAttributeResult",
    "DescribeSnapshotAttributeResult",
    "DescribeVolumeAttributeResult",
    "ImageAttribute",
    "InstanceAttribute",
];

/// `encode.rs`
pub fn emit(model: &Model) -> String {
    let mut out = String::from(
        "use mallee_awswire::xml::XmlField as _;\nuse mallee_awswire::{ToXml, XmlWriter};\n\nuse super::*;\n\n",
    );
    let top: BTreeSet<&str> = model.operations.iter().filter_map(|op| op.output.as_deref()).collect();
    for name in &model.outputs {
        let (members, required) = model.members(name);
        let w = if members.is_empty() { "_" } else { "w" };
        line!(out, "impl ToXml for {} {{\n    fn to_xml(&self, {w}: &mut XmlWriter) {{", names::structure(name));
        for m in members {
            // EC2 sends empty lists; IAM and STS send them at the top of a reply or where the model requires them.
            let always = match model.protocol {
                Protocol::Ec2 => !SPARSE.contains(&name.as_str()),
                Protocol::Query => top.contains(name.as_str()) || required.contains(&m.name),
            };
            member(&mut out, model, m, always);
        }
        out.push_str("    }\n}\n\n");
    }
    out
}

fn member(out: &mut String, model: &Model, m: &Member, always: bool) {
    let (field, name) = (names::field(&m.name), Model::reply_name(m));
    let line = match &model.shape(&m.shape).kind {
        Kind::List { location, flattened: false, .. } => {
            format!("w.list({name:?}, {:?}, &self.{field}, {always});", location.as_deref().unwrap_or("member"))
        }
        Kind::List { location, flattened: true, .. } => {
            format!("w.flat_list({:?}, &self.{field});", location.as_deref().unwrap_or(name))
        }
        Kind::Map { key_name, value_name, .. } => {
            format!("w.map({name:?}, {key_name:?}, {value_name:?}, &self.{field}, {always});")
        }
        _ => format!("self.{field}.field(w, {name:?});"),
    };
    line!(out, "        {line}");
}
