//! The vectors: tables of cases, each with the answer that AWS's documentation gives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mallee_iam::{Context, Decision, Effect, Inputs, Layer, Policy, PolicyKind, Principal, Request, evaluate};
use std::sync::Arc;
use support::{OTHER, OWNER, caller, cells, identity, one_statement, rows};

/// As many own vectors as issue 3 asks for; the tables may only grow.
const LEAST: usize = 600;

fn decide(effect: &str, statement: &str, version: &str, request: &Request<'_>) -> bool {
    let subject = identity(&one_statement(version, effect, statement));
    let all = identity(&one_statement(version, "Allow", r#""Action":"*","Resource":"*""#));
    match effect {
        "Allow" => evaluate(request, &Inputs { identity: &[subject], ..Inputs::default() }).is_allowed(),
        _ => !evaluate(request, &Inputs { identity: &[all, subject], ..Inputs::default() }).is_allowed(),
    }
}

fn conditions() -> usize {
    let principal = caller("user", OWNER);
    let mut count = 0;
    for (left, right) in rows(include_str!("conditions.txt")) {
        let (effects, left): (&[&str], &str) =
            match left.split_once(": ").filter(|(e, _)| matches!(*e, "allow" | "deny")) {
                Some(("allow", rest)) => (&["Allow"], rest),
                Some((_, rest)) => (&["Deny"], rest),
                None => (&["Allow", "Deny"], left),
            };
        let (operator, values) = left.split_once(' ').unwrap();
        // A comma inside a variable separates its default.
        let values: Vec<&str> = if values.contains(", '") { vec![values] } else { values.split(',').collect() };
        let values = serde_json::to_string(&values).unwrap();
        let statement = format!(r#""Action":"a:b","Resource":"*","Condition":{{"{operator}":{{"X:Key":{values}}}}}"#);
        for (value, expected) in cells(right) {
            let mut context = Context::new().with("aws:username", "alice").with("aws:PrincipalTag/team", "red");
            context.set_all("x:many", ["1", "2"]);
            match value {
                "-" => {}
                "()" => context.set("x:KEY", ""),
                many => context.set_all("x:key", many.split(',')),
            }
            let request = Request { principal: &principal, action: "a:b", resource: "*", context: &context };
            for effect in effects {
                let got = decide(effect, &statement, "2012-10-17", &request);
                assert_eq!(got, expected == "y", "{effect} {left} with {value}");
            }
            count += 1;
        }
    }
    count
}

fn patterns() -> usize {
    let principal = caller("user", OWNER);
    let context = Context::new().with("aws:username", "alice").with("x:star", "*");
    let mut count = 0;
    for (left, right) in rows(include_str!("patterns.txt")) {
        let (kind, pattern) = left.split_once(' ').unwrap();
        let patterns: Vec<&str> = if pattern.contains(", '") { vec![pattern] } else { pattern.split(',').collect() };
        let list = serde_json::to_string(&patterns).unwrap();
        let (statement, version) = match kind {
            "action" => (format!(r#""Action":{list},"Resource":"*""#), "2012-10-17"),
            "notaction" => (format!(r#""NotAction":{list},"Resource":"*""#), "2012-10-17"),
            "resource" => (format!(r#""Action":"*","Resource":{list}"#), "2012-10-17"),
            "notresource" => (format!(r#""Action":"*","NotResource":{list}"#), "2012-10-17"),
            "old" => (format!(r#""Action":"*","Resource":{list}"#), "2008-10-17"),
            other => panic!("no kind {other}"),
        };
        for (text, expected) in cells(right) {
            let (action, resource) = if kind.ends_with("action") { (text, "*") } else { ("a:b", text) };
            let request = Request { principal: &principal, action, resource, context: &context };
            assert_eq!(decide("Allow", &statement, version, &request), expected == "y", "{left} with {text}");
            count += 1;
        }
    }
    count
}

fn principals() -> usize {
    let all = [identity(&one_statement("2012-10-17", "Allow", r#""Action":"*","Resource":"*""#))];
    let context = Context::new();
    let owner = OWNER.parse().unwrap();
    let mut count = 0;
    for (left, right) in rows(include_str!("principals.txt")) {
        let document =
            one_statement("2012-10-17", "Allow", &format!(r#""Principal":{left},"Action":"*","Resource":"*""#));
        let resource = Policy::parse(&document, PolicyKind::Resource).unwrap_or_else(|e| panic!("{left}: {e}"));
        for (who, expected) in cells(right) {
            for ((account, own), letter) in
                [(OWNER, &all[..]), (OWNER, &[]), (OTHER, &all[..])].into_iter().zip(expected.chars())
            {
                let principal = caller(who, account);
                let request = Request { principal: &principal, action: "a:b", resource: "*", context: &context };
                let inputs = Inputs {
                    identity: own,
                    resource: Some(&resource),
                    resource_account: Some(&owner),
                    resource_must_allow: true,
                    ..Inputs::default()
                };
                assert_eq!(evaluate(&request, &inputs).is_allowed(), letter == 'y', "{left} with {who} of {account}");
                count += 1;
            }
        }
    }
    count
}

/// A layer's policy: allows nothing, everything, or denies everything.
fn layer_policy(letter: &str) -> Option<Arc<Policy>> {
    let (effect, action) = match letter {
        "-" => return None,
        "0" => ("Allow", "other:Thing"),
        "+" => ("Allow", "*"),
        "!" => ("Deny", "*"),
        other => panic!("no layer {other}"),
    };
    Some(identity(&one_statement("2012-10-17", effect, &format!(r#""Action":"{action}","Resource":"*","Sid":"s1""#))))
}

fn layer_resource(letter: &str, principal: &Principal) -> Option<Policy> {
    let account = principal.account().map_or(OWNER, |account| account.as_ref());
    let own = match principal {
        Principal::Service { .. } => format!(r#"{{"Service":"{}"}}"#, principal.arn()),
        Principal::WebIdentity { .. } => format!(r#"{{"Federated":"{}"}}"#, principal.arn()),
        other => format!(r#"{{"AWS":"{}"}}"#, other.arn()),
    };
    let origin = match principal {
        Principal::Role(role) => role.role_arn(),
        Principal::Federated { issuer, .. } => issuer.to_string(),
        other => other.arn(),
    };
    let (effect, named, action) = match letter {
        "-" => return None,
        "0" => ("Allow", r#""*""#.to_owned(), "other:Thing"),
        "!" => ("Deny", r#""*""#.to_owned(), "*"),
        "*" => ("Allow", r#""*""#.to_owned(), "*"),
        "s" => ("Allow", own, "*"),
        "r" => ("Allow", format!(r#"{{"AWS":"{origin}"}}"#), "*"),
        "a" => ("Allow", format!(r#"{{"AWS":"{account}"}}"#), "*"),
        other => panic!("no resource {other}"),
    };
    let body = format!(r#""Principal":{named},"Action":"{action}","Resource":"*","Sid":"s1""#);
    Some(Policy::parse(&one_statement("2012-10-17", effect, &body), PolicyKind::Resource).unwrap())
}

fn layers() -> usize {
    let context = Context::new();
    let owner = OWNER.parse().unwrap();
    let mut count = 0;
    for line in include_str!("layers.txt").lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [head, letters, expected] = columns[..] else { panic!("{line}") };
        let (who, scope) = head.split_once(' ').unwrap();
        let letters: Vec<&str> = letters.split(' ').collect();
        let principal = caller(who, if scope.contains('x') || scope == "cross" { OTHER } else { OWNER });
        let policies = |letter| layer_policy(letter).into_iter().collect::<Vec<_>>();
        let (own, boundary, session) = (policies(letters[0]), layer_policy(letters[1]), policies(letters[2]));
        let account = letters.get(4).map(|letter| policies(letter)).unwrap_or_default();
        let resource = layer_resource(letters[3], &principal);
        let inputs = Inputs {
            account: &account,
            identity: &own,
            boundary: boundary.as_deref(),
            session: (letters[2] != "-").then_some(session.as_slice()),
            resource: resource.as_ref(),
            resource_account: Some(&owner),
            resource_must_allow: scope.contains("trust"),
            ..Inputs::default()
        };
        let request = Request { principal: &principal, action: "sts:AssumeRole", resource: "*", context: &context };
        let layer = |layer: Layer| match layer {
            Layer::Account => "account",
            Layer::Resource => "resource",
            Layer::Identity => "identity",
            Layer::Boundary => "boundary",
            Layer::Session => "session",
        };
        let got = match evaluate(&request, &inputs) {
            Decision::Allow => "allow".to_owned(),
            Decision::ExplicitDeny(statement) => {
                assert_eq!(statement.sid.as_deref(), Some("s1"));
                format!("explicit {}", layer(statement.layer))
            }
            Decision::ImplicitDeny { layer: gap } => format!("deny {}", layer(gap)),
        };
        assert_eq!(got, expected, "{line}");
        count += 1;
    }
    count
}

fn documents() -> usize {
    let mut count = 0;
    for line in include_str!("documents.txt").lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('¦').map(str::trim).collect();
        let [kind, document, expected] = columns[..] else { panic!("{line}") };
        let start = r#""Effect":"Allow","Action":"*","Resource":"*""#;
        let document = document.replace('§', &format!("{{{start}}}")).replace("{@", &format!("{{{start}"));
        let kind = match kind {
            "inline" => PolicyKind::Inline,
            "managed" => PolicyKind::Managed,
            "session" => PolicyKind::Session,
            "account" => PolicyKind::Account,
            "resource" => PolicyKind::Resource,
            "trust" => PolicyKind::Trust,
            other => panic!("no kind {other}"),
        };
        let got = Policy::parse(&document, kind).map_or_else(|e| e.to_string(), |_| "ok".to_owned());
        // Texts may hold trailing blanks where the value that they name is empty.
        assert_eq!(got.trim(), expected, "{document}");
        count += 1;
    }
    count
}

#[test]
fn every_vector_is_answered_as_aws_documents() {
    let counts = [conditions(), patterns(), principals(), layers(), documents()];
    let total: usize = counts.iter().sum();
    println!("{total} vectors: {counts:?}");
    assert!(total >= LEAST, "only {total} vectors: {counts:?}");
}

#[test]
fn not_principal_exempts_only_who_is_named_most_specifically() {
    let context = Context::new();
    let deny = |entry: &str| {
        let body = format!(r#""NotPrincipal":{entry},"Action":"*","Resource":"*""#);
        Policy::parse(&one_statement("2012-10-17", "Deny", &body), PolicyKind::Resource).unwrap()
    };
    let all = [identity(&one_statement("2012-10-17", "Allow", r#""Action":"*","Resource":"*""#))];
    for (entry, who, allowed) in [
        (r#"{"AWS":"arn:aws:iam::111122223333:user/p/alice"}"#, "user", true),
        (r#"{"AWS":"arn:aws:iam::111122223333:user/p/bob"}"#, "user", false),
        (r#"{"AWS":"111122223333"}"#, "user", false),
        (r#"{"AWS":"111122223333"}"#, "root", true),
        (r#"{"AWS":"arn:aws:iam::111122223333:role/q/worker"}"#, "role", false),
        (r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/worker/s1"}"#, "role", true),
        (r#"{"AWS":"arn:aws:iam::111122223333:user/p/alice"}"#, "federated", false),
        (r#""*""#, "user", true),
    ] {
        let (principal, resource) = (caller(who, OWNER), deny(entry));
        let request = Request { principal: &principal, action: "a:b", resource: "*", context: &context };
        let inputs = Inputs { identity: &all, resource: Some(&resource), ..Inputs::default() };
        assert_eq!(evaluate(&request, &inputs).is_allowed(), allowed, "{entry} {who}");
    }
}

#[test]
fn sizes_count_no_white_space() {
    let padded =
        format!("{}{}", one_statement("2012-10-17", "Allow", r#""Action":"*","Resource":"*""#), " \n\t".repeat(9_000));
    assert!(Policy::parse(&padded, PolicyKind::Session).is_ok());
    let actions: Vec<String> = (0..900).map(|i| format!("ec2:Action{i:04}")).collect();
    let body = format!(r#""Action":{},"Resource":"*""#, serde_json::to_string(&actions).unwrap());
    let long = one_statement("2012-10-17", "Allow", &body);
    for (kind, limit) in [(PolicyKind::Session, 2_048), (PolicyKind::Managed, 6_144), (PolicyKind::Inline, 10_240)] {
        let error = Policy::parse(&long, kind).unwrap_err().to_string();
        assert_eq!(error, format!("Cannot exceed quota for PolicySize: {limit}"));
    }
    let policy = Policy::parse(&long, PolicyKind::BuiltIn).unwrap();
    assert_eq!(policy.size(), long.len());
    assert_eq!(policy.statements()[0].effect(), Effect::Allow);
}
