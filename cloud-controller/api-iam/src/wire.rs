//! What several resources have on the wire.

use crate::parts::time;
use mallee_app::iam::users::{self, UserView};
use mallee_ec2_types::iam::{AttachedPermissionsBoundary, AttachedPolicy, Group, Tag, User};
use mallee_store::{IamGroupRow, UserRow};

/// Tags of a reply.
pub(crate) fn tags(tags: impl IntoIterator<Item = (String, String)>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

/// A permissions boundary.
pub(crate) fn boundary(arn: Option<String>) -> Option<AttachedPermissionsBoundary> {
    arn.map(|arn| AttachedPermissionsBoundary {
        permissions_boundary_arn: Some(arn),
        permissions_boundary_type: Some("PermissionsBoundaryPolicy".into()),
    })
}

/// Attached policies.
pub(crate) fn attached(policies: Vec<(String, String)>) -> Vec<AttachedPolicy> {
    let one = |(name, arn)| AttachedPolicy { policy_arn: Some(arn), policy_name: Some(name) };
    policies.into_iter().map(one).collect()
}

/// A user of a list: without tags and boundary, as on AWS.
pub(crate) fn listed_user(row: UserRow) -> User {
    user(UserView { user: row, tags: Vec::new(), boundary: None })
}

/// A user.
pub(crate) fn user(view: UserView) -> User {
    let UserView { user, tags: user_tags, boundary: arn } = view;
    User {
        arn: Some(users::arn(&user)),
        create_date: time(user.created_ms),
        password_last_used: None,
        path: Some(user.path),
        permissions_boundary: boundary(arn),
        tags: tags(user_tags),
        user_id: Some(user.id),
        user_name: Some(user.name),
    }
}

/// A group.
pub(crate) fn group(row: IamGroupRow) -> Group {
    Group {
        arn: Some(mallee_app::iam::groups::arn(&row)),
        create_date: time(row.created_ms),
        group_id: Some(row.id),
        group_name: Some(row.name),
        path: Some(row.path),
    }
}

/// A member that the decoder has required.
pub(crate) fn text(member: Option<String>) -> String {
    member.unwrap_or_default()
}
