//! Launch permissions: accounts that may see and start an image which is neither theirs nor public.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows};
use crate::tx::Tx;
use mallee_types::{AccountId, ImageId};

record! {
    /// One account's permission to start one image.
    pub struct ImagePermissionRow {
        /// The image.
        image_id: ImageId,
        /// Who may start it.
        account_id: AccountId,
    }
}

sql! {
    LIST = "SELECT image_id, account_id FROM image_launch_permissions WHERE 1 = 1";
    CLEAR = "DELETE FROM image_launch_permissions WHERE image_id = $1";
    DELETE = "DELETE FROM image_launch_permissions WHERE image_id = $1 AND account_id = $2";
}

/// The permissions of these images, or of all those that name this account, by image and account.
pub async fn image_permission_list<'a>(
    exec: impl Into<Exec<'a>>,
    images: Option<&[ImageId]>,
    account: Option<&AccountId>,
    limit: u32,
) -> Result<Vec<ImagePermissionRow>, StoreError> {
    let select = Select::new(LIST, vec![]).and("account_id =", account).and_in("image_id", images)?;
    select.page(exec.into(), "image_id, account_id", limit).await
}

/// Lets these accounts start the image; those that may already stay.
pub async fn image_permission_put(tx: &mut Tx, image: &ImageId, accounts: &[AccountId]) -> Result<(), StoreError> {
    let rows = accounts.iter().map(|account| args![image, account]).collect();
    let head = "INSERT INTO image_launch_permissions (image_id, account_id) VALUES ";
    insert_rows(Exec::Tx(tx), head, " ON CONFLICT (image_id, account_id) DO NOTHING", rows).await.map(drop)
}

/// Takes one account's permission; true if it had one.
pub async fn image_permission_delete(tx: &mut Tx, image: &ImageId, account: &AccountId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![image, account]).await? > 0)
}

/// Takes every account's permission.
pub async fn image_permission_clear(tx: &mut Tx, image: &ImageId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(CLEAR, args![image]).await.map(drop)
}
