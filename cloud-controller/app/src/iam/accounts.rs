//! Accounts: made and removed by the cloud's administrator (Eucalyptus' Euare), and each account's alias, which is its
//! name.

use super::base::IAM_CHANGE;
use crate::acls::{Going, going, remove_acl};
use crate::fail::{OrFail as _, store_failure};
use crate::instances::metadata_defaults;
use crate::{Cloud, OpContext, load};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    AccessKeyRow, AccountRow, PAGE_ROWS_MAX, RouteAssociationFilter, RouteTableFilter, SecurityGroupFilter, StoreError,
    Tx, UserRow, account_belongings, account_by_name, account_delete, account_fetch, account_insert, account_leftovers,
    account_page, account_rename, account_wipe, change_append, cloud_account, internet_gateway_delete,
    internet_gateway_detach, internet_gateway_list, network_acl_association_of_subnet_delete, quota_hold,
    route_association_delete, route_association_list, route_table_delete, route_table_list, security_group_delete,
    security_group_list, setting_delete, subnet_delete, subnet_list, user_insert, vpc_delete, vpc_list,
};
use mallee_types::AccountId;
use secrecy::SecretString;

/// The name of an account's administrator.
pub const ADMIN: &str = "admin";
/// The lowest number that is given to an account, and how many there are.
const NUMBERS: (u64, u64) = (100_000_000_000, 900_000_000_000);

/// A new account.
#[derive(Debug)]
pub struct NewAccount {
    /// The account.
    pub account: AccountRow,
    /// Its administrator.
    pub admin: UserRow,
    /// The administrator's access key.
    pub key: AccessKeyRow,
    /// The key's secret, which is told once.
    pub secret: SecretString,
}

/// Whether AWS would take it as an account's alias: lower-case letters, digits and single dashes, 3 to 63 of them, and
/// no number of an account.
fn check_alias(alias: &str) -> Result<(), ApiError> {
    let letters = alias.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let dashes = alias.starts_with('-') || alias.ends_with('-') || alias.contains("--");
    let number = alias.parse::<AccountId>().is_ok();
    if letters && !dashes && !number && (3..=63).contains(&alias.len()) {
        return Ok(());
    }
    Err(Code::ValidationError.message(format!(
        "1 validation error detected: Value '{}' at 'accountAlias' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){{1,61}}[a-z0-9]$",
        clip(alias)
    )))
}

fn not_found(name: &str) -> ApiError {
    ApiError::no_such_entity("account", name)
}

