//! Rows against files, and files against rows.

use super::rows::name;
use super::{Checker, FINDINGS_MAX, HOLDERS_TOLD, Mend, Report, Weight, verify_blob};
use crate::blob::{BlobId, BlobStore as _, Level, PackId};
use crate::crypt::stored_size;
use crate::documents::Documents;
use crate::error::Error;
use mallee_store::{
    S3VersionName, Store, s3_blob_fetch, s3_blob_holders, s3_blob_list, s3_bucket_doc_list, s3_check_rows,
    s3_damage_list, s3_damage_put, s3_garbage_among,
};
use std::collections::{BTreeMap, BTreeSet};

/// Rows read at once.
const PAGE: u32 = 1000;

pub(super) async fn check(checker: &Checker, report: &mut Report) -> Result<(), Error> {
    let unfinished = checker.blobs.unfinished().await?;
    if unfinished > 0 {
        let text = format!("{unfinished} unfinished writes; the next start deletes them");
        report.add(Weight::Leftover, Some(Mend::Unfinished), text);
    }
    let mut damaged = BTreeSet::new();
    let asked_for = without_row(checker, report).await?;
    // There may be more of them than were told: then no file is certain to be superfluous.
    let all_known = asked_for.len() < usize::try_from(FINDINGS_MAX).unwrap_or(usize::MAX);
    for shard in 0..checker.blobs.shards() {
        let rows = rows_of(&checker.store, shard, checker.blobs.shards()).await?;
        let (files, foreign) = checker.blobs.names(shard).await?;
        for path in foreign {
            report.add(Weight::Leftover, None, format!("{path} is none of ours; nothing reads or deletes it"));
        }
        for (id, size) in &rows {
            report.blobs += 1;
            report.bytes += size;
            if let Some(what) = blob(checker, id, *size).await? {
                let mut text = format!("blob {id}: {what}; {}", holders(&checker.store, id).await?);
                let relaxed = !relaxed_holders(&checker.store, id).await?.is_empty();
                if relaxed {
                    text.push_str("; where the bucket's level is relaxed, a repair drops it");
                }
                report.add(Weight::Lost, relaxed.then(|| Mend::Relaxed(id.clone())), text);
                if !report.unreadable {
                    note(&checker.store, id, &what).await?;
                }
                damaged.insert(id.clone());
            }
        }
        let lone: Vec<String> =
            files.into_iter().filter(|id| !rows.contains_key(id) && !asked_for.contains(id)).collect();
        let garbage: BTreeSet<String> = s3_garbage_among(&checker.store, &lone).await?.into_iter().collect();
        for id in lone {
            let why =
                if garbage.contains(&id) { "waits to be deleted" } else { "is of a write that was never committed" };
            report.add(
                Weight::Leftover,
                all_known.then(|| Mend::File(id.clone())),
                format!("the file of blob {id} {why}"),
            );
        }
        // Whatever can be found in it: a damaged pack may hold more than that.
        let in_use = |pack: PackId| {
            let is_of = |id: &String| id.starts_with(&pack.to_string());
            rows.range(pack.to_string()..).next().is_some_and(|(id, _)| is_of(id)) || asked_for.iter().any(is_of)
        };
        packs(checker, shard, &in_use, all_known, report).await?;
    }
    noted(checker, &damaged, report).await
}

/// Packs that hold nothing in use. (What others hold besides is no finding: compaction is for that.)
async fn packs(
    checker: &Checker,
    shard: usize,
    in_use: &(dyn Fn(PackId) -> bool + Sync),
    all_known: bool,
    report: &mut Report,
) -> Result<(), Error> {
    let (packs, foreign) = checker.blobs.pack_names(shard).await?;
    for path in foreign {
        report.add(Weight::Leftover, None, format!("{path} is none of ours; nothing reads or deletes it"));
    }
    for pack in packs {
        if !in_use(pack) {
            let mend = all_known.then_some(Mend::Pack(pack));
            report.add(Weight::Leftover, mend, format!("pack {pack} holds nothing that is in use"));
        }
    }
    Ok(())
}

/// The blobs (id, size) of one shard. What is no id at all falls into one, too.
async fn rows_of(store: &Store, shard: usize, shards: usize) -> Result<BTreeMap<String, u64>, Error> {
    let mut after = (shard > 0).then(|| format!("{shard:02x}"));
    let end = (shard + 1 < shards).then(|| format!("{:02x}", shard + 1));
    let mut out = BTreeMap::new();
    loop {
        let page = s3_blob_list(store, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(out) };
        after = Some(last.id.clone());
        for row in page {
            if end.as_ref().is_some_and(|end| row.id >= *end) {
                return Ok(out);
            }
            out.insert(row.id, row.size_bytes);
        }
    }
}

