//! IAM's resources: from names to ARNs with their paths, and what they are like.

use super::subject::Subject;
use crate::{Cloud, OpContext};
use mallee_authz::{Kind, Service};
use mallee_iam::Principal;
use mallee_store::{
    PrincipalKind, StoreError, access_key_fetch, iam_boundary_fetch, iam_group_by_name, iam_policy_by_arn,
    iam_tag_list, instance_profile_by_name, role_by_name, role_fetch, server_certificate_by_name, user_by_name,
    user_fetch,
};

/// An identity that a name led to.
struct Found {
    id: String,
    path: String,
    name: String,
    bounded: Option<PrincipalKind>,
}

impl Found {
    fn tail(&self) -> String {
        format!("{}{}", self.path, self.name)
    }
}

/// A path without a beginning or an end that a slash would have is none.
fn whole(path: &str) -> String {
    if path.starts_with('/') && path.ends_with('/') { path.to_owned() } else { "/".to_owned() }
}

impl Cloud {
    async fn identity(&self, cx: &OpContext, word: &str, name: &str) -> Result<Option<Found>, StoreError> {
        let (store, account) = (self.store(), cx.account());
        let found = |id, path, name, bounded| Some(Found { id, path, name, bounded });
        Ok(match word {
            "user" => user_by_name(store, account, name)
                .await?
                .and_then(|row| found(row.id, row.path, row.name, Some(PrincipalKind::User))),
            "group" => {
                iam_group_by_name(store, account, name).await?.and_then(|row| found(row.id, row.path, row.name, None))
            }
            "role" => role_by_name(store, account, name)
                .await?
                .and_then(|row| found(row.id, row.path, row.name, Some(PrincipalKind::Role))),
            "instance-profile" => instance_profile_by_name(store, account, name)
                .await?
                .and_then(|row| found(row.id, row.path, row.name, None)),
            "server-certificate" => server_certificate_by_name(store, account, name)
                .await?
                .and_then(|row| found(row.id, row.path, row.name, None)),
            _ => None,
        })
    }

    /// The IAM resource of this kind and name. One that is not there is asked about all the same: whether it is there
    /// is not told to those who may not know.
    pub(super) async fn iam_subject(
        &self,
        cx: &OpContext,
        kind: Kind,
        name: &str,
        facts: bool,
    ) -> Result<Subject, StoreError> {
        let arn = |tail: &str| kind.arn("", cx.account().as_str(), tail);
        let Some(found) = self.identity(cx, kind.word, name).await? else { return Ok(Subject::bare(arn(name))) };
        let mut subject = Subject::bare(arn(&found.tail()));
        if facts {
            self.describe_identity(&found.id, found.bounded, &mut subject).await?;
        }
        Ok(subject)
    }

    async fn describe_identity(
        &self,
        id: &str,
        bounded: Option<PrincipalKind>,
        subject: &mut Subject,
    ) -> Result<(), StoreError> {
        for tag in iam_tag_list(self.store(), id).await? {
            subject.key(format!("iam:ResourceTag/{}", tag.key), tag.value.clone());
            subject.key(format!("aws:ResourceTag/{}", tag.key), tag.value);
        }
        if let Some(kind) = bounded
            && let Some(row) = iam_boundary_fetch(self.store(), kind, id).await?
        {
            subject.key("iam:PermissionsBoundary".to_owned(), row.policy_arn);
        }
        Ok(())
    }

    /// Whatever has this ARN; of the caller's own identities with what they are like.
    pub(super) async fn arn_subject(&self, cx: &OpContext, arn: &str, facts: bool) -> Result<Subject, StoreError> {
        let mut subject = Subject::bare(arn.to_owned());
        let own = format!("arn:aws:iam::{}:", cx.account());
        let Some((word, name)) = arn.strip_prefix(&own).and_then(|rest| rest.split_once('/')).filter(|_| facts) else {
            return Ok(subject);
        };
        if word == "policy" {
            if let Some(row) = iam_policy_by_arn(self.store(), arn).await? {
                self.describe_identity(&row.id, None, &mut subject).await?;
            }
            return Ok(subject);
        }
        let name = name.rsplit('/').next().unwrap_or_default();
        if let Some(found) = self.identity(cx, word, name).await? {
            self.describe_identity(&found.id, found.bounded, &mut subject).await?;
        }
        Ok(subject)
    }

    /// An identity that is to be made.
    pub(super) fn named_subject(&self, cx: &OpContext, kind: Kind, path: &str, name: &str) -> Subject {
        let tail = match kind.word {
            // Its name is its URL without the scheme.
            "oidc-provider" => name.split_once("://").map_or(name, |(_, rest)| rest).trim_end_matches('/').to_owned(),
            _ => format!("{}{name}", whole(path)),
        };
        Subject::bare(kind.arn("", cx.account().as_str(), &tail))
    }

    /// The caller's own user; of callers that are none their own ARN.
    pub(super) async fn own_subject(&self, cx: &OpContext, facts: bool) -> Result<Subject, StoreError> {
        let mut subject = Subject::bare(cx.actor.arn.to_string());
        if let Principal::User { id, .. } = &cx.actor.principal
            && facts
        {
            self.describe_identity(id, Some(PrincipalKind::User), &mut subject).await?;
        }
        Ok(subject)
    }

    /// The role of an instance profile (its name or ARN); nothing where there is none: then nothing is handed on.
    pub(super) async fn role_of_profile(
        &self,
        cx: &OpContext,
        given: &str,
        facts: bool,
    ) -> Result<Option<Subject>, StoreError> {
        let name = given.rsplit('/').next().unwrap_or_default();
        let Some(profile) = instance_profile_by_name(self.store(), cx.account(), name).await? else { return Ok(None) };
        let Some(role) = profile.role_id else { return Ok(None) };
        let role = role_fetch(self.store(), &role).await?;
        let mut subject = Subject::bare(format!("arn:aws:iam::{}:role{}{}", role.account_id, role.path, role.name));
        if facts {
            self.describe_identity(&role.id, Some(PrincipalKind::Role), &mut subject).await?;
        }
        Ok(Some(subject))
    }

    /// The owner of an access key of the caller's account.
    pub(super) async fn owner_of_key(
        &self,
        cx: &OpContext,
        kind: Kind,
        key: &str,
        facts: bool,
    ) -> Result<Subject, StoreError> {
        debug_assert!(kind.service == Service::Iam);
        let unknown = Subject::bare(kind.arn("", cx.account().as_str(), "*"));
        let row = match access_key_fetch(self.store(), key).await {
            Ok(row) if row.account_id == *cx.account() => row,
            Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(unknown),
            Err(error) => return Err(error),
        };
        match user_fetch(self.store(), &row.user_id).await {
            Ok(user) => {
                let tail = format!("{}{}", user.path, user.name);
                let mut subject = Subject::bare(kind.arn("", cx.account().as_str(), &tail));
                if facts {
                    self.describe_identity(&user.id, Some(PrincipalKind::User), &mut subject).await?;
                }
                Ok(subject)
            }
            Err(StoreError::NotFound { .. }) => Ok(unknown),
            Err(error) => Err(error),
        }
    }
}
