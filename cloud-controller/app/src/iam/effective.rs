//! Every policy that has a say in what a principal may do, and a cache of it that follows the log of changes.

use super::base::IAM_CHANGE;
use super::{builtin, managed};
use mallee_iam::{Policy, PolicyKind};
use mallee_store::{
    CHANGES_PAGE_MAX, PrincipalKind, Store, StoreError, Tx, changes_bounds, changes_since, iam_attachment_list_of,
    iam_boundary_fetch, iam_groups_of_user, iam_inline_list_of, iam_policy_documents,
};
use mallee_types::AccountId;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Principals whose policies are kept at most; beyond it the cache begins anew.
const CACHED_MAX: usize = 10_000;
/// Groups read of one user; the quota is less.
const GROUPS_READ_MAX: u32 = 1_000;

/// One policy that applies.
#[derive(Debug, Clone)]
pub struct EffectivePolicy {
    /// Its ARN; none for an inline policy.
    pub arn: Option<String>,
    /// Its name.
    pub name: String,
    /// Whose it is: the principal, or for a user one of its groups.
    pub holder: (PrincipalKind, String),
    /// JSON, as it was given.
    pub document: Arc<str>,
    /// The document, ready to be evaluated.
    pub policy: Arc<Policy>,
}

/// All policies that apply to a principal.
#[derive(Debug, Clone, Default)]
pub struct EffectivePolicies {
    /// Of its account (Eucalyptus): denials and quotas.
    pub account: Vec<EffectivePolicy>,
    /// Its own and those of its groups: inline, then managed.
    pub identity: Vec<EffectivePolicy>,
    /// Its permissions boundary.
    pub boundary: Option<EffectivePolicy>,
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt { what: what.to_owned() }
}

fn parsed(document: &str, kind: PolicyKind, what: &str) -> Result<(Arc<str>, Arc<Policy>), StoreError> {
    // It was read before it was written. One that does not read now must not be passed over: it may deny.
    let policy = Policy::parse(document, kind).map_err(|error| corrupt(&format!("{what}: {error}")))?;
    Ok((document.into(), Arc::new(policy)))
}

async fn inline_of(tx: &mut Tx, kind: PrincipalKind, ids: &[String]) -> Result<Vec<EffectivePolicy>, StoreError> {
    let read = if kind == PrincipalKind::Account { PolicyKind::Account } else { PolicyKind::Inline };
    let rows = iam_inline_list_of(tx, kind, ids).await?;
    let make = |row: mallee_store::IamInlinePolicyRow| {
        let (document, policy) = parsed(&row.document, read, &row.name)?;
        Ok(EffectivePolicy { arn: None, name: row.name, holder: (kind, row.principal_id), document, policy })
    };
    rows.into_iter().map(make).collect()
}

