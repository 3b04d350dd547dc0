//! `conformance.rs`: canonical JSON of all structures, for the comparison with botocore.

use super::model::Model;
use super::{names, ops};

/// `conformance.rs`
pub fn emit(request: &str, model: &Model) -> String {
    let mut out = String::from(
        "//! Canonical JSON, by the API's member names; only for the comparison with botocore.\n\n\
         use serde_json::{Map, Value};\n\nuse super::*;\nuse crate::canon::{Canon, get, put};\n\n",
    );
    let mut all: Vec<(String, Vec<(String, String)>)> = model
        .structures()
        .into_iter()
        .map(|s| {
            let members = model.members(s).0.iter().map(|m| (m.name.clone(), names::field(&m.name))).collect();
            (names::structure(s), members)
        })
        .collect();
    all.extend(model.operations.iter().filter(|op| op.input.is_none()).map(|op| (ops::input(op), vec![])));
    for (rust, members) in all {
        let (m, v, mutable) = if members.is_empty() { ("_", "_v", "") } else { ("m", "v", "mut ") };
        let _ = m;
        line!(out, "impl Canon for {rust} {{\n    fn to_json(&self) -> Value {{\n        let {mutable}m = Map::new();");
        for (name, field) in &members {
            line!(out, "        put(&mut m, {name:?}, &self.{field});");
        }
        line!(
            out,
            "        Value::Object(m)\n    }}\n\n    fn from_json({v}: &Value) -> Result<Self, String> {{\n        Ok(Self {{"
        );
        for (name, field) in &members {
            line!(out, "            {field}: get(v, {name:?})?,");
        }
        out.push_str("        })\n    }\n}\n\n");
    }
    line!(
        out,
        "impl {request} {{\n    /// The decoded request as canonical JSON.\n    #[must_use]\n    pub fn to_json(&self) -> Value {{\n        match self {{"
    );
    for op in &model.operations {
        line!(out, "            Self::{}(r) => r.to_json(),", op.name);
    }
    out.push_str("        }\n    }\n}\n\n");
    out.push_str(
        "/// The reply of an operation from canonical JSON, as the XML that goes on the wire.\n///\n/// # Errors\n\
         /// A text that says which member does not fit.\n\
         pub fn reply(op: &str, value: &Value, version: Option<&str>) -> Result<String, String> {\n    \
         let (i, output): (usize, Box<dyn mallee_awswire::ToXml>) = match op {\n",
    );
    for (i, op) in model.operations.iter().enumerate() {
        match &op.output {
            Some(o) => {
                line!(out, "        {:?} => ({i}, Box::new({}::from_json(value)?)),", op.name, names::structure(o));
            }
            None => {
                line!(out, "        {:?} => ({i}, Box::new(())),", op.name);
            }
        }
    }
    out.push_str(
        "        other => return Err(format!(\"no operation {other}\")),\n    };\n    \
         Ok(SERVICE.reply(&OPERATIONS[i], version, \"00000000-0000-0000-0000-000000000000\", &*output))\n}\n",
    );
    out
}
