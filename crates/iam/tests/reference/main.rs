//! Random policies and requests: the crate and the reference evaluator must agree on each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod evaluator;

use evaluator::{Keys, Layers, Question, allowed};
use mallee_iam::{Context, Inputs, Policy, PolicyKind, Principal, Request, RoleSession, evaluate, explain};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const OWNER: &str = "111122223333";

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

fn list_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::vec(one_of(values), 1..4)
        .prop_map(|list| if list.len() == 1 { json!(list[0]) } else { json!(list) })
}

const ACTIONS: &[&str] = &[
    "s3:GetObject",
    "s3:PutObject",
    "s3:Get*",
    "s3:*",
    "*",
    "ec2:Run?nstances",
    "ec2:*",
    "EC2:RUNINSTANCES",
    "iam:*User*",
];
const REQUESTED: &[&str] = &["s3:GetObject", "s3:getobject", "s3:PutObject", "ec2:RunInstances", "iam:CreateUser"];
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:s3:::b",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/${aws:username}/*",
    "arn:aws:s3:::b/${no:key}/*",
    "arn:aws:s3:::b/${no:key, 'pub'}/*",
    "arn:aws:ec2:*:111122223333:instance/*",
    "arn:aws:ec2:us-?:*:*",
    "arn:aws:s3:::b/${*}",
];
const OBJECTS: &[&str] = &[
    "*",
    "arn:aws:s3:::b",
    "arn:aws:s3:::b/k",
    "arn:aws:s3:::b/alice/k",
    "arn:aws:s3:::b/pub/k",
    "arn:aws:s3:::b/*",
    "arn:aws:ec2:us-1:111122223333:instance/i-1",
    "arn:aws:ec2:us-12:111122223333:volume/v",
];
const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
];
const STRINGS: &[&str] =
    &["a", "A", "b*", "?", "*", "${aws:username}", "${no:key}", "${no:key, 'a'}", "${x:many}", "${*}"];
const NUMERIC: &[&str] = &[
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
];
const NUMBERS: &[&str] = &["-1", "0", "1", "1.5", "10"];
const NETS: &[&str] = &["10.0.0.0/8", "192.168.1.0/24", "0.0.0.0/0", "2001:db8::/32"];
const ARNS: &[&str] = &["arn:aws:s3:::b", "arn:aws:s3:::*", "arn:aws:iam::*:user/${aws:username}", "*", "arn:*:s3:::?"];
const VALUES: &[&str] = &[
    "a",
    "A",
    "b",
    "bc",
    "*",
    "alice",
    "",
    "true",
    "false",
    "-1",
    "0",
    "1.5",
    "10",
    "10.1.2.3",
    "192.168.1.9",
    "2001:db8::1",
    "arn:aws:s3:::b",
    "arn:aws:iam::1:user/alice",
];

fn operator(bases: &'static [&'static str]) -> impl Strategy<Value = String> {
    (one_of(&["", "", "ForAllValues:", "ForAnyValue:"]), one_of(bases), one_of(&["", "", "IfExists"]))
        .prop_map(|(set, base, exists)| format!("{set}{base}{exists}"))
}

fn condition() -> impl Strategy<Value = (String, Value)> {
    prop_oneof![
        4 => (operator(OPERATORS), list_of(STRINGS)),
        2 => (operator(NUMERIC), list_of(NUMBERS)),
        1 => (operator(&["Bool"]), list_of(&["true", "false"])),
        1 => (operator(&["IpAddress", "NotIpAddress"]), list_of(NETS)),
        1 => (operator(&["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"]), list_of(ARNS)),
        1 => (Just("Null".to_owned()), list_of(&["true", "false"])),
    ]
}

fn statement() -> impl Strategy<Value = Value> {
    let conditions = prop::collection::vec((condition(), one_of(&["x:One", "x:many", "X:none"])), 0..3);
    (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.15),
        list_of(ACTIONS),
        list_of(RESOURCES),
        conditions,
    )
        .prop_map(|(deny, not_action, not_resource, actions, resources, conditions)| {
            let mut statement = json!({"Effect": if deny { "Deny" } else { "Allow" }});
            statement[if not_action { "NotAction" } else { "Action" }] = actions;
            statement[if not_resource { "NotResource" } else { "Resource" }] = resources;
            for ((operator, values), key) in conditions {
                statement["Condition"][operator][key] = values;
            }
            statement
        })
}

