//! Policies on principals: managed ones attached, inline ones, and permissions boundaries. One set of tables for every
//! kind of principal.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::{ToArg as _, words};
use mallee_types::AccountId;

/// Principals one call should ask about: ten thousand rows hold what their quotas let them have.
pub const IAM_PRINCIPALS_MAX: usize = 100;

/// Kinds of principals that have policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrincipalKind {
    /// A user, by its unique id.
    User,
    /// A group, by its unique id.
    Group,
    /// A role, by its unique id.
    Role,
    /// An account, by its number (Eucalyptus' account policies).
    Account,
}
words! { PrincipalKind { User = "user", Group = "group", Role = "role", Account = "account" } }

record! {
    /// A managed policy on a principal.
    pub struct IamAttachmentRow {
        /// What it is attached to.
        principal_kind: PrincipalKind,
        /// Which of that kind.
        principal_id: String,
        /// The policy: a customer's or one that comes with the cloud.
        policy_arn: String,
        /// The principal's account.
        account_id: AccountId,
        /// When it was attached.
        attached_ms: i64,
    }
    /// A policy that is part of a principal.
    pub struct IamInlinePolicyRow {
        /// What it is part of.
        principal_kind: PrincipalKind,
        /// Which of that kind.
        principal_id: String,
        /// Unique in the principal.
        name: String,
        /// The principal's account.
        account_id: AccountId,
        /// JSON, as it was given.
        document: String,
    }
    /// A permissions boundary.
    pub struct IamBoundaryRow {
        /// A user or a role.
        principal_kind: PrincipalKind,
        /// Which of that kind.
        principal_id: String,
        /// The policy.
        policy_arn: String,
        /// The principal's account.
        account_id: AccountId,
    }
}

sql! {
    ATTACH = "INSERT INTO iam_attachments (principal_kind, principal_id, policy_arn, account_id, attached_ms)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (principal_kind, principal_id, policy_arn) DO NOTHING";
    DETACH = "DELETE FROM iam_attachments WHERE principal_kind = $1 AND principal_id = $2 AND policy_arn = $3";
    ATTACHMENT_COUNT = "SELECT COUNT(*) FROM iam_attachments WHERE principal_kind = $1 AND principal_id = $2";
    ATTACHMENTS_OF = "SELECT principal_kind, principal_id, policy_arn, account_id, attached_ms FROM iam_attachments
        WHERE principal_kind = $1";
    ATTACHMENTS = "SELECT principal_kind, principal_id, policy_arn, account_id, attached_ms FROM iam_attachments
        WHERE account_id = $1 AND policy_arn = $2";
    ATTACHED_COUNTS = "SELECT policy_arn, COUNT(*) FROM iam_attachments WHERE account_id = $1 GROUP BY policy_arn
        ORDER BY policy_arn";
    INLINE_PUT = "INSERT INTO iam_inline_policies (principal_kind, principal_id, name, account_id, document)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (principal_kind, principal_id, name) DO UPDATE SET document = excluded.document";
    INLINE_FETCH = "SELECT principal_kind, principal_id, name, account_id, document FROM iam_inline_policies
        WHERE principal_kind = $1 AND principal_id = $2 AND name = $3";
    INLINE_DELETE = "DELETE FROM iam_inline_policies WHERE principal_kind = $1 AND principal_id = $2 AND name = $3";
    INLINE_OF = "SELECT principal_kind, principal_id, name, account_id, document FROM iam_inline_policies
        WHERE principal_kind = $1";
    INLINE_ACCOUNT = "SELECT principal_kind, principal_id, name, account_id, document FROM iam_inline_policies
        WHERE account_id = $1 ORDER BY principal_kind, principal_id, name";
    BOUNDARY_PUT = "INSERT INTO iam_boundaries (principal_kind, principal_id, policy_arn, account_id)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (principal_kind, principal_id) DO UPDATE SET policy_arn = excluded.policy_arn";
    BOUNDARY_DELETE = "DELETE FROM iam_boundaries WHERE principal_kind = $1 AND principal_id = $2";
    BOUNDARY_FETCH = "SELECT principal_kind, principal_id, policy_arn, account_id FROM iam_boundaries
        WHERE principal_kind = $1 AND principal_id = $2";
    BOUNDARIES = "SELECT principal_kind, principal_id, policy_arn, account_id FROM iam_boundaries
        WHERE account_id = $1 AND policy_arn = $2";
    BOUNDARIES_OF = "SELECT principal_kind, principal_id, policy_arn, account_id FROM iam_boundaries
        WHERE principal_kind = $1";
    BOUNDARY_COUNTS = "SELECT policy_arn, COUNT(*) FROM iam_boundaries WHERE account_id = $1 GROUP BY policy_arn
        ORDER BY policy_arn";
    FORGET_ATTACHMENTS = "DELETE FROM iam_attachments WHERE principal_kind = $1 AND principal_id = $2";
    FORGET_INLINE = "DELETE FROM iam_inline_policies WHERE principal_kind = $1 AND principal_id = $2";
}

/// Attaches a managed policy; false if it was attached.
pub async fn iam_attach(tx: &mut Tx, row: &IamAttachmentRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ATTACH, row.args()).await? > 0)
}

/// Detaches a managed policy; false if it was not attached.
pub async fn iam_detach(tx: &mut Tx, kind: PrincipalKind, id: &str, arn: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DETACH, args![kind, id, arn]).await? > 0)
}

