//! The smallest request of an operation that its parser accepts: found by asking the parser.

use mallee_awswire::{ApiError, OperationMeta, Params};
use mallee_ec2_types::ec2::Ec2Request;
use mallee_ec2_types::iam::IamRequest;
use mallee_ec2_types::sts::StsRequest;
use std::collections::BTreeMap;

/// Values to try for a parameter, in this order.
const VALUES: [&str; 10] = [
    "1",
    "true",
    "i-0123456789abcdef0",
    "2030-01-01T00:00:00Z",
    "123456",
    "arn:aws:iam::123456789012:role/some-role-of-a-name",
    "https://example.com",
    "abcdefghijklmnopqrstuvwxyz012345",
    "Active",
    "SSH",
];
/// What stands behind the name of a parameter that is no scalar.
const FORMS: [&str; 8] =
    ["", ".1", ".member.1", ".entry.1.key", ".1.Key", ".member.1.Key", ".1.SecurityGroupRuleId", ".Name"];
/// Tries before an operation is given up.
const TRIES: usize = 400;

pub fn parse(service: &str, action: &str, params: &Params) -> Result<(), ApiError> {
    match service {
        "ec2" => Ec2Request::parse(action, params).map(drop),
        "iam" => IamRequest::parse(action, params).map(drop),
        _ => StsRequest::parse(action, params).map(drop),
    }
}

/// A parameter as it is sent, of a member as IAM's errors name it (`tags.member.1.value`).
fn member_of(path: &str) -> String {
    let part = |part: &str| match part {
        "member" | "entry" => part.to_owned(),
        _ => part.chars().take(1).flat_map(char::to_uppercase).chain(part.chars().skip(1)).collect(),
    };
    path.split('.').map(part).collect::<Vec<String>>().join(".")
}

#[derive(Debug, Default, Clone, Copy)]
struct Try {
    form: usize,
    value: usize,
}

/// Parameters that the parser accepts.
///
/// # Panics
/// Where none are found: then a row of overrides is wanted.
pub fn minimal(service: &str, meta: &OperationMeta, overrides: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut tries: BTreeMap<String, Try> = BTreeMap::new();
    let given = |name: &str| overrides.iter().any(|(key, _)| key.split('.').next() == Some(name));
    for name in meta.required.iter().filter(|name| !given(name)) {
        tries.insert((*name).to_owned(), Try::default());
    }
    let mut last = String::new();
    for _ in 0..TRIES {
        let mut pairs: Vec<(String, String)> =
            overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        pairs.extend(tries.iter().map(|(name, t)| (format!("{name}{}", FORMS[t.form]), VALUES[t.value].to_owned())));
        let refs = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let params = Params::from_pairs(refs).expect("plain parameters");
        let Err(error) = parse(service, meta.name, &params) else { return pairs };
        let text = error.message().to_ascii_lowercase();
        last = format!("{error} with {pairs:?}");
        let named = |name: &str| {
            let name = name.to_ascii_lowercase();
            text.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).any(|word| {
                let word = word.trim_end_matches('.');
                word == name || word.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'))
            })
        };
        let about = tries.iter().filter(|(name, _)| named(name)).map(|(name, _)| name.clone()).max_by_key(String::len);
        if let Some((_, rest)) = error.message().split_once("Value null at '") {
            tries.insert(member_of(rest.split('\'').next().unwrap_or_default()), Try::default());
            continue;
        }
        match error.code().as_str() {
            "UnknownParameter" => {
                let name = about.expect("the parser names what it does not know");
                let t = tries.get_mut(&name).expect("it is among them");
                t.form += 1;
                if t.form == FORMS.len() {
                    // A structure: what it must have, the parser says next.
                    tries.remove(&name);
                }
            }
            "MissingParameter" => {
                let missing = error.message().split_whitespace().last().unwrap_or_default().trim_matches(['.', '\'']);
                let t = about.clone().and_then(|name| tries.get(&name).copied().map(|t| (name, t)));
                match t {
                    // It is given, but in a form that does not count.
                    Some((name, t)) if missing == name && t.form + 1 < FORMS.len() => {
                        tries.insert(name, Try { form: t.form + 1, value: 0 });
                    }
                    _ => {
                        tries.insert(missing.to_owned(), Try::default());
                    }
                }
            }
            _ => {
                let Some(name) = about else { panic!("{service} {}: {last}", meta.name) };
                let t = tries.get_mut(&name).expect("it is among them");
                t.value += 1;
                assert!(t.value < VALUES.len(), "{service} {}: {last}", meta.name);
            }
        }
    }
    panic!("{service} {}: no request found; at last {last}", meta.name);
}