fn policy() -> impl Strategy<Value = Value> {
    (prop::collection::vec(statement(), 1..4), prop::bool::weighted(0.9)).prop_map(
        |(statements, new)| json!({"Version": if new { "2012-10-17" } else { "2008-10-17" }, "Statement": statements}),
    )
}

const NAMED: &[&str] = &[
    "*",
    "111122223333",
    "arn:aws:iam::444455556666:root",
    "arn:aws:iam::111122223333:user/alice",
    "arn:aws:iam::444455556666:user/alice",
    "arn:aws:iam::111122223333:role/q/worker",
    "arn:aws:iam::444455556666:role/q/worker",
    "arn:aws:sts::111122223333:assumed-role/worker/s1",
    "arn:aws:sts::111122223333:federated-user/fred",
];

fn resource_policy() -> impl Strategy<Value = Value> {
    let principal = prop_oneof![
        1 => Just(json!("*")),
        6 => list_of(NAMED).prop_map(|names| json!({"AWS": names})),
        1 => Just(json!({"Service": "ec2.amazonaws.com"})),
    ];
    prop::collection::vec((statement(), principal, prop::bool::weighted(0.3)), 1..4).prop_map(|statements| {
        let statements: Vec<Value> = statements
            .into_iter()
            .map(|(mut statement, principal, not)| {
                let negated = not && statement["Effect"] == "Deny";
                statement[if negated { "NotPrincipal" } else { "Principal" }] = principal;
                statement
            })
            .collect();
        json!({"Version": "2012-10-17", "Statement": statements})
    })
}

fn caller() -> impl Strategy<Value = Principal> {
    (one_of(&["user", "role", "federated", "root", "service", "anonymous"]), one_of(&[OWNER, "444455556666"])).prop_map(
        |(kind, account)| {
            let issuer = format!("arn:aws:iam::{account}:user/alice").into();
            let account = account.parse().unwrap();
            match kind.as_str() {
                "user" => Principal::User {
                    account,
                    path: "/".into(),
                    name: "alice".into(),
                    id: "AIDAAAAAAAAAAAAAAAAAA".into(),
                },
                "role" => Principal::Role(RoleSession {
                    account,
                    path: "/q/".into(),
                    name: "worker".into(),
                    id: "AROAAAAAAAAAAAAAAAAAA".into(),
                    session: "s1".into(),
                }),
                "federated" => Principal::Federated {
                    account,
                    name: "fred".into(),
                    issuer,
                    issuer_id: "AIDAAAAAAAAAAAAAAAAAA".into(),
                },
                "root" => Principal::Root { account },
                "service" => Principal::Service { name: "ec2.amazonaws.com".into() },
                _ => Principal::Anonymous,
            }
        },
    )
}

fn layers() -> impl Strategy<Value = Layers> {
    let some = |policy| prop::collection::vec(policy, 0..3);
    (
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(policy(), 1..2)],
        some(policy().boxed()),
        prop::option::weighted(0.3, policy()),
        prop::option::weighted(0.3, some(policy().boxed())),
        prop::option::weighted(0.6, resource_policy()),
        prop::option::weighted(0.3, resource_policy()),
        prop::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(|(account, identity, boundary, session, resource, grants, denies_only, must_allow)| Layers {
            // Policies of accounts only deny.
            account: account.into_iter().map(denying).collect(),
            identity,
            boundary,
            session,
            resource,
            denies_only,
            grants,
            same_account: false,
            must_allow,
        })
}

fn denying(mut policy: Value) -> Value {
    for statement in policy["Statement"].as_array_mut().unwrap() {
        statement["Effect"] = json!("Deny");
    }
    policy
}

