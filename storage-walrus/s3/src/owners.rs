//! Accounts as S3 shows them: by canonical ids.

use crate::error::engine;
use crate::service::S3;
use mallee_awswire::{ApiError, XmlWriter};
use mallee_objects::Owner;
use std::collections::HashMap;

/// The names of the accounts that a reply shows.
pub(crate) struct Owners(HashMap<String, Owner>);

impl Owners {
    /// Looks them up.
    pub(crate) async fn of(s3: &S3, accounts: Vec<&str>) -> Result<Self, ApiError> {
        let mut owners = HashMap::new();
        for account in accounts {
            if !owners.contains_key(account) {
                owners.insert(account.to_owned(), s3.engine().owner(account).await.map_err(engine)?);
            }
        }
        Ok(Self(owners))
    }

    /// `<Owner>` (or another element) of an account that was looked up.
    pub(crate) fn write(&self, w: &mut XmlWriter, element: &str, account: &str) {
        w.open(element);
        self.write_names(w, account);
        w.close(element);
    }

    /// What is inside of it.
    pub(crate) fn write_names(&self, w: &mut XmlWriter, account: &str) {
        let (id, name) = self.0.get(account).map_or((account, account), |o| (&o.canonical_id, &o.display_name));
        w.text("ID", id);
        w.text("DisplayName", name);
    }
}
