//! Reading a botocore model and cutting it down to the listed operations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// Wire protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `ec2`
    Ec2,
    /// `query`
    Query,
}

/// One member of a structure.
#[derive(Debug, Clone)]
pub struct Member {
    /// API name.
    pub name: String,
    /// Name of its shape.
    pub shape: String,
    /// `locationName`
    pub location: Option<String>,
    /// `queryName`
    pub query: Option<String>,
    /// Marked as idempotency token.
    pub token: bool,
}

/// What a shape is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A structure with its members and the API names of the required ones.
    Structure { members: Vec<Member>, required: BTreeSet<String> },
    /// A list: element shape, element `locationName`, flattened.
    List { member: String, location: Option<String>, flattened: bool },
    /// A map: key shape, value shape, their element names.
    Map { value: String, key_name: String, value_name: String },
    /// A string, with its enum values.
    String { values: Vec<String> },
    /// 32 bits.
    Integer,
    /// 64 bits.
    Long,
    /// 32 bits.
    Float,
    /// 64 bits.
    Double,
    /// true or false
    Boolean,
    /// Bytes, base64 on the wire.
    Blob,
    /// A point in time.
    Timestamp,
}

/// A shape and its constraints.
#[derive(Debug, Clone)]
pub struct Shape {
    /// What it is.
    pub kind: Kind,
    /// Must not be logged.
    pub sensitive: bool,
    /// Smallest value or length.
    pub min: Option<f64>,
    /// Largest value or length.
    pub max: Option<f64>,
    /// Regular expression.
    pub pattern: Option<String>,
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Op {
    /// The action.
    pub name: String,
    /// Input shape; none if the model gives none.
    pub input: Option<String>,
    /// Output shape.
    pub output: Option<String>,
    /// `resultWrapper`
    pub wrapper: String,
    /// Pagination: API names of token and limit.
    pub pagination: Option<(String, Option<String>)>,
}

/// A model, cut down to the listed operations.
#[derive(Debug)]
pub struct Model {
    /// Wire protocol.
    pub protocol: Protocol,
    /// API version.
    pub api_version: String,
    /// `xmlNamespace`
    pub namespace: String,
    /// All shapes of the model.
    pub shapes: BTreeMap<String, Shape>,
    /// Listed operations, sorted.
    pub operations: Vec<Op>,
    /// Operations of the model that are not listed.
    pub others: Vec<String>,
    /// Structures reachable from an input.
    pub inputs: BTreeSet<String>,
    /// Structures reachable from an output.
    pub outputs: BTreeSet<String>,
    /// Enums reachable at all.
    pub enums: BTreeSet<String>,
}

impl Model {
    /// Reads the model in `dir` and keeps the operations that `list` names, one a line, `#` begins a comment.
    pub fn load(dir: &Path, list: &str) -> Result<Self> {
        let json = read_json(dir, "service-2.json")?;
        let pages = read_json(dir, "paginators-1.json")?;
        let meta = &json["metadata"];
        let protocol = match text(meta, "protocol").as_deref() {
            Some("ec2") => Protocol::Ec2,
            Some("query") => Protocol::Query,
            other => bail!("the protocol {other:?} is not supported"),
        };
        let mut shapes = BTreeMap::new();
        for (name, shape) in object(&json["shapes"])? {
            shapes.insert(name.clone(), read_shape(shape).with_context(|| format!("shape {name}"))?);
        }
        let all = object(&json["operations"])?;
        let mut wanted = BTreeSet::new();
        for line in list.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty()) {
            ensure!(all.contains_key(line), "the model has no operation {line}");
            ensure!(wanted.insert(line), "the operation {line} is listed twice");
        }
        let mut operations = Vec::new();
        for name in &wanted {
            let op = &all[*name];
            let page = &pages["pagination"][*name];
            operations.push(Op {
                name: (*name).to_owned(),
                input: text(&op["input"], "shape"),
                output: text(&op["output"], "shape"),
                wrapper: text(&op["output"], "resultWrapper").unwrap_or_default(),
                pagination: text(page, "input_token").map(|t| (t, text(page, "limit_key"))),
            });
        }
        let mut model = Self {
            protocol,
            api_version: text(meta, "apiVersion").context("no apiVersion")?,
            namespace: text(meta, "xmlNamespace").context("no xmlNamespace")?,
            others: all.keys().filter(|k| !wanted.contains(k.as_str())).cloned().collect(),
            shapes,
            operations,
            inputs: BTreeSet::new(),
            outputs: BTreeSet::new(),
            enums: BTreeSet::new(),
        };
        model.others.sort();
        for op in model.operations.clone() {
            if let Some(shape) = &op.input {
                model.reach(shape, true, &mut Vec::new())?;
            }
            if let Some(shape) = &op.output {
                model.reach(shape, false, &mut Vec::new())?;
            }
        }
        Ok(model)
    }

    /// The shape of this name; the loader has checked that all names resolve.
    pub fn shape(&self, name: &str) -> &Shape {
        &self.shapes[name]
    }

