//! SSH public keys of users.

use super::base::quota;
use crate::fail::{OrFail as _, store_failure};
use crate::keys::material::{self, KeyError};
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    SshPublicKeyRow, UserRow, ssh_public_key_active_set, ssh_public_key_delete, ssh_public_key_insert,
    ssh_public_key_list,
};
use md5::{Digest as _, Md5};

/// Keys of a user (AWS: 5).
const KEYS_MAX: u64 = 5;

/// The error for a key that is not there.
#[must_use]
pub fn no_key(id: &str) -> ApiError {
    Code::NoSuchEntity.message(format!("The Public Key with id {id} cannot be found."))
}

/// MD5 of the key's own bytes, as `ssh-keygen -E md5` prints it.
fn fingerprint(openssh: &str) -> Result<String, ApiError> {
    use base64::Engine as _;
    let body = openssh.split_ascii_whitespace().nth(1).unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(body).map_err(ApiError::internal)?;
    let pairs: Vec<String> = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(pairs.join(":"))
}

impl Cloud {
    /// `UploadSSHPublicKey`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `InvalidPublicKey`, `DuplicateSSHPublicKey`, `LimitExceeded`.
    pub async fn upload_ssh_key(
        &self,
        cx: &OpContext,
        name: &str,
        body: &str,
    ) -> Result<(UserRow, SshPublicKeyRow), ApiError> {
        let user = self.user_or_self(cx, Some(name)).await?;
        let public = material::import(body).map_err(|error| match error {
            KeyError::Format => Code::InvalidPublicKey.message("The public key is invalid."),
            KeyError::Host(why) => ApiError::internal(why),
        })?;
        let row = SshPublicKeyRow {
            id: self.unique_id("APKA"),
            user_id: user.id.clone(),
            account_id: user.account_id.clone(),
            fingerprint: fingerprint(&public.openssh)?,
            body: public.openssh,
            active: true,
            created_ms: self.clock().now_ms(),
        };
        let mut tx = self.iam_write(cx).await?;
        quota("SSHPublicKeysPerUser", ssh_public_key_list(&mut tx, &user.id).await.or_fail()?.len() as u64, KEYS_MAX)?;
        ssh_public_key_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("ssh_public_keys_user_id_fingerprint") {
                Code::DuplicateSshPublicKey
                    .message(format!("The public key is already associated with user {}.", user.name))
            } else {
                store_failure(error)
            }
        })?;
        tx.commit().await.or_fail()?;
        Ok((user, row))
    }

    /// `UpdateSSHPublicKey`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn set_ssh_key_active(&self, cx: &OpContext, name: &str, id: &str, active: bool) -> Result<(), ApiError> {
        let user = self.user_or_self(cx, Some(name)).await?;
        let mut tx = self.iam_write(cx).await?;
        if !ssh_public_key_active_set(&mut tx, &user.id, id, active).await.or_fail()? {
            return Err(no_key(id));
        }
        tx.commit().await.or_fail()
    }

    /// `DeleteSSHPublicKey`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn delete_ssh_key(&self, cx: &OpContext, name: &str, id: &str) -> Result<(), ApiError> {
        let user = self.user_or_self(cx, Some(name)).await?;
        let mut tx = self.iam_write(cx).await?;
        if !ssh_public_key_delete(&mut tx, &user.id, id).await.or_fail()? {
            return Err(no_key(id));
        }
        tx.commit().await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_fingerprint_is_ssh_keygens() {
        // ssh-keygen -lE md5 of this key.
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(super::fingerprint(key).unwrap().len(), 47);
        assert!(super::fingerprint("ssh-ed25519 ***").is_err());
    }
}
