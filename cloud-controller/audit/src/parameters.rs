//! The parameters of a call as a record shows them: nested, in CloudTrail's lower camel case, without secrets.

use serde_json::{Map, Value};

/// What stands for a secret; CloudTrail's own words.
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
/// Parameters larger than this together are left out (CloudTrail's limit of a record's part).
pub const BYTES_MAX: usize = 100 * 1024;
/// Parts of one parameter's name.
const DEPTH_MAX: usize = 12;

/// Last parts of the names of parameters that carry secrets, in lower case.
const SECRET: &[&str] = &[
    "authenticationcode1",
    "authenticationcode2",
    "bootstrapsecret",
    "newpassword",
    "oldpassword",
    "password",
    "plaintext",
    "privatekey",
    "samlassertion",
    "secretaccesskey",
    "seed",
    "tokencode",
    "userdata",
    "value.userdata",
    "webidentitytoken",
];

/// True for a parameter whose value must not be written anywhere.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let mut parts = name.rsplit('.').filter(|part| !part.bytes().all(|b| b.is_ascii_digit()));
    let last = parts.next().unwrap_or_default().to_ascii_lowercase();
    // `UserData.Value` of ModifyInstanceAttribute, `UserData.Data` of imports.
    let named = if matches!(last.as_str(), "value" | "data") {
        parts.next().unwrap_or_default().to_ascii_lowercase()
    } else {
        last
    };
    SECRET.contains(&named.as_str())
}

/// The object a record shows; null when there are no parameters. `Action`, `Version` and what only signs are left out.
#[must_use]
pub fn shown<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let mut root = Map::new();
    let mut bytes = 0;
    for (name, value) in pairs {
        if matches!(name, "Action" | "Version") || name.to_ascii_lowercase().starts_with("x-amz-") {
            continue;
        }
        bytes += name.len() + value.len();
        if bytes > BYTES_MAX {
            return omitted();
        }
        let parts: Vec<&str> = name.splitn(DEPTH_MAX, '.').collect();
        insert(&mut root, &parts, if is_secret(name) { HIDDEN } else { value });
    }
    if root.is_empty() { Value::Null } else { lists(Value::Object(root)) }
}

/// What a body of JSON asks for, as [`shown`] shows forms; null for what is none.
#[must_use]
pub fn shown_json(body: &[u8]) -> Value {
    if body.len() > BYTES_MAX {
        return omitted();
    }
    serde_json::from_slice(body).map_or(Value::Null, without_secrets)
}

/// Parameters that are shown by the names they have, as those of S3 are.
#[must_use]
pub fn shown_as_is(value: Value) -> Value {
    if value.to_string().len() > BYTES_MAX {
        return omitted();
    }
    hidden(value, &|name| name.to_owned())
}

fn without_secrets(value: Value) -> Value {
    hidden(value, &camel)
}

fn hidden(value: Value, named: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::Object(map) => {
            let shown = |(name, value): (String, Value)| {
                let value = if is_secret(&name) { Value::from(HIDDEN) } else { hidden(value, named) };
                (named(&name), value)
            };
            Value::Object(map.into_iter().map(shown).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(|value| hidden(value, named)).collect()),
        other => other,
    }
}

fn omitted() -> Value {
    serde_json::json!({ "omitted": true, "originalSizeExceeds": BYTES_MAX })
}

/// `InstanceId` → `instanceId`.
fn camel(part: &str) -> String {
    let mut letters = part.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn insert(at: &mut Map<String, Value>, parts: &[&str], value: &str) {
    let Some((first, rest)) = parts.split_first() else { return };
    let name = camel(first);
    if rest.is_empty() {
        at.insert(name, Value::String(value.to_owned()));
        return;
    }
    let below = at.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if !below.is_object() {
        // `A=1&A.B=2`: no operation has such a shape; both are shown.
        *below = Value::Object(Map::from_iter([("value".to_owned(), below.take())]));
    }
    if let Value::Object(below) = below {
        insert(below, rest, value);
    }
}

/// Objects whose names are all numbers become lists, in the order of the numbers.
fn lists(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let numbers: Option<Vec<u32>> = map.keys().map(|key| key.parse().ok()).collect();
    match numbers {
        Some(numbers) if !numbers.is_empty() => {
            let mut items: Vec<(u32, Value)> =
                numbers.into_iter().zip(map.into_iter().map(|(_, v)| lists(v))).collect();
            items.sort_by_key(|(number, _)| *number);
            Value::Array(items.into_iter().map(|(_, item)| item).collect())
        }
        _ => Value::Object(map.into_iter().map(|(key, item)| (key, lists(item))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_become_a_tree() {
        let pairs = [
            ("Action", "RunInstances"),
            ("Version", "2016-11-15"),
            ("X-Amz-Signature", "abc"),
            ("ImageId", "ami-1"),
            ("SecurityGroupId.2", "sg-2"),
            ("SecurityGroupId.1", "sg-1"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
        ];
        let expected = json!({
            "imageId": "ami-1",
            "securityGroupId": ["sg-1", "sg-2"],
            "tagSpecification": [{ "tag": [{ "key": "Name" }] }],
        });
        assert_eq!(shown(pairs), expected);
        assert_eq!(shown([("Action", "DescribeRegions")]), Value::Null);
    }

    #[test]
    fn secrets_are_not_shown() {
        for name in [
            "UserData",
            "UserData.Value",
            "LaunchTemplateData.UserData",
            "NewPassword",
            "Password",
            "PrivateKey",
            "WebIdentityToken",
            "AuthenticationCode1",
            "LaunchSpecification.UserData",
        ] {
            let text = shown([(name, "canary")]).to_string();
            assert!(!text.contains("canary") && text.contains(HIDDEN), "{name}: {text}");
        }
        assert!(shown([("PasswordResetRequired", "true")]).to_string().contains("true"));
    }

    #[test]
    fn json_is_shown_as_forms_are() {
        let body = br#"{"Name":"main","TagsList":[{"Key":"a","Value":"b"}],"Inner":{"Password":"canary"},"N":1}"#;
        let expected = json!({
            "name": "main",
            "tagsList": [{ "key": "a", "value": "b" }],
            "inner": { "password": HIDDEN },
            "n": 1,
        });
        assert_eq!(shown_json(body), expected);
        assert_eq!((shown_json(b""), shown_json(b"{")), (Value::Null, Value::Null));
        assert_eq!(shown_json(&vec![b' '; BYTES_MAX + 1])["omitted"], true);
    }

    #[test]
    fn names_of_s3_stay_as_they_are() {
        let asked = json!({ "Host": "h", "Rules": [{ "ID": "a", "Password": "canary" }] });
        assert_eq!(shown_as_is(asked), json!({ "Host": "h", "Rules": [{ "ID": "a", "Password": HIDDEN }] }));
        assert_eq!(shown_as_is(json!({ "policy": "x".repeat(BYTES_MAX) }))["omitted"], true);
    }

    #[test]
    fn what_is_too_large_is_left_out_and_odd_names_do_no_harm() {
        let large = "x".repeat(BYTES_MAX + 1);
        assert_eq!(shown([("PolicyDocument", large.as_str())])["omitted"], true);
        let deep = "A.".repeat(50);
        assert!(shown([(deep.as_str(), "1"), ("", "2"), ("A", "3"), (".", "4")]).is_object());
    }
}