/// How many managed policies a principal has.
pub async fn iam_attachment_count<'a>(
    exec: impl Into<Exec<'a>>,
    kind: PrincipalKind,
    id: &str,
) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(ATTACHMENT_COUNT, args![kind, id], id).await?.0)
}

/// The managed policies of principals of one kind, by principal and ARN; so many principals that 10,000 rows hold them
/// ([`IAM_PRINCIPALS_MAX`]).
pub async fn iam_attachment_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    kind: PrincipalKind,
    ids: &[String],
) -> Result<Vec<IamAttachmentRow>, StoreError> {
    let select = Select::new(ATTACHMENTS_OF, args![kind]).and_in("principal_id", Some(ids))?;
    select.page(exec.into(), "principal_id, policy_arn", crate::PAGE_ROWS_MAX).await
}

/// An account's attachments of one policy, by kind and principal, after `after`; given a kind, only of that kind.
pub async fn iam_attachment_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    policy_arn: &str,
    kind: Option<PrincipalKind>,
    after: Option<(PrincipalKind, &str)>,
    limit: u32,
) -> Result<Vec<IamAttachmentRow>, StoreError> {
    let select = Select::new(ATTACHMENTS, args![account, policy_arn]);
    after_principal(select, kind, after).page(exec.into(), "principal_kind, principal_id", limit).await
}

fn after_principal(select: Select, kind: Option<PrincipalKind>, after: Option<(PrincipalKind, &str)>) -> Select {
    let select = select.and("principal_kind =", kind);
    match after {
        Some((kind, id)) => select.and_pair("(principal_kind, principal_id) >", kind.to_arg(), id.to_arg()),
        None => select,
    }
}

/// To how many of an account's principals each policy is attached.
pub async fn iam_attachment_counts<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<(String, u32)>, StoreError> {
    exec.into().all(ATTACHED_COUNTS, args![account]).await
}

/// Sets an inline policy, over the one of that name.
pub async fn iam_inline_put(tx: &mut Tx, row: &IamInlinePolicyRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INLINE_PUT, row.args()).await.map(drop)
}

/// One inline policy.
pub async fn iam_inline_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    kind: PrincipalKind,
    id: &str,
    name: &str,
) -> Result<Option<IamInlinePolicyRow>, StoreError> {
    exec.into().maybe(INLINE_FETCH, args![kind, id, name]).await
}

/// Removes an inline policy; false if it was not there.
pub async fn iam_inline_delete(tx: &mut Tx, kind: PrincipalKind, id: &str, name: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(INLINE_DELETE, args![kind, id, name]).await? > 0)
}

/// The inline policies of principals of one kind, by principal and name; as many principals as above.
pub async fn iam_inline_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    kind: PrincipalKind,
    ids: &[String],
) -> Result<Vec<IamInlinePolicyRow>, StoreError> {
    let select = Select::new(INLINE_OF, args![kind]).and_in("principal_id", Some(ids))?;
    select.page(exec.into(), "principal_id, name", crate::PAGE_ROWS_MAX).await
}

/// Every inline policy of an account.
pub async fn iam_inline_list_account<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<IamInlinePolicyRow>, StoreError> {
    exec.into().all(INLINE_ACCOUNT, args![account]).await
}

/// Sets a user's or role's permissions boundary, over the one it has.
pub async fn iam_boundary_put(tx: &mut Tx, row: &IamBoundaryRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(BOUNDARY_PUT, row.args()).await.map(drop)
}

/// Removes a permissions boundary; false if there was none.
pub async fn iam_boundary_delete(tx: &mut Tx, kind: PrincipalKind, id: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(BOUNDARY_DELETE, args![kind, id]).await? > 0)
}

/// A principal's permissions boundary.
pub async fn iam_boundary_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    kind: PrincipalKind,
    id: &str,
) -> Result<Option<IamBoundaryRow>, StoreError> {
    exec.into().maybe(BOUNDARY_FETCH, args![kind, id]).await
}

/// An account's principals whose boundary is this policy, by kind and id, after `after`; given a kind, only of that
/// kind.
pub async fn iam_boundary_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    policy_arn: &str,
    kind: Option<PrincipalKind>,
    after: Option<(PrincipalKind, &str)>,
    limit: u32,
) -> Result<Vec<IamBoundaryRow>, StoreError> {
    let select = Select::new(BOUNDARIES, args![account, policy_arn]);
    after_principal(select, kind, after).page(exec.into(), "principal_kind, principal_id", limit).await
}

/// The permissions boundaries of principals of one kind, by principal.
pub async fn iam_boundary_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    kind: PrincipalKind,
    ids: &[String],
) -> Result<Vec<IamBoundaryRow>, StoreError> {
    let select = Select::new(BOUNDARIES_OF, args![kind]).and_in("principal_id", Some(ids))?;
    select.page(exec.into(), "principal_id", crate::PAGE_ROWS_MAX).await
}

/// Of how many of an account's principals each policy is the boundary.
pub async fn iam_boundary_counts<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<(String, u32)>, StoreError> {
    exec.into().all(BOUNDARY_COUNTS, args![account]).await
}

/// Removes everything here of a principal that goes away.
pub async fn iam_principal_forget(tx: &mut Tx, kind: PrincipalKind, id: &str) -> Result<(), StoreError> {
    for text in [FORGET_ATTACHMENTS, FORGET_INLINE, BOUNDARY_DELETE] {
        Exec::Tx(tx).run(text, args![kind, id]).await?;
    }
    Ok(())
}
