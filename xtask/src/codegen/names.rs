//! Rust names and types of model names.

use super::model::{Kind, Model};

const KEYWORDS: &[&str] = &[
    "as", "async", "await", "box", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false",
    "fn", "for", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "pub", "ref", "return",
    "self", "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while", "yield",
];

/// `InstanceIds` → `instance_ids`, `EBSOptimized` → `ebs_optimized`, `Type` → `type_`.
pub fn field(name: &str) -> String {
    let snake = snake(name);
    if KEYWORDS.contains(&snake.as_str()) { format!("{snake}_") } else { snake }
}

/// `VolumeType` → `VOLUME_TYPE`.
pub fn constant(name: &str) -> String {
    snake(name).to_uppercase()
}

/// The Rust type of a structure.
pub fn structure(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The Rust type of a shape, without `Option`.
pub fn rust_type(model: &Model, shape: &str) -> String {
    let s = model.shape(shape);
    match &s.kind {
        Kind::Structure { .. } => structure(shape),
        Kind::List { member, .. } => format!("Vec<{}>", rust_type(model, member)),
        Kind::Map { value, .. } => format!("Vec<(String, {})>", rust_type(model, value)),
        Kind::String { .. } if s.sensitive => "SecretString".to_owned(),
        Kind::String { .. } => "String".to_owned(),
        Kind::Integer => "i32".to_owned(),
        Kind::Long => "i64".to_owned(),
        Kind::Float => "f32".to_owned(),
        Kind::Double => "f64".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Blob => "Vec<u8>".to_owned(),
        Kind::Timestamp => "OffsetDateTime".to_owned(),
    }
}

/// True for lists and maps, whose members are a plain `Vec`.
pub fn is_collection(model: &Model, shape: &str) -> bool {
    matches!(model.shape(shape).kind, Kind::List { .. } | Kind::Map { .. })
}

fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            out.push('_');
            continue;
        }
        if c.is_ascii_uppercase() && i > 0 && !out.ends_with('_') {
            let before = chars[i - 1];
            let after = chars.get(i + 1);
            let plural = after == Some(&'s') && chars.get(i + 2).is_none_or(|c| c.is_ascii_uppercase());
            let word_begins = after.is_some_and(char::is_ascii_lowercase) && !plural;
            if !before.is_ascii_uppercase() || word_begins {
                out.push('_');
            }
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (from, to) in [
            ("InstanceIds", "instance_ids"),
            ("Type", "type_"),
            ("VPCZoneIdentifier", "vpc_zone_identifier"),
            ("Ipv6CidrBlock", "ipv6_cidr_block"),
            ("SAMLProviderARN", "saml_provider_arn"),
            ("AccountARNs", "account_arns"),
            ("CidrIp", "cidr_ip"),
            ("MFADevices", "mfa_devices"),
            ("ebs-optimized", "ebs_optimized"),
        ] {
            assert_eq!(field(from), to);
        }
        assert_eq!(structure("summaryType"), "SummaryType");
    }
}
