//! What callers use beside the decision: explanations, keys, quotas, refusals, principals; and that it is fast.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use mallee_iam::{
    Context, Decision, Inputs, Layer, Policy, PolicyKind, Principal, Request, RoleSession, evaluate, explain,
    quota_limits,
};
use std::sync::Arc;
use std::time::Instant;

fn user() -> Principal {
    Principal::User {
        account: "111122223333".parse().unwrap(),
        path: "/".into(),
        name: "alice".into(),
        id: "AIDAX".into(),
    }
}

fn policy(text: &str) -> Arc<Policy> {
    Arc::new(Policy::parse(text, PolicyKind::Inline).unwrap())
}

#[test]
fn a_simulation_shows_statements_places_and_missing_keys() {
    let text = "{\n  \"Statement\": [\n    {\"Sid\": \"A\", \"Effect\": \"Allow\", \"Action\": \"s3:*\", \"Resource\": \"*\"},\n    \
                {\"Effect\": \"Deny\", \"Action\": \"s3:Put*\", \"Resource\": \"*\", \"Condition\": {\"Bool\": {\"aws:SecureTransport\": \"false\"}}},\n    \
                {\"Effect\": \"Allow\", \"Action\": \"ec2:*\", \"Resource\": \"*\", \"Condition\": {\"Bool\": {\"ec2:Other\": \"false\"}}}\n  ]\n}";
    let (identity, principal) = ([policy(text)], user());
    let mut context = Context::of(&principal);
    let inputs = Inputs { identity: &identity, ..Inputs::default() };
    let ask = |context: &Context| {
        explain(&Request { principal: &principal, action: "s3:PutObject", resource: "*", context }, &inputs)
    };
    let explained = ask(&context);
    assert_eq!(explained.decision, Decision::Allow);
    assert_eq!(
        explained.missing_context,
        ["aws:SecureTransport"],
        "keys of statements for other actions are not asked for"
    );
    assert_eq!((explained.matched[0].sid.as_deref(), explained.matched[0].layer), (Some("A"), Layer::Identity));
    let span = identity[0].statements()[explained.matched[0].statement].span();
    assert_eq!((span.start.line, span.start.column, span.end.line), (3, 5, 3));
    context.set("AWS:securetransport", "false");
    let explained = ask(&context);
    assert!(matches!(explained.decision, Decision::ExplicitDeny(ref s) if s.statement == 1));
    assert_eq!(explained.matched.len(), 1);
    assert!(explained.missing_context.is_empty());
    assert_eq!(identity[0].context_keys(), ["aws:SecureTransport", "ec2:Other"]);
}

