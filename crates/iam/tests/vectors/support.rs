//! Reading the tables, and the callers that they name.

use mallee_iam::{Policy, PolicyKind, Principal, RoleSession};
use std::sync::Arc;

pub(crate) const OWNER: &str = "111122223333";
pub(crate) const OTHER: &str = "444455556666";

/// Rows `left | right`.
pub(crate) fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(" | ").unwrap_or_else(|| panic!("{line}")))
}

/// Cells `value=expected`.
pub(crate) fn cells(right: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    right.split(" ; ").map(|cell| cell.trim().rsplit_once('=').unwrap_or_else(|| panic!("{cell}")))
}

pub(crate) fn one_statement(version: &str, effect: &str, body: &str) -> String {
    format!(r#"{{"Version":"{version}","Statement":[{{"Effect":"{effect}",{body}}}]}}"#)
}

pub(crate) fn identity(document: &str) -> Arc<Policy> {
    Arc::new(Policy::parse(document, PolicyKind::Inline).unwrap_or_else(|e| panic!("{document}: {e:?}")))
}

pub(crate) fn caller(who: &str, account: &str) -> Principal {
    let id = account.parse().unwrap();
    match who {
        "anonymous" => Principal::Anonymous,
        "root" => Principal::Root { account: id },
        "user" => Principal::User {
            account: id,
            path: "/p/".into(),
            name: "alice".into(),
            id: "AIDAAAAAAAAAAAAAAAAAA".into(),
        },
        "role" => Principal::Role(RoleSession {
            account: id,
            path: "/q/".into(),
            name: "worker".into(),
            id: "AROAAAAAAAAAAAAAAAAAA".into(),
            session: "s1".into(),
        }),
        "federated" => Principal::Federated {
            account: id,
            name: "fred".into(),
            issuer: format!("arn:aws:iam::{account}:user/p/alice").into(),
            issuer_id: "AIDAAAAAAAAAAAAAAAAAA".into(),
        },
        "web" => Principal::WebIdentity { provider: format!("arn:aws:iam::{OWNER}:oidc-provider/idp.test").into() },
        "service" => Principal::Service { name: "ec2.amazonaws.com".into() },
        other => panic!("no caller {other}"),
    }
}
