//! What the store's own services put into buckets: logs, inventories. They may what the bucket's policy lets them.

use crate::access_log;
use crate::authz::service::service_may_put;
use crate::service::S3;
use mallee_objects::{Bucket, Error, ObjectInfo, Origin, Parcel};
use std::sync::Arc;

/// Who puts something, and on behalf of which bucket.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The service, as policies name it.
    pub service: &'static str,
    /// The bucket that asks for it.
    pub bucket: &'a str,
    /// Its account.
    pub account: &'a str,
    /// Its region.
    pub region: &'a str,
}

/// Why something was not put.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// The bucket does not take it: it is not there, in another place, somebody else's, or its policy is against it.
    #[error("{0}")]
    Refused(String),
    /// The store failed: later it may succeed.
    #[error(transparent)]
    Failed(Error),
}

impl S3 {
    /// The bucket that something goes to: one of this account, if it must be, and of the sender's region.
    ///
    /// # Errors
    /// [`Undelivered`].
    pub async fn destination(
        &self,
        sender: &Sender<'_>,
        name: &str,
        account: Option<&str>,
    ) -> Result<Bucket, Undelivered> {
        let refused = |why: &str| Err(Undelivered::Refused(format!("the bucket {name} {why}")));
        match self.engine().bucket(name).await {
            Ok(found) if account.is_some_and(|account| account != found.account) => refused("is another account's"),
            Ok(found) if found.region != sender.region => refused("is in another region"),
            Ok(found) => Ok(found),
            Err(Error::NoBucket) => refused("does not exist"),
            Err(error) => Err(Undelivered::Failed(error)),
        }
    }

    /// Puts something into a bucket that was looked up, if the bucket lets the sender's service.
    ///
    /// # Errors
    /// [`Undelivered`].
    pub async fn deliver(&self, sender: &Sender<'_>, to: &Bucket, parcel: Parcel) -> Result<ObjectInfo, Undelivered> {
        let may = service_may_put(to, &parcel.key, sender, parcel.encrypted, self.engine().clock().now_ms());
        if !may.map_err(|error| Undelivered::Refused(error.to_string()))? {
            let Sender { service, .. } = sender;
            return Err(Undelivered::Refused(format!(
                "neither policy nor list of the bucket {} let {service}",
                to.name
            )));
        }
        let encrypted = parcel.encrypted || self.config().encrypt_all;
        let request_id = format!("{:016X}", self.engine().rng().u64());
        let principal = sender.service.to_owned();
        let by = self.engine().by(Arc::new(Origin { operation: "PutObject", principal, address: None, request_id }));
        match by.deliver(to, Parcel { encrypted, ..parcel }).await {
            Ok(info) => {
                // Records of the delivery of records would have no end.
                if sender.service != access_log::SERVICE {
                    let (log, size) = (self.access_log(), Some(info.size));
                    let put = "REST.PUT.OBJECT".into();
                    let recorded = log.own(self.engine(), to, sender.service, put, &info.key, None, size).await;
                    recorded.map_err(Undelivered::Failed)?;
                }
                Ok(info)
            }
            Err(error @ (Error::NoBucket | Error::Quota { .. } | Error::State(_))) => {
                Err(Undelivered::Refused(error.to_string()))
            }
            Err(error) => Err(Undelivered::Failed(error)),
        }
    }
}