#[test]
fn variables_are_context_keys() {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:UserName}/*",
        "Condition":{"StringLike":{"s3:prefix":["${aws:PrincipalTag/Team}/*"]},"StringEquals":{"S3:Prefix":"x"}}}}"#;
    let (identity, principal, context) = ([policy(text)], user(), Context::new());
    assert_eq!(identity[0].context_keys(), ["aws:PrincipalTag/Team", "aws:UserName", "s3:prefix"]);
    let request = Request {
        principal: &principal,
        action: "s3:GetObject",
        resource: "arn:aws:s3:::b/alice/k",
        context: &context,
    };
    let explained = explain(&request, &Inputs { identity: &identity, ..Inputs::default() });
    assert_eq!(explained.missing_context, ["aws:PrincipalTag/Team", "aws:UserName", "s3:prefix"]);
}

#[test]
fn the_boundary_is_told_apart() {
    let identity = [policy(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#)];
    let boundary = policy(r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#);
    let (principal, context) = (user(), Context::new());
    for (action, allows) in [("s3:GetObject", true), ("ec2:RunInstances", false)] {
        let request = Request { principal: &principal, action, resource: "*", context: &context };
        let inputs = Inputs { identity: &identity, boundary: Some(&boundary), ..Inputs::default() };
        let explained = explain(&request, &inputs);
        assert_eq!((explained.decision.is_allowed(), explained.boundary_allows), (allows, Some(allows)));
    }
}

#[test]
fn the_smallest_quota_counts() {
    let limit = |key: &str, max: u64, more: &str| {
        policy(&format!(
            r#"{{"Statement":{{"Effect":"Limit","Action":"ec2:RunInstances","Resource":"*","Condition":{{"NumericLessThanEquals":{{"{key}":{max}}}{more}}}}}}}"#
        ))
    };
    let policies = [
        limit("ec2:quota-VmInstanceNumber", 9, ""),
        limit("ec2:quota-vminstancenumber", 5, ""),
        limit("ec2:quota-cputotalsize", 7, ""),
        limit("ec2:quota-vminstancenumber", 1, r#","StringEquals":{"ec2:AvailabilityZone":"zone-b"}"#),
    ];
    let principal = user();
    let limits = |action, zone: &str| {
        let context = Context::new().with("ec2:AvailabilityZone", zone);
        let request = Request { principal: &principal, action, resource: "*", context: &context };
        let limits = quota_limits(&request, &policies);
        limits.into_iter().map(|quota| (quota.key, quota.max)).collect::<Vec<_>>()
    };
    let of = |instances| {
        vec![("ec2:quota-cputotalsize".to_owned(), 7), ("ec2:quota-vminstancenumber".to_owned(), instances)]
    };
    assert_eq!(limits("ec2:RunInstances", "zone-a"), of(5));
    assert_eq!(limits("ec2:RunInstances", "zone-b"), of(1));
    assert!(limits("ec2:CreateVolume", "zone-a").is_empty());
    let context = Context::new();
    let request = Request { principal: &principal, action: "ec2:RunInstances", resource: "*", context: &context };
    assert!(
        !evaluate(&request, &Inputs { identity: &policies, ..Inputs::default() }).is_allowed(),
        "a limit allows nothing"
    );
}

#[test]
fn refusals_read_as_aws_writes_them() {
    let identity = [policy(r#"{"Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*"}}"#)];
    let (principal, context) = (user(), Context::new());
    let text = |action| {
        let request = Request { principal: &principal, action, resource: "arn:aws:s3:::b", context: &context };
        evaluate(&request, &Inputs { identity: &identity, ..Inputs::default() }).refusal(
            &principal.arn(),
            action,
            "arn:aws:s3:::b",
        )
    };
    assert_eq!(
        text("s3:GetObject").unwrap(),
        "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b with an explicit deny in an identity-based policy"
    );
    assert_eq!(
        text("ec2:RunInstances").unwrap(),
        "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: ec2:RunInstances on resource: arn:aws:s3:::b because no identity-based policy allows the ec2:RunInstances action"
    );
}

#[test]
fn a_caller_describes_itself() {
    let role = Principal::Role(RoleSession {
        account: "111122223333".parse().unwrap(),
        path: "/q/".into(),
        name: "worker".into(),
        id: "AROAX".into(),
        session: "s1".into(),
    });
    let context = Context::of(&role);
    assert_eq!(role.arn(), "arn:aws:sts::111122223333:assumed-role/worker/s1");
    assert_eq!(context.get("aws:PrincipalArn"), ["arn:aws:iam::111122223333:role/q/worker"]);
    assert_eq!(context.get("AWS:UserId"), ["AROAX:s1"]);
    assert_eq!(context.get("aws:PrincipalType"), ["AssumedRole"]);
    assert!(context.get("aws:username").is_empty());
    assert_eq!(Context::of(&user()).get("aws:username"), ["alice"]);
    assert!(Context::of(&Principal::Anonymous).get("aws:PrincipalArn").is_empty());
}

/// The budget is 100 µs for a whole call; this build is unoptimised, so ten times that still tells a regression of kind
/// (patterns compiled per call, text parsed per call).
#[test]
fn fifty_statements_are_decided_fast() {
    let statements: Vec<String> = (0..50)
        .map(|i| {
            format!(
                r#"{{"Effect":"{}","Action":["ec2:Describe*","ec2:Run*"],"Resource":"arn:aws:ec2:*:111122223333:instance/*{i}",
                "Condition":{{"StringLike":{{"ec2:ResourceTag/team":"team-{i}-*"}},"IpAddress":{{"aws:SourceIp":"10.{i}.0.0/16"}}}}}}"#,
                if i % 2 == 0 { "Allow" } else { "Deny" }
            )
        })
        .collect();
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    let identity = [Arc::new(Policy::parse(&text, PolicyKind::BuiltIn).unwrap())];
    let principal = user();
    let context = Context::of(&principal).with("ec2:ResourceTag/team", "team-48-x").with("aws:SourceIp", "10.48.1.1");
    let resource = "arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef48";
    let request = Request { principal: &principal, action: "ec2:RunInstances", resource, context: &context };
    let inputs = Inputs { identity: &identity, ..Inputs::default() };
    assert!(evaluate(&request, &inputs).is_allowed());
    let start = Instant::now();
    for _ in 0..200 {
        assert!(evaluate(&request, &inputs).is_allowed());
    }
    let each = start.elapsed() / 200;
    println!("{each:?} a decision over 50 statements");
    assert!(each.as_micros() < 1_000, "{each:?} a decision");
}
