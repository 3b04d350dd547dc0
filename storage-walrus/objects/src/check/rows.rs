//! Rows against rows.

use super::{FINDINGS_MAX, Mend, Report, Weight};
use crate::error::Error;
use crate::version::VersionId;
use mallee_store::{
    S3VersionName, Store, s3_check_content, s3_check_file, s3_check_garbage, s3_check_latest, s3_check_pieces,
    s3_check_pieces_lost, s3_check_ranks, s3_check_refs, s3_check_sizes, s3_check_usage,
};

/// How a version is called in a finding.
pub(super) fn name(version: &S3VersionName) -> String {
    let S3VersionName { bucket, key, rank, vid, .. } = version;
    let object = format!("{bucket}/{}", key.0.escape_debug());
    if *rank == 0 && *vid == 0 {
        object
    } else {
        format!("{object}, version {}", VersionId { rank: *rank, random: *vid })
    }
}

pub(super) async fn check(store: &Store, report: &mut Report) -> Result<(), Error> {
    for line in s3_check_file(store).await? {
        report.unreadable = true;
        report.add(Weight::Lost, None, format!("the database file is damaged: {line}; restore it from a backup"));
    }
    versions(store, report).await?;
    for wrong in s3_check_refs(store, FINDINGS_MAX).await? {
        let text = format!("blob {} says {} references, and has {}", wrong.blob_id, wrong.said, wrong.found);
        report.add(Weight::Wrong, Some(Mend::Refs(wrong)), text);
    }
    for wrong in s3_check_sizes(store, FINDINGS_MAX).await? {
        let text =
            format!("blob {} has {} bytes, and is referred to with {}", wrong.blob_id, wrong.size_bytes, wrong.said);
        report.add(Weight::Lost, None, text);
    }
    for id in s3_check_garbage(store, FINDINGS_MAX).await? {
        let text = format!("blob {id} is in use, and noted as garbage");
        report.add(Weight::Wrong, Some(Mend::Garbage(id)), text);
    }
    for (id, bucket) in s3_check_usage(store).await? {
        let text = format!("the counters of bucket {bucket} are not what it holds");
        report.add(Weight::Wrong, Some(Mend::Usage(id)), text);
    }
    Ok(())
}

async fn versions(store: &Store, report: &mut Report) -> Result<(), Error> {
    for version in s3_check_latest(store, FINDINGS_MAX).await? {
        let text = format!("{}: the mark of the newest version is wrong", name(&version));
        report.add(
            Weight::Wrong,
            Some(Mend::Latest { bucket_id: version.bucket_id, key: version.key.0.clone() }),
            text,
        );
    }
    for version in s3_check_content(store, FINDINGS_MAX).await? {
        report.add(Weight::Lost, None, format!("{}: it has not exactly one place of its bytes", name(&version)));
    }
    for version in s3_check_ranks(store, FINDINGS_MAX).await? {
        report.add(Weight::Lost, None, format!("{}: its bucket was never versioned", name(&version)));
    }
    for wrong in s3_check_pieces(store, FINDINGS_MAX).await? {
        let text = format!(
            "{}/{}: {} pieces of {} bytes, where it should have {} of {}",
            wrong.bucket,
            wrong.key.0.escape_debug(),
            wrong.found,
            wrong.found_bytes,
            wrong.said,
            wrong.size_bytes
        );
        report.add(Weight::Lost, None, text);
    }
    for write_id in s3_check_pieces_lost(store, FINDINGS_MAX).await? {
        let text = format!("the pieces of write {write_id} belong to no version");
        report.add(Weight::Wrong, Some(Mend::Pieces(write_id)), text);
    }
    Ok(())
}
