//! Policies of IAM, buckets and roles: whatever is read can be asked everything, and an explanation decides as the
//! decision does.

use mallee_iam::{
    Context, Inputs, Policy, PolicyKind, Principal, Request, RoleSession, evaluate, explain, quota_limits,
};
use mallee_types::AccountId;
use std::sync::{Arc, LazyLock};

const KINDS: [PolicyKind; 7] = [
    PolicyKind::Inline,
    PolicyKind::Managed,
    PolicyKind::BuiltIn,
    PolicyKind::Session,
    PolicyKind::Account,
    PolicyKind::Resource,
    PolicyKind::Trust,
];
const ASKED: [(&str, &str); 4] = [
    ("s3:GetObject", "arn:aws:s3:::b/k"),
    ("ec2:RunInstances", "arn:aws:ec2:local:111122223333:instance/*"),
    ("sts:AssumeRole", "*"),
    ("", ""),
];

static PRINCIPALS: LazyLock<[Principal; 4]> = LazyLock::new(|| {
    let account: AccountId = "111122223333".parse().expect("an account's number");
    let (path, id) = (Arc::<str>::from("/"), Arc::<str>::from("AROAX"));
    let (name, session) = (Arc::<str>::from("role"), Arc::<str>::from("session"));
    [
        Principal::Anonymous,
        Principal::Root { account: account.clone() },
        Principal::User { account: account.clone(), path: path.clone(), name: "alice".into(), id: "AIDAX".into() },
        Principal::Role(RoleSession { account, path, name, id, session }),
    ]
});

/// Runs one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for kind in KINDS {
        let Ok(policy) = Policy::parse(text, kind) else { continue };
        drop((policy.context_keys(), policy.is_public(), policy.named_principals().count()));
        let policies = [Arc::new(policy)];
        let policy = &*policies[0];
        let inputs = [
            Inputs { identity: &policies, ..Inputs::default() },
            Inputs { account: &policies, identity: &policies, boundary: Some(policy), ..Inputs::default() },
            Inputs { identity: &policies, session: Some(&policies), ..Inputs::default() },
            Inputs { resource: Some(policy), resource_must_allow: true, ..Inputs::default() },
            Inputs { resource: Some(policy), resource_denies_only: true, grants: Some(policy), ..Inputs::default() },
        ];
        for principal in &*PRINCIPALS {
            let mut context = Context::of(principal);
            context.set("aws:SourceIp", "10.1.2.3");
            context.set("aws:CurrentTime", "2026-01-31T12:00:00Z");
            context.set("s3:prefix", "a/b");
            for (action, resource) in ASKED {
                let request = Request { principal, action, resource, context: &context };
                for inputs in &inputs {
                    let (decision, explained) = (evaluate(&request, inputs), explain(&request, inputs));
                    assert_eq!(decision, explained.decision);
                    drop(decision.refusal(&principal.arn(), action, resource));
                }
                drop(quota_limits(&request, &policies));
            }
        }
    }
}