    /// Members and required names of a structure; nothing for other shapes.
    pub fn members(&self, name: &str) -> (&[Member], &BTreeSet<String>) {
        static NONE: BTreeSet<String> = BTreeSet::new();
        match &self.shape(name).kind {
            Kind::Structure { members, required } => (members, required),
            _ => (&[], &NONE),
        }
    }

    /// All structures to generate.
    pub fn structures(&self) -> BTreeSet<&str> {
        self.inputs.union(&self.outputs).map(String::as_str).collect()
    }

    /// Name of a member in a request.
    pub fn request_name(&self, m: &Member) -> String {
        match (self.protocol, &m.query, &m.location) {
            (Protocol::Ec2, Some(query), _) => query.clone(),
            (Protocol::Ec2, None, Some(location)) => {
                let mut chars = location.chars();
                chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
            }
            (Protocol::Query, _, Some(location)) => location.clone(),
            _ => m.name.clone(),
        }
    }

    /// Element name of a member in a reply.
    pub fn reply_name(m: &Member) -> &str {
        m.location.as_deref().unwrap_or(&m.name)
    }

    fn reach(&mut self, name: &str, input: bool, above: &mut Vec<String>) -> Result<()> {
        ensure!(!above.iter().any(|n| n == name), "the shape {name} contains itself: {above:?}");
        let shape = self.shapes.get(name).with_context(|| format!("no shape {name}"))?.clone();
        let below: Vec<String> = match &shape.kind {
            Kind::Structure { members, .. } => {
                let set = if input { &mut self.inputs } else { &mut self.outputs };
                if !set.insert(name.to_owned()) {
                    return Ok(());
                }
                members.iter().map(|m| m.shape.clone()).collect()
            }
            Kind::List { member, .. } => vec![member.clone()],
            Kind::Map { value, .. } => vec![value.clone()],
            Kind::String { values } if !values.is_empty() => {
                self.enums.insert(name.to_owned());
                vec![]
            }
            _ => vec![],
        };
        above.push(name.to_owned());
        for b in below {
            self.reach(&b, input, above)?;
        }
        above.pop();
        Ok(())
    }
}

fn read_shape(v: &Value) -> Result<Shape> {
    let kind = match text(v, "type").as_deref() {
        Some("structure") => {
            let mut members = Vec::new();
            for (name, m) in object(&v["members"])? {
                members.push(Member {
                    name: name.clone(),
                    shape: text(m, "shape").context("member without shape")?,
                    location: text(m, "locationName"),
                    query: text(m, "queryName"),
                    token: m["idempotencyToken"].as_bool().unwrap_or(false),
                });
            }
            let required = strings(&v["required"]).into_iter().collect();
            Kind::Structure { members, required }
        }
        Some("list") => Kind::List {
            member: text(&v["member"], "shape").context("list without member")?,
            location: text(&v["member"], "locationName"),
            flattened: v["flattened"].as_bool().unwrap_or(false),
        },
        Some("map") => Kind::Map {
            value: text(&v["value"], "shape").context("map without value")?,
            key_name: text(&v["key"], "locationName").unwrap_or_else(|| "key".to_owned()),
            value_name: text(&v["value"], "locationName").unwrap_or_else(|| "value".to_owned()),
        },
        Some("string" | "character") => Kind::String { values: strings(&v["enum"]) },
        Some("integer") => Kind::Integer,
        Some("long") => Kind::Long,
        Some("float") => Kind::Float,
        Some("double") => Kind::Double,
        Some("boolean") => Kind::Boolean,
        Some("blob") => Kind::Blob,
        Some("timestamp") => Kind::Timestamp,
        other => bail!("unknown type {other:?}"),
    };
    Ok(Shape {
        kind,
        sensitive: v["sensitive"].as_bool().unwrap_or(false),
        min: v["min"].as_f64(),
        max: v["max"].as_f64(),
        pattern: text(v, "pattern"),
    })
}

/// A model file, plain or as `.gz` (some releases of botocore compress the large ones).
fn read_json(dir: &Path, name: &str) -> Result<Value> {
    let plain = dir.join(name);
    let bytes = if plain.is_file() {
        std::fs::read(&plain)?
    } else {
        let gz = dir.join(format!("{name}.gz"));
        if !gz.is_file() {
            // STS has no pagination; a service without a model is an error further up.
            ensure!(name != "service-2.json", "no {} and no {}", plain.display(), gz.display());
            return Ok(Value::Null);
        }
        let out = Command::new("gzip").arg("-dc").arg(&gz).output().context("running gzip")?;
        ensure!(out.status.success(), "gzip -dc {} failed", gz.display());
        out.stdout
    };
    serde_json::from_slice(&bytes).with_context(|| format!("parsing {name} in {}", dir.display()))
}

fn text(v: &Value, key: &str) -> Option<String> {
    match &v[key] {
        Value::String(s) => Some(s.clone()),
        // A paginator may name several tokens; the first drives the pages.
        Value::Array(a) => a.first().and_then(Value::as_str).map(str::to_owned),
        _ => None,
    }
}

fn strings(v: &Value) -> Vec<String> {
    v.as_array().map(|a| a.iter().filter_map(Value::as_str).map(str::to_owned).collect()).unwrap_or_default()
}

fn object(v: &Value) -> Result<&Map<String, Value>> {
    v.as_object().context("not an object")
}