/// The policies that apply to a user or role (or a group, or an account) of an account, as of one moment.
///
/// # Errors
/// What the database says; [`StoreError::Corrupt`] for a stored document that does not read.
pub async fn policies_of(
    store: &Store,
    account: &AccountId,
    kind: PrincipalKind,
    id: &str,
) -> Result<EffectivePolicies, StoreError> {
    let mut tx = store.read().await?;
    let holder = [id.to_owned()];
    let mut identity = inline_of(&mut tx, kind, &holder).await?;
    let mut attached = iam_attachment_list_of(&mut tx, kind, &holder).await?;
    if kind == PrincipalKind::User {
        let groups = iam_groups_of_user(&mut tx, id, None, GROUPS_READ_MAX).await?;
        let groups: Vec<String> = groups.into_iter().map(|group| group.id).collect();
        if !groups.is_empty() {
            identity.extend(inline_of(&mut tx, PrincipalKind::Group, &groups).await?);
            attached.extend(iam_attachment_list_of(&mut tx, PrincipalKind::Group, &groups).await?);
        }
    }
    let bound = iam_boundary_fetch(&mut tx, kind, id).await?;
    let arns = attached.iter().map(|row| &row.policy_arn).chain(bound.iter().map(|row| &row.policy_arn));
    let own: BTreeSet<&String> = arns.filter(|arn| builtin::by_arn(arn).is_none()).collect();
    let own: Vec<String> = own.into_iter().cloned().collect();
    let mut documents = HashMap::new();
    if !own.is_empty() {
        for (arn, document) in iam_policy_documents(&mut tx, &own).await? {
            let read = parsed(&document, PolicyKind::Managed, &arn)?;
            documents.insert(arn, read);
        }
    }
    let of_account = inline_of(&mut tx, PrincipalKind::Account, &[account.to_string()]).await?;
    tx.rollback().await?;
    let find = |arn: String, holder: (PrincipalKind, String)| {
        let (document, policy) = match builtin::by_arn(&arn) {
            Some(policy) => (policy.document.into(), policy.policy.clone()),
            None => documents.get(&arn).cloned().ok_or_else(|| corrupt(&format!("no policy {arn}")))?,
        };
        let name = managed::path_and_name(&arn).1.to_owned();
        Ok::<_, StoreError>(EffectivePolicy { arn: Some(arn), name, holder, document, policy })
    };
    for row in attached {
        identity.push(find(row.policy_arn, (row.principal_kind, row.principal_id))?);
    }
    let boundary = bound.map(|row| find(row.policy_arn, (row.principal_kind, row.principal_id))).transpose()?;
    Ok(EffectivePolicies { account: of_account, identity, boundary })
}

#[derive(Debug, Default)]
struct Cached {
    /// Every change up to this one is accounted for.
    seen: u64,
    /// By account, so that a change drops what is the account's.
    accounts: HashMap<AccountId, HashMap<(PrincipalKind, String), Arc<EffectivePolicies>>>,
    count: usize,
}

impl Cached {
    fn clear(&mut self) {
        self.accounts.clear();
        self.count = 0;
    }
}

/// The policies of principals, kept until the log of changes says that an account's IAM changed. While nothing changes
/// in the cloud, a hit costs a look at a number and no query.
#[derive(Debug, Default)]
pub struct PolicyCache(Mutex<Cached>);

impl PolicyCache {
    /// As [`policies_of`]. What was committed by this replica before the call counts.
    ///
    /// # Errors
    /// As [`policies_of`].
    pub async fn get(
        &self,
        store: &Store,
        account: &AccountId,
        kind: PrincipalKind,
        id: &str,
    ) -> Result<Arc<EffectivePolicies>, StoreError> {
        self.follow(store).await?;
        let key = (kind, id.to_owned());
        let seen = {
            let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = cached.accounts.get(account).and_then(|account| account.get(&key)) {
                return Ok(found.clone());
            }
            cached.seen
        };
        let read = Arc::new(policies_of(store, account, kind, id).await?);
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What changed while it was read may not be in it: then it is not kept.
        if cached.seen == seen {
            if cached.count >= CACHED_MAX {
                cached.clear();
            }
            if cached.accounts.entry(account.clone()).or_default().insert(key, read.clone()).is_none() {
                cached.count += 1;
            }
        }
        Ok(read)
    }

    /// Drops what the changes since the last look concern.
    async fn follow(&self, store: &Store) -> Result<(), StoreError> {
        let newest = *store.watch_changes().borrow();
        loop {
            let from = {
                let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if cached.count == 0 {
                    // There is nothing to drop.
                    cached.seen = cached.seen.max(newest);
                }
                cached.seen
            };
            if from >= newest {
                return Ok(());
            }
            let pruned = changes_bounds(store).await?.0 > from + 1;
            let changes = if pruned { Vec::new() } else { changes_since(store, from, CHANGES_PAGE_MAX).await? };
            let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if cached.seen != from {
                continue;
            }
            if pruned || changes.is_empty() {
                cached.clear();
                cached.seen = newest;
                return Ok(());
            }
            for change in &changes {
                cached.seen = cached.seen.max(change.seq);
                if change.kind == IAM_CHANGE
                    && let Ok(account) = change.id.parse::<AccountId>()
                {
                    let gone = cached.accounts.remove(&account).map_or(0, |account| account.len());
                    cached.count -= gone;
                }
            }
        }
    }
}
