//! Whether a text may be the policy of a bucket, in S3's words.

use super::keys;
use crate::operation::{self, Operation, Scope};
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Policy, PolicyError, PolicyKind};
use serde_json::{Map, Value};

/// Longest policy, in bytes.
pub(crate) const POLICY_BYTES_MAX: usize = 20 * 1024;
/// Actions of S3 that no operation here asks for by its own name, and what they are about.
const FURTHER: &[(&str, Scope)] = &[
    ("s3:BypassGovernanceRetention", Scope::Object),
    ("s3:InitiateReplication", Scope::Bucket),
    ("s3:ObjectOwnerOverrideToBucketOwner", Scope::Object),
    ("s3:PutObjectLegalHold", Scope::Object),
    ("s3:PutObjectRetention", Scope::Object),
    ("s3:ReplicateDelete", Scope::Object),
    ("s3:ReplicateObject", Scope::Object),
    ("s3:ReplicateTags", Scope::Object),
    ("s3:ListTagsForResource", Scope::Bucket),
    ("s3:TagResource", Scope::Bucket),
    ("s3:UntagResource", Scope::Bucket),
];

fn malformed(text: impl Into<String>) -> ApiError {
    Code::MalformedPolicy.message(text.into())
}

/// Reads the policy that a client sent for a bucket.
///
/// # Errors
/// `MalformedPolicy`.
pub(crate) fn read(body: &[u8], bucket: &str) -> Result<(String, Policy), ApiError> {
    if body.len() > POLICY_BYTES_MAX {
        return Err(malformed("Policy exceeds the maximum allowed document size."));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("Policies must be valid JSON"))?;
    if !text.trim_start().starts_with('{') {
        return Err(malformed("Policies must be valid JSON and the first byte must be '{'"));
    }
    let document: Value = serde_json::from_str(text).map_err(|_| malformed("This policy contains invalid Json"))?;
    check_fields(&document)?;
    let policy = Policy::parse(text, PolicyKind::Resource).map_err(|error| refused(&error))?;
    for statement in statements(&document) {
        check_statement(statement, bucket)?;
    }
    let of_s3 = |key: &&String| key.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("s3:"));
    if let Some(key) = policy.context_keys().iter().filter(of_s3).find(|key| !keys::provides(key)) {
        return Err(malformed("Policy has an invalid condition key").field("Detail", key.as_str()));
    }
    Ok((text.to_owned(), policy))
}

fn refused(error: &PolicyError) -> ApiError {
    match error {
        PolicyError::InvalidPrincipal(detail) => invalid_principal(detail),
        PolicyError::Syntax { why } => malformed("Syntax errors in policy.").because(why),
        other => malformed(other.to_string()),
    }
}

/// The refusal of a policy that names somebody who is not there.
pub(crate) fn invalid_principal(detail: &str) -> ApiError {
    malformed("Invalid principal in policy").field("Detail", mallee_awswire::texts::clip(detail).into_owned())
}

fn statements(document: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    let list = match document.get("Statement") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    list.iter().filter_map(Value::as_object)
}

/// What has to be there, which S3 names.
fn check_fields(document: &Value) -> Result<(), ApiError> {
    if document.get("Statement").is_none() {
        return Err(malformed("Missing required field Statement"));
    }
    if document.get("Statement").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        return Err(malformed("Could not parse the policy: Statement is empty!"));
    }
    for statement in statements(document) {
        let required =
            [("Effect", "Effect"), ("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource")];
        for (field, or) in required {
            if !statement.contains_key(field) && !statement.contains_key(or) {
                return Err(malformed(format!("Missing required field {field}")));
            }
        }
    }
    Ok(())
}

fn texts<'s>(statement: &'s Map<String, Value>, fields: [&str; 2]) -> Vec<&'s str> {
    let value = fields.iter().find_map(|field| statement.get(*field));
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn check_statement(statement: &Map<String, Value>, bucket: &str) -> Result<(), ApiError> {
    let (mut of_bucket, mut of_objects) = (false, false);
    for resource in texts(statement, ["Resource", "NotResource"]) {
        let within = resource.strip_prefix("arn:aws:s3:::").and_then(|rest| rest.strip_prefix(bucket));
        match within {
            Some("") => of_bucket = true,
            Some(rest) if rest.starts_with('/') => of_objects = true,
            // `bucket*`: the bucket and what is in it, and no other bucket, as the policy counts here only.
            Some("*") => (of_bucket, of_objects) = (true, true),
            _ => return Err(malformed("Policy has invalid resource").field("Detail", resource)),
        }
    }
    let is_meant = statement.contains_key("Action") && statement.contains_key("Resource");
    for action in texts(statement, ["Action", "NotAction"]) {
        let scopes: Vec<Scope> = scopes_of(action);
        if scopes.is_empty() {
            return Err(malformed("Policy has invalid action").field("Detail", action));
        }
        let applies = (of_bucket && scopes.contains(&Scope::Bucket)) || (of_objects && scopes.contains(&Scope::Object));
        if is_meant && !applies {
            return Err(malformed("Action does not apply to any resource(s) in statement"));
        }
    }
    Ok(())
}