/// What is wrong with a blob, if anything is.
async fn blob(checker: &Checker, id: &str, size: u64) -> Result<Option<String>, Error> {
    let Some(id) = BlobId::parse(id) else { return Ok(Some("that is no blob's id".to_owned())) };
    let looked = if checker.every_byte {
        verify_blob(&checker.blobs, &id, size).await
    } else {
        checker.blobs.open(&id, size).await.map(drop)
    };
    match looked {
        Ok(()) => Ok(None),
        Err(Error::Gone) => Ok(Some("its file is not there".to_owned())),
        Err(Error::Corrupt(what)) => Ok(Some(what)),
        Err(Error::Io { what, source }) => Ok(Some(format!("{what}: {source}"))),
        Err(error) => Err(error),
    }
}

/// Who loses by a blob.
async fn holders(store: &Store, id: &str) -> Result<String, Error> {
    let versions = s3_blob_holders(store, id, HOLDERS_TOLD + 1).await?;
    let told = usize::try_from(HOLDERS_TOLD).unwrap_or(usize::MAX);
    let mut names: Vec<String> = versions.iter().take(told).map(name).collect();
    if versions.len() > told {
        names.push("others".to_owned());
    }
    Ok(match names.is_empty() {
        true => "no object has it (an image or a part may)".to_owned(),
        false => format!("it holds bytes of {}", names.join(" and ")),
    })
}

/// Versions that have a blob, in buckets of the relaxed level.
pub(super) async fn relaxed_holders(store: &Store, id: &str) -> Result<Vec<S3VersionName>, Error> {
    let mut out = Vec::new();
    for version in s3_blob_holders(store, id, FINDINGS_MAX).await? {
        let rows = s3_bucket_doc_list(store, version.bucket_id).await?;
        let docs = rows.iter().fold(Documents::default(), |docs, row| docs.with(&row.kind, &row.id, &row.doc));
        if docs.level() == Level::Relaxed {
            out.push(version);
        }
    }
    Ok(out)
}

async fn note(store: &Store, id: &str, what: &str) -> Result<(), Error> {
    let mut tx = store.write().await?;
    s3_damage_put(&mut tx, id, what).await?;
    Ok(tx.commit().await?)
}

/// Blobs that are referred to and have no row: if their file is there, the row can be made anew. Their ids.
async fn without_row(checker: &Checker, report: &mut Report) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for missing in s3_check_rows(&checker.store, FINDINGS_MAX).await? {
        let (id, mut size) = (missing.blob_id, missing.size_bytes);
        let mut wrong = blob(checker, &id, size).await?;
        // What refers to it tells the plain size.
        if wrong.is_some() && blob(checker, &id, stored_size(size)).await?.is_none() {
            (size, wrong) = (stored_size(size), None);
        }
        let (weight, mend, and) = match wrong {
            None => {
                let mend = Mend::Row { id: id.clone(), size, refs: missing.found };
                (Weight::Wrong, Some(mend), "its file is there".to_owned())
            }
            Some(what) => (Weight::Lost, None, what),
        };
        let who = holders(&checker.store, &id).await?;
        report.add(weight, mend, format!("blob {id} has no row, and {and}; {who}"));
        ids.insert(id);
    }
    Ok(ids)
}

/// Damage that was noted earlier, by a scrub or a check, and is not there now.
async fn noted(checker: &Checker, damaged: &BTreeSet<String>, report: &mut Report) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = s3_damage_list(&checker.store, after.as_deref(), PAGE).await?;
        for row in &page {
            if damaged.contains(&row.blob_id) {
                continue;
            }
            let size = match s3_blob_fetch(&checker.store, &row.blob_id).await {
                Ok(row) => Some(row.size_bytes),
                Err(mallee_store::StoreError::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            // Only a look at every byte can say that all is well again.
            if checker.every_byte || size.is_none() {
                let text = format!("blob {} was noted as damaged, and is not any more", row.blob_id);
                report.add(Weight::Leftover, Some(Mend::Damage(row.blob_id.clone())), text);
            } else {
                let who = holders(&checker.store, &row.blob_id).await?;
                report.add(Weight::Lost, None, format!("blob {}: {} (found earlier); {who}", row.blob_id, row.what));
            }
        }
        after = page.into_iter().next_back().map(|row| row.blob_id);
        if after.is_none() {
            return Ok(());
        }
    }
}
