//! Roles that services of the cloud take on for work of their own.

use super::rights::trusts;
use crate::{Actor, Cloud};
use mallee_iam::{Context, Principal, RoleSession};
use mallee_store::{StoreError, cloud_account, role_by_name};
use mallee_types::AccountId;

/// Account, path (`/` or `/path/`) and name of the ARN of a role.
fn parts(arn: &str) -> Option<(AccountId, String, &str)> {
    let (account, rest) = arn.strip_prefix("arn:aws:iam::")?.split_once(":role/")?;
    let (path, name) = rest.rsplit_once('/').map_or(("/".to_owned(), rest), |(path, name)| (format!("/{path}/"), name));
    Some((account.parse().ok()?, path, name))
}

impl Cloud {
    /// A session of the role of this ARN, as a service (`s3.amazonaws.com`) takes it on; `None`: there is no such role, or
    /// it does not trust the service.
    ///
    /// # Errors
    /// What the database says.
    pub async fn service_role(&self, arn: &str, service: &str, session: &str) -> Result<Option<Actor>, StoreError> {
        let Some((account, path, name)) = parts(arn) else { return Ok(None) };
        let role = role_by_name(self.store(), &account, name).await?;
        let Some(role) = role.filter(|role| role.path == path) else { return Ok(None) };
        let principal = Principal::Service { name: service.into() };
        let now = (self.clock().now_ms() / 1000).to_string();
        let mut context = Context::of(&principal);
        context.set("aws:EpochTime", now.clone());
        context.set("aws:CurrentTime", now);
        context.set("aws:SourceAccount", role.account_id.as_str());
        if !trusts(&role, &principal, "sts:AssumeRole", &context) {
            return Ok(None);
        }
        let is_admin = cloud_account(self.store()).await?.as_ref() == Some(&role.account_id);
        let principal = Principal::Role(RoleSession {
            account: role.account_id,
            path: role.path.into(),
            name: role.name.into(),
            id: role.id.into(),
            session: session.into(),
        });
        Ok(Actor::new(principal, is_admin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_roles() {
        let read = |arn| parts(arn).map(|(account, path, name)| (account.to_string(), path, name.to_owned()));
        let made = |path: &str, name: &str| Some(("111111111111".to_owned(), path.to_owned(), name.to_owned()));
        assert_eq!(read("arn:aws:iam::111111111111:role/r"), made("/", "r"));
        assert_eq!(read("arn:aws:iam::111111111111:role/a/b/r"), made("/a/b/", "r"));
        for none in ["r", "arn:aws:iam::111111111111:user/r", "arn:aws:iam::1:role/r"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
