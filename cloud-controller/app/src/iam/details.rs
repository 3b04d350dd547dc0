//! Everything of an account's users, groups, roles and managed policies, for GetAccountAuthorizationDetails.

use super::managed::{ManagedPolicy, PolicyQuery, path_and_name};
use super::versions::Version;
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::ApiError;
use mallee_store::{
    IAM_PRINCIPALS_MAX, IamGroupRow, NamedFilter, PAGE_ROWS_MAX, PrincipalKind, RoleRow, Store, UserRow,
    iam_attachment_list_of, iam_boundary_list_of, iam_group_page, iam_groups_of_user, iam_inline_list_of,
    iam_tag_list_of, role_list, user_page,
};
use mallee_types::AccountId;
use std::collections::HashMap;

/// Which parts are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Users.
    pub users: bool,
    /// Groups.
    pub groups: bool,
    /// Roles.
    pub roles: bool,
    /// The customer's own policies.
    pub own_policies: bool,
    /// Policies that come with the cloud and are in use.
    pub builtin_policies: bool,
}

/// One thing to be shown, before what is on it has been read.
#[derive(Debug, Clone)]
pub enum Item {
    /// A user.
    User(UserRow),
    /// A group.
    Group(IamGroupRow),
    /// A role.
    Role(RoleRow),
    /// A managed policy.
    Policy(ManagedPolicy),
}

impl Item {
    /// The order of the things.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::User(row) => format!("0/{}", row.id),
            Self::Group(row) => format!("1/{}", row.id),
            Self::Role(row) => format!("2/{}", row.id),
            Self::Policy(policy) => format!("3/{}", policy.id),
        }
    }
}

/// What is on a principal.
#[derive(Debug, Clone, Default)]
pub struct OnPrincipal {
    /// Managed policies, as (name, ARN).
    pub attached: Vec<(String, String)>,
    /// Inline policies, as (name, document).
    pub inline: Vec<(String, String)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// ARN of the permissions boundary.
    pub boundary: Option<String>,
}

/// One thing with all that is on it.
#[derive(Debug, Clone)]
pub enum Detail {
    /// A user, the names of its groups, what is on it.
    User(UserRow, Vec<String>, OnPrincipal),
    /// A group and what is on it.
    Group(IamGroupRow, OnPrincipal),
    /// A role and what is on it.
    Role(RoleRow, OnPrincipal),
    /// A managed policy and its versions, newest first.
    Policy(ManagedPolicy, Vec<Version>),
}

async fn read_on(
    store: &Store,
    account: &AccountId,
    kind: PrincipalKind,
    ids: &[String],
    all: &mut HashMap<String, OnPrincipal>,
) -> Result<(), ApiError> {
    for ids in ids.chunks(IAM_PRINCIPALS_MAX) {
        for row in iam_attachment_list_of(store, kind, ids).await.or_fail()? {
            let name = path_and_name(&row.policy_arn).1.to_owned();
            all.entry(row.principal_id).or_default().attached.push((name, row.policy_arn));
        }
        for row in iam_inline_list_of(store, kind, ids).await.or_fail()? {
            all.entry(row.principal_id).or_default().inline.push((row.name, row.document));
        }
        for row in iam_boundary_list_of(store, kind, ids).await.or_fail()? {
            all.entry(row.principal_id).or_default().boundary = Some(row.policy_arn);
        }
        for row in iam_tag_list_of(store, account, ids).await.or_fail()? {
            all.entry(row.resource_id).or_default().tags.push((row.key, row.value));
        }
    }
    Ok(())
}

impl Cloud {
    /// What GetAccountAuthorizationDetails shows, in the order of [`Item::key`].
    ///
    /// # Errors
    /// What the database says.
    pub async fn authorization_items(&self, cx: &OpContext, wanted: Wanted) -> Result<Vec<Item>, ApiError> {
        let (store, account, all) = (self.store(), cx.account(), NamedFilter::default());
        let mut items = Vec::new();
        // The quotas of each kind are less than a page of rows.
        if wanted.users {
            let rows = user_page(store, account, all, PAGE_ROWS_MAX).await.or_fail()?;
            items.extend(rows.into_iter().map(Item::User));
        }
        if wanted.groups {
            let rows = iam_group_page(store, account, all, PAGE_ROWS_MAX).await.or_fail()?;
            items.extend(rows.into_iter().map(Item::Group));
        }
        if wanted.roles {
            let rows = role_list(store, account, all, PAGE_ROWS_MAX).await.or_fail()?;
            items.extend(rows.into_iter().map(Item::Role));
        }
        if wanted.own_policies {
            let query = PolicyQuery { no_builtin: true, ..PolicyQuery::default() };
            items.extend(self.managed_policies(cx, query).await?.into_iter().map(Item::Policy));
        }
        if wanted.builtin_policies {
            let query = PolicyQuery { no_own: true, only_attached: true, ..PolicyQuery::default() };
            items.extend(self.managed_policies(cx, query).await?.into_iter().map(Item::Policy));
        }
        items.sort_by_key(Item::key);
        Ok(items)
    }

    /// All that is on these things, in their order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn authorization_details(&self, cx: &OpContext, items: Vec<Item>) -> Result<Vec<Detail>, ApiError> {
        let mut ids: HashMap<PrincipalKind, Vec<String>> = HashMap::new();
        for item in &items {
            let (kind, id) = match item {
                Item::User(row) => (PrincipalKind::User, &row.id),
                Item::Group(row) => (PrincipalKind::Group, &row.id),
                Item::Role(row) => (PrincipalKind::Role, &row.id),
                Item::Policy(_) => continue,
            };
            ids.entry(kind).or_default().push(id.clone());
        }
        let mut on = HashMap::new();
        for (kind, ids) in ids {
            read_on(self.store(), cx.account(), kind, &ids, &mut on).await?;
        }
        let mut details = Vec::with_capacity(items.len());
        for item in items {
            let mut take = |id: &str| on.remove(id).unwrap_or_default();
            details.push(match item {
                Item::User(row) => {
                    let groups = iam_groups_of_user(self.store(), &row.id, None, PAGE_ROWS_MAX).await.or_fail()?;
                    let on = take(&row.id);
                    Detail::User(row, groups.into_iter().map(|group| group.name).collect(), on)
                }
                Item::Group(row) => {
                    let on = take(&row.id);
                    Detail::Group(row, on)
                }
                Item::Role(row) => {
                    let on = take(&row.id);
                    Detail::Role(row, on)
                }
                Item::Policy(policy) => {
                    let versions = self.policy_versions(cx, &policy.arn).await?;
                    Detail::Policy(policy, versions)
                }
            });
        }
        Ok(details)
    }
}
