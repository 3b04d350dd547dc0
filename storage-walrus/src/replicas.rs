//! The S3 service as the one who brings replicas: it knows what roles may.

use async_trait::async_trait;
use mallee_objects::VersionId;
use mallee_s3::{S3, ToReplicate, Unreplicated};
use mallee_s3_jobs::{Carrier, Failure};
use mallee_store::S3ReplicationRow;

/// Brings versions by the S3 service.
pub(crate) struct S3Carrier(pub(crate) S3);

#[async_trait]
impl Carrier for S3Carrier {
    async fn carry(&self, version: &S3ReplicationRow) -> Result<(), Failure> {
        let work = ToReplicate {
            bucket: &version.bucket,
            key: &version.key.0,
            version: VersionId::of_parts(version.rank, version.vid),
            target: &version.target,
        };
        self.0.replicate(work).await.map_err(|failed| match failed {
            Unreplicated::Refused(why) => Failure::Refused(why),
            Unreplicated::Later(why) => Failure::Later(why),
        })
    }
}