impl Cloud {
    /// Refuses everyone but administrators of the account that administers the cloud.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub fn require_cloud_admin(&self, cx: &OpContext, operation: &str) -> Result<(), ApiError> {
        if cx.actor.is_admin && cx.actor.is_account_admin {
            return Ok(());
        }
        Err(Code::AccessDenied.message(format!(
            "User: {} is not authorized to perform: iam:{operation} because only an administrator of the cloud may",
            cx.actor.arn
        )))
    }

    /// Makes an account with its administrator, whose key is in the reply, and its default network.
    pub(crate) async fn make_account(&self, tx: &mut Tx, name: &str) -> Result<NewAccount, StoreError> {
        let created_ms = self.clock().now_ms();
        let number = format!("{:012}", NUMBERS.0 + self.rng().below(NUMBERS.1));
        let id: AccountId = number.parse().map_err(|e| StoreError::Config(format!("{e}")))?;
        let account = AccountRow { id: id.clone(), name: name.to_owned(), created_ms };
        account_insert(tx, &account).await?;
        let admin = UserRow {
            id: self.unique_id("AIDA"),
            account_id: id,
            name: ADMIN.to_owned(),
            path: "/".to_owned(),
            created_ms,
            is_admin: true,
        };
        user_insert(tx, &admin).await?;
        let (key, secret) = self.make_access_key(tx, &admin).await?;
        Ok(NewAccount { account, admin, key, secret })
    }

    /// `CreateAccount`.
    ///
    /// # Errors
    /// `AccessDenied`, `EntityAlreadyExists`, a bad name.
    pub async fn create_account(&self, cx: &OpContext, name: &str) -> Result<NewAccount, ApiError> {
        self.require_cloud_admin(cx, "CreateAccount")?;
        check_alias(name)?;
        let mut tx = self.store().write().await.or_fail()?;
        let made = self.make_account(&mut tx, name).await.map_err(|error| {
            if error.is_conflict("accounts_name") {
                ApiError::entity_already_exists("Account", name)
            } else {
                store_failure(error)
            }
        })?;
        self.ensure_default_vpc(&mut tx, &made.account.id).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(made)
    }

    /// `ListAccounts`: every account for the cloud's administrators, for others their own; by number, after `after`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn accounts(
        &self,
        cx: &OpContext,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountRow>, ApiError> {
        if self.require_cloud_admin(cx, "ListAccounts").is_ok() {
            return account_page(self.store(), after, limit).await.or_fail();
        }
        if after.is_some() {
            return Ok(Vec::new());
        }
        Ok(vec![account_fetch(self.store(), cx.account()).await.or_fail()?])
    }

    /// The account of this name or number. To all but the cloud's administrators other accounts do not exist.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn find_account(&self, cx: &OpContext, name: &str) -> Result<AccountRow, ApiError> {
        let found = match name.parse::<AccountId>() {
            Ok(id) => match account_fetch(self.store(), &id).await {
                Ok(row) => Some(row),
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(store_failure(error)),
            },
            Err(_) => account_by_name(self.store(), name).await.or_fail()?,
        };
        let visible =
            |row: &AccountRow| row.id == cx.actor.account || self.require_cloud_admin(cx, "ListAccounts").is_ok();
        found.filter(visible).ok_or_else(|| not_found(name))
    }

    /// `DeleteAccount`: with `recursive` also its identities and what it has written down (key pairs, launch templates,
    /// placement groups, trails). What runs in it, is stored in it, or is kept for it must be gone before.
    ///
    /// # Errors
    /// `AccessDenied`, `NoSuchEntity`, `DeleteConflict`.
    pub async fn delete_account(&self, cx: &OpContext, name: &str, recursive: bool) -> Result<(), ApiError> {
        self.require_cloud_admin(cx, "DeleteAccount")?;
        let account = self.find_account(cx, name).await?;
        let conflict = |text: String| Err(Code::DeleteConflict.message(text));
        // Walrus may keep them in a database of its own.
        let buckets = self.image_service().buckets(&account.id).await.or_fail()?;
        if buckets > 0 {
            return conflict(format!("Cannot delete entity, the account has {buckets} buckets; remove them first."));
        }
        let mut tx = self.store().write().await.or_fail()?;
        tx.lock(&format!("iam {}", account.id)).await.or_fail()?;
        // Whoever makes something in it now is waited for, and who comes later finds no account.
        quota_hold(&mut tx, &account.id).await.or_fail()?;
        if cloud_account(&mut tx).await.or_fail()?.as_ref() == Some(&account.id) {
            return conflict("Cannot delete the account that administers the cloud.".to_owned());
        }
        if let Some(what) = account_leftovers(&mut tx, &account.id).await.or_fail()?.first() {
            return conflict(format!("Cannot delete entity, the account has {what}; remove them first."));
        }
        let belongings = account_belongings(&mut tx, &account.id).await.or_fail()?;
        if let Some(what) = belongings.first().filter(|_| !recursive) {
            return conflict(format!(
                "Cannot delete entity, the account has {what}; remove them first, or set Recursive."
            ));
        }
        self.remove_default_network(&mut tx, &account.id).await?;
        setting_delete(&mut tx, &metadata_defaults::key(&account.id)).await.or_fail()?;
        self.faults().point("cloud.account.delete.before-wipe").await.or_fail()?;
        let gone = account_wipe(&mut tx, &account.id).await.and(account_delete(&mut tx, &account.id).await);
        match gone {
            Ok(_) => {}
            Err(StoreError::InUse) => {
                return conflict("Cannot delete entity, something still belongs to the account.".to_owned());
            }
            Err(error) => return Err(store_failure(error)),
        }
        change_append(&mut tx, IAM_CHANGE, &account.id, None);
        self.faults().point("cloud.account.delete.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.account.delete.committed").await.or_fail()
    }

    async fn remove_default_network(&self, tx: &mut Tx, account: &AccountId) -> Result<(), ApiError> {
        for vpc in vpc_list(&mut *tx, account, None, None, PAGE_ROWS_MAX).await.or_fail()? {
            let of_vpc = RouteAssociationFilter { vpc: Some(&vpc.id), ..Default::default() };
            for association in route_association_list(&mut *tx, of_vpc).await.or_fail()? {
                route_association_delete(tx, &association.id).await.or_fail()?;
            }
        }
        let tables = RouteTableFilter { account: Some(account), ..Default::default() };
        for table in route_table_list(&mut *tx, tables, PAGE_ROWS_MAX).await.or_fail()? {
            route_table_delete(tx, &table.id).await.or_fail()?;
            change_append(tx, load::ROUTE_TABLE, &table.id, None);
        }
        for gateway in internet_gateway_list(&mut *tx, account, None, None, None, PAGE_ROWS_MAX).await.or_fail()? {
            if let Some(vpc) = &gateway.vpc_id {
                internet_gateway_detach(tx, &gateway.id, vpc).await.or_fail()?;
            }
            internet_gateway_delete(tx, &gateway.id).await.or_fail()?;
        }
        let groups = security_group_list(&mut *tx, account, SecurityGroupFilter::default(), PAGE_ROWS_MAX).await;
        for group in groups.or_fail()? {
            security_group_delete(tx, &group.id).await.or_fail()?;
            change_append(tx, load::GROUP, &group.id, None);
        }
        for subnet in subnet_list(&mut *tx, account, None, None, None, PAGE_ROWS_MAX).await.or_fail()? {
            network_acl_association_of_subnet_delete(tx, &subnet.id).await.or_fail()?;
            crate::flow_logs::forget_of(tx, subnet.id.as_str()).await.or_fail()?;
            subnet_delete(tx, &subnet.id).await.or_fail()?;
            change_append(tx, load::SUBNET, &subnet.id, None);
        }
        for acl in going(tx, Going::Account(account)).await? {
            remove_acl(tx, &acl.id).await.or_fail()?;
        }
        for vpc in vpc_list(&mut *tx, account, None, None, PAGE_ROWS_MAX).await.or_fail()? {
            crate::peerings::account_goes(tx, &vpc, self.clock().now_ms()).await?;
            crate::transit::account_goes(tx, &vpc.id, self.clock().now_ms()).await?;
            crate::flow_logs::forget_of(tx, vpc.id.as_str()).await.or_fail()?;
            vpc_delete(tx, &vpc.id).await.or_fail()?;
            change_append(tx, load::VPC, &vpc.id, None);
        }
        crate::transit::gateways_go(tx, account, self.clock().now_ms()).await
    }

    /// The alias of the caller's account: its name, unless that is its number.
    ///
    /// # Errors
    /// What the database says.
    pub async fn account_alias(&self, cx: &OpContext) -> Result<Option<String>, ApiError> {
        let account = account_fetch(self.store(), cx.account()).await.or_fail()?;
        Ok(Some(account.name).filter(|name| name != account.id.as_str()))
    }

    /// `CreateAccountAlias`: in place of the alias that the account has.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, a bad alias.
    pub async fn create_account_alias(&self, cx: &OpContext, alias: &str) -> Result<(), ApiError> {
        check_alias(alias)?;
        let mut tx = self.iam_write(cx).await?;
        account_rename(&mut tx, cx.account(), alias).await.map_err(|error| {
            if error.is_conflict("accounts_name") {
                Code::EntityAlreadyExists.message(format!("The account alias {alias} already exists."))
            } else {
                store_failure(error)
            }
        })?;
        tx.commit().await.or_fail()
    }

    /// `DeleteAccountAlias`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn delete_account_alias(&self, cx: &OpContext, alias: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let account = account_fetch(&mut tx, cx.account()).await.or_fail()?;
        if account.name != alias || alias == account.id.as_str() {
            return Err(Code::NoSuchEntity.message(format!("The account alias {} cannot be found.", clip(alias))));
        }
        account_rename(&mut tx, cx.account(), account.id.as_str()).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_awss() {
        for good in ["abc", "a-b", "team-1", "1234567890123"] {
            assert!(check_alias(good).is_ok(), "{good}");
        }
        for bad in ["", "ab", "-ab", "ab-", "a--b", "Abc", "a_b", "123456789012", &"a".repeat(64)] {
            assert!(check_alias(bad).is_err(), "{bad}");
        }
    }
}