fn parse(policy: &Value, kind: PolicyKind) -> Policy {
    Policy::parse(&policy.to_string(), kind).unwrap_or_else(|e| panic!("{policy}: {e:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reference_agrees(
        principal in caller(),
        mut layers in layers(),
        action in one_of(REQUESTED),
        resource in one_of(OBJECTS),
        one in prop::option::of(one_of(VALUES)),
        many in prop::collection::vec(one_of(VALUES), 0..3),
        username in prop::bool::weighted(0.8),
    ) {
        let mut keys = Keys::new();
        keys.extend(one.map(|value| ("x:one".to_owned(), vec![value])));
        if !many.is_empty() {
            keys.insert("x:many".into(), many);
        }
        if username {
            keys.insert("aws:username".into(), vec!["alice".into()]);
        }
        let mut context = Context::new();
        for (key, values) in &keys {
            context.set_all(key, values.clone());
        }
        layers.same_account = principal.account().is_none_or(|account| account.as_ref() == OWNER);

        let owner = OWNER.parse().unwrap();
        let all = |policies: &[Value], kind| policies.iter().map(|p| Arc::new(parse(p, kind))).collect::<Vec<_>>();
        let account = all(&layers.account, PolicyKind::Account);
        let identity = all(&layers.identity, PolicyKind::Inline);
        let session = layers.session.as_ref().map(|policies| all(policies, PolicyKind::BuiltIn));
        let boundary = layers.boundary.as_ref().map(|p| parse(p, PolicyKind::BuiltIn));
        let resource_policy = layers.resource.as_ref().map(|p| parse(p, PolicyKind::Resource));
        let grants = layers.grants.as_ref().map(|p| parse(p, PolicyKind::Resource));
        let inputs = Inputs {
            account: &account,
            identity: &identity,
            boundary: boundary.as_ref(),
            session: session.as_deref(),
            resource: resource_policy.as_ref(),
            resource_account: Some(&owner),
            resource_must_allow: layers.must_allow,
            resource_denies_only: layers.denies_only,
            grants: grants.as_ref(),
        };
        let request = Request { principal: &principal, action: &action, resource: &resource, context: &context };
        let question = Question { principal: &principal, action: &action, resource: &resource, keys: &keys };
        let decision = evaluate(&request, &inputs);
        prop_assert_eq!(decision.is_allowed(), allowed(&question, &layers), "{:?}", layers);

        let explained = explain(&request, &inputs);
        prop_assert_eq!(&explained.decision, &decision);
        let root = matches!(principal, Principal::Root { .. });
        match decision {
            mallee_iam::Decision::Allow => prop_assert!(root || !explained.matched.is_empty()),
            mallee_iam::Decision::ExplicitDeny(statement) => prop_assert_eq!(&explained.matched[0], &statement),
            mallee_iam::Decision::ImplicitDeny { .. } => prop_assert!(explained.matched.is_empty()),
        }
    }

    #[test]
    fn a_denial_more_never_allows(principal in caller(), layers in layers(), action in one_of(REQUESTED), resource in one_of(OBJECTS)) {
        let context = Context::new();
        let request = Request { principal: &principal, action: &action, resource: &resource, context: &context };
        let mut identity: Vec<_> = layers.identity.iter().map(|p| Arc::new(parse(p, PolicyKind::Inline))).collect();
        identity.push(Arc::new(parse(&json!({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}), PolicyKind::Inline)));
        let resource_policy = layers.resource.as_ref().map(|p| parse(p, PolicyKind::Resource));
        let inputs = Inputs { identity: &identity, resource: resource_policy.as_ref(), ..Inputs::default() };
        prop_assert!(!evaluate(&request, &inputs).is_allowed());
    }

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,200}") {
        drop(Policy::parse(&text, PolicyKind::Resource));
    }

    #[test]
    fn no_damage_breaks_the_reader(policy in policy(), at in any::<prop::sample::Index>(), with in "[{}\\[\\]\",:\\\\*$a0 ]{0,3}", cut in 0_usize..4) {
        let text = policy.to_string();
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let damaged: String = chars[..at].iter().copied().chain(with.chars()).chain(chars.iter().skip(at + cut).copied()).collect();
        if let Ok(parsed) = Policy::parse(&damaged, PolicyKind::Inline) {
            // Whatever is read is JSON for everybody.
            prop_assert!(serde_json::from_str::<Value>(&damaged).is_ok(), "{}", damaged);
            prop_assert!(!parsed.statements().is_empty());
        }
    }
}