/// What the actions are about that a pattern matches; nothing: there are none.
fn scopes_of(pattern: &str) -> Vec<Scope> {
    if pattern == "*" {
        return vec![Scope::Bucket, Scope::Object];
    }
    let mut found = Vec::new();
    let mut look = |action: &str, scope: Scope| {
        if scope != Scope::Service && !found.contains(&scope) && matches(pattern.as_bytes(), action.as_bytes()) {
            found.push(scope);
        }
    };
    for operation in Operation::ALL {
        let row = operation.row();
        for action in row.actions {
            // PutObject and DeleteObject are about objects also where a request names a bucket.
            let scope = if matches!(*action, "s3:PutObject" | "s3:DeleteObject") { Scope::Object } else { row.scope };
            look(action, scope);
            look(operation::on_version(action), scope);
        }
    }
    for (action, scope) in FURTHER {
        look(action, *scope);
    }
    found
}

/// Whether a pattern with `*` and `?` matches an action, whatever the case.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if matches(rest, text) => true,
        (Some((b'*', _)), Some((_, after))) => matches(pattern, after),
        (Some((p, rest)), Some((t, after))) if *p == b'?' || p.eq_ignore_ascii_case(t) => matches(rest, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(statement: &str) -> String {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        read(text.as_bytes(), "b").map_or_else(|error| error.message().to_owned(), |_| String::new())
    }

    fn with(fields: &str) -> String {
        refusal(&format!(r#"{{"Effect":"Allow","Principal":"*",{fields}}}"#))
    }

    #[test]
    fn what_may_be_the_policy_of_a_bucket() {
        for good in [
            r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#,
            r#""Action":["s3:listbucket","s3:GetObjectVersion"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/x"]"#,
            r#""Action":"s3:*","Resource":"arn:aws:s3:::b""#,
            r#""Action":"s3:Get*","Resource":"arn:aws:s3:::b*""#,
            r#""Action":"*","Resource":"arn:aws:s3:::b/k""#,
            r#""NotAction":"s3:DeleteBucket","Resource":"arn:aws:s3:::b/k""#,
            r#""Action":"s3:DeleteObject","NotResource":"arn:aws:s3:::b/k""#,
        ] {
            assert_eq!(with(good), "", "{good}");
        }
        for (bad, why) in [
            (r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::c/*""#, "Policy has invalid resource"),
            (r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::bc/*""#, "Policy has invalid resource"),
            (r#""Action":"s3:GetObject","Resource":"*""#, "Policy has invalid resource"),
            (r#""Action":"s3:Nothing","Resource":"arn:aws:s3:::b""#, "Policy has invalid action"),
            (r#""Action":"ec2:RunInstances","Resource":"arn:aws:s3:::b""#, "Policy has invalid action"),
            (r#""Action":"s3:CreateBuckets*","Resource":"arn:aws:s3:::b""#, "Policy has invalid action"),
            (
                r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::b""#,
                "Action does not apply to any resource(s) in statement",
            ),
            (
                r#""Action":"s3:ListBucket","Resource":"arn:aws:s3:::b/*""#,
                "Action does not apply to any resource(s) in statement",
            ),
            (r#""Action":"s3:GetObject""#, "Missing required field Resource"),
            (r#""Resource":"arn:aws:s3:::b""#, "Missing required field Action"),
        ] {
            assert_eq!(with(bad), why, "{bad}");
        }
        assert_eq!(
            refusal(r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b"}"#),
            "Missing required field Principal"
        );
        assert_eq!(
            refusal(r#"{"Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b"}"#),
            "Missing required field Effect"
        );
        let somebody = r#"{"Effect":"Allow","Principal":{"AWS":"me"},"Action":"s3:*","Resource":"arn:aws:s3:::b"}"#;
        assert_eq!(refusal(somebody), "Invalid principal in policy");
        assert_eq!(refusal(""), "Could not parse the policy: Statement is empty!");
        let text = |body: &[u8]| read(body, "b").map(drop).map_err(|error| error.message().to_owned());
        assert_eq!(text(b"{}"), Err("Missing required field Statement".to_owned()));
        assert_eq!(text(b"nonsense"), Err("Policies must be valid JSON and the first byte must be '{'".to_owned()));
        assert_eq!(text(b"{nonsense"), Err("This policy contains invalid Json".to_owned()));
        let long = format!("{{{}", " ".repeat(POLICY_BYTES_MAX));
        assert_eq!(text(long.as_bytes()), Err("Policy exceeds the maximum allowed document size.".to_owned()));
    }

    #[test]
    fn keys_that_nothing_provides_are_refused() {
        let with = |condition: &str| {
            with(&format!(r#""Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{condition}"#))
        };
        for good in [
            r#"{"NumericGreaterThan":{"s3:object-lock-remaining-retention-days":"10"}}"#,
            r#"{"StringEquals":{"S3:OBJECT-LOCK-MODE":"COMPLIANCE"}}"#,
            r#"{"Null":{"s3:if-none-match":"true"},"Bool":{"s3:ObjectCreationOperation":"true"}}"#,
            r#"{"StringEquals":{"s3:ExistingObjectTag/Team":"${aws:PrincipalTag/team}"}}"#,
            r#"{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#,
        ] {
            assert_eq!(with(good), "", "{good}");
        }
        for bad in [
            r#"{"NumericLessThan":{"s3:TlsVersion":"1.2"}}"#,
            r#"{"StringEquals":{"s3:BucketTag/team":"red"}}"#,
            r#"{"StringEquals":{"S3:Prefixes":"x"}}"#,
            r#"{"StringEquals":{"aws:username":"${s3:nothing}"}}"#,
        ] {
            assert_eq!(with(bad), "Policy has an invalid condition key", "{bad}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, is) in [
            ("a*c", "abc", true),
            ("a*c", "AC", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("a*b*c", "axbxbc", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), is, "{pattern} {text}");
        }
    }
}
