//! Which operations of S3 have a handler: read from its dispatcher, which chooses by method and sub-resource.

use super::Row;
use super::offered::{constant_of, literals};
use crate::mask::mask;
use crate::tree::File;
use anyhow::{Context, Result, bail};

const DISPATCH: &str = "storage-walrus/s3/src/dispatch.rs";
const CONFIG: &str = "storage-walrus/s3/src/ops/config.rs";
const REFUSED: &str = "`NotImplemented`";

/// Each handler of the dispatcher and the operations it is.
const HANDLERS: &[(&str, &[&str])] = &[
    ("buckets::list", &["ListBuckets"]),
    ("buckets::create", &["CreateBucket"]),
    ("buckets::head", &["HeadBucket"]),
    ("buckets::delete", &["DeleteBucket"]),
    ("buckets::location", &["GetBucketLocation"]),
    ("list::v1", &["ListObjects"]),
    ("list::v2", &["ListObjectsV2"]),
    ("get::get", &["GetObject", "HeadObject"]),
    ("put::put", &["PutObject"]),
    ("copy::copy", &["CopyObject"]),
    ("delete::one", &["DeleteObject"]),
    ("delete::batch", &["DeleteObjects"]),
    ("uploads::create", &["CreateMultipartUpload"]),
    ("uploads::list", &["ListMultipartUploads"]),
    ("uploads::list_parts", &["ListParts"]),
    ("uploads::abort", &["AbortMultipartUpload"]),
    ("parts::upload", &["UploadPart"]),
    ("parts::upload_copy", &["UploadPartCopy"]),
    ("complete::complete", &["CompleteMultipartUpload"]),
    // Sub-resources of a bucket: the table below.
    ("config::answer", &[]),
];

/// Each sub-resource of a bucket: the operation that reads it, and those that change it.
const BUCKET: &[(&str, &str, &[&str])] = &[
    ("versioning", "GetBucketVersioning", &["PutBucketVersioning"]),
    ("versions", "ListObjectVersions", &[]),
    ("acl", "GetBucketAcl", &["PutBucketAcl"]),
    ("policy", "GetBucketPolicy", &["PutBucketPolicy", "DeleteBucketPolicy"]),
    ("policyStatus", "GetBucketPolicyStatus", &[]),
    ("cors", "GetBucketCors", &["PutBucketCors", "DeleteBucketCors"]),
    ("website", "GetBucketWebsite", &["PutBucketWebsite", "DeleteBucketWebsite"]),
    ("lifecycle", "GetBucketLifecycleConfiguration", &["PutBucketLifecycleConfiguration", "DeleteBucketLifecycle"]),
    ("tagging", "GetBucketTagging", &["PutBucketTagging", "DeleteBucketTagging"]),
    ("replication", "GetBucketReplication", &["PutBucketReplication", "DeleteBucketReplication"]),
    ("encryption", "GetBucketEncryption", &["PutBucketEncryption", "DeleteBucketEncryption"]),
    ("object-lock", "GetObjectLockConfiguration", &["PutObjectLockConfiguration"]),
    ("publicAccessBlock", "GetPublicAccessBlock", &["PutPublicAccessBlock", "DeletePublicAccessBlock"]),
    (
        "ownershipControls",
        "GetBucketOwnershipControls",
        &["PutBucketOwnershipControls", "DeleteBucketOwnershipControls"],
    ),
    ("logging", "GetBucketLogging", &["PutBucketLogging"]),
    ("notification", "GetBucketNotificationConfiguration", &["PutBucketNotificationConfiguration"]),
    ("accelerate", "GetBucketAccelerateConfiguration", &["PutBucketAccelerateConfiguration"]),
    ("requestPayment", "GetBucketRequestPayment", &["PutBucketRequestPayment"]),
    ("analytics", "ListBucketAnalyticsConfigurations", &["PutBucketAnalyticsConfiguration"]),
    (
        "intelligent-tiering",
        "ListBucketIntelligentTieringConfigurations",
        &["PutBucketIntelligentTieringConfiguration"],
    ),
    ("inventory", "ListBucketInventoryConfigurations", &["PutBucketInventoryConfiguration"]),
    ("metrics", "ListBucketMetricsConfigurations", &["PutBucketMetricsConfiguration"]),
    ("metadataTable", "GetBucketMetadataTableConfiguration", &["CreateBucketMetadataTableConfiguration"]),
    ("metadataConfiguration", "GetBucketMetadataConfiguration", &["CreateBucketMetadataConfiguration"]),
    ("abac", "GetBucketAbac", &["PutBucketAbac"]),
    ("session", "CreateSession", &[]),
];

/// Each sub-resource of an object that is refused, and its operations.
const OBJECT: &[(&str, &[&str])] = &[
    ("acl", &["GetObjectAcl", "PutObjectAcl"]),
    ("tagging", &["GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"]),
    ("attributes", &["GetObjectAttributes"]),
    ("legal-hold", &["GetObjectLegalHold", "PutObjectLegalHold"]),
    ("retention", &["GetObjectRetention", "PutObjectRetention"]),
    ("torrent", &["GetObjectTorrent"]),
    ("restore", &["RestoreObject"]),
    ("select", &["SelectObjectContent"]),
    ("renameObject", &["RenameObject"]),
    ("encryption", &["UpdateObjectEncryption"]),
    // A form of PutObject.
    ("append", &[]),
];

/// A row for every operation that the dispatcher knows, by name.
///
/// # Errors
/// When the dispatcher knows a handler or a sub-resource that the tables above do not name.
pub fn rows(files: &[File]) -> Result<Vec<Row>> {
    let text = |path: &str| {
        files.iter().find(|f| f.path == path).map(|f| f.text.as_str()).with_context(|| format!("{path} is missing"))
    };
    let mut rows = Vec::new();
    let mut add =
        |operation: &str, offered: bool, note: String| rows.push(Row { operation: operation.into(), offered, note });
    for handler in handlers(&mask(text(DISPATCH)?).code) {
        let Some((_, operations)) = HANDLERS.iter().find(|(name, _)| *name == handler) else {
            bail!("{DISPATCH} calls {handler}, whose operation xtask/src/compat/s3.rs does not name");
        };
        operations.iter().for_each(|name| add(name, true, String::new()));
    }
    let (_, features) =
        constant_of(text(DISPATCH)?, "OBJECT_FEATURES").context("the dispatcher has no OBJECT_FEATURES")?;
    // Pairs: the sub-resource, and its name for people.
    for name in literals(features).step_by(2) {
        let Some((_, operations)) = OBJECT.iter().find(|(known, _)| *known == name) else {
            bail!("{DISPATCH} refuses {name}, whose operations xtask/src/compat/s3.rs does not name");
        };
        operations.iter().for_each(|operation| add(operation, false, REFUSED.into()));
    }
    let (_, table) = constant_of(text(CONFIG)?, "TABLE").with_context(|| format!("{CONFIG} has no TABLE"))?;
    let mut known = Vec::new();
    for (name, answer) in entries(table) {
        let Some((_, read, changes)) = BUCKET.iter().find(|(known, ..)| *known == name) else {
            bail!("{CONFIG} knows {name}, whose operations xtask/src/compat/s3.rs does not name");
        };
        known.push(name);
        if answer.contains("Answer::Document") {
            add(read, true, "always AWS's default, for no other can be set".into());
        } else if let Some((_, code)) = answer.split_once("Answer::Absent(Code::") {
            let code = code.split(')').next().unwrap_or_default();
            add(read, true, format!("always `{code}`, for none can be set"));
        } else if answer.contains("Answer::Refused") {
            add(read, false, REFUSED.into());
        } else {
            bail!("{CONFIG} answers {name} in a way that xtask/src/compat/s3.rs does not know");
        }
        changes.iter().for_each(|operation| add(operation, false, REFUSED.into()));
    }
    if let Some((lost, ..)) = BUCKET.iter().find(|(name, ..)| !known.contains(name)) {
        bail!(
            "{CONFIG} knows no {lost}; drop it from xtask/src/compat/s3.rs, or name its operation where it is handled now"
        );
    }
    rows.sort_by(|a: &Row, b: &Row| a.operation.cmp(&b.operation));
    rows.dedup();
    Ok(rows)
}

/// The entries of a table of tuples that open with two literals: the first, and all that follows it.
fn entries(table: &str) -> Vec<(&str, &str)> {
    let opens = |at: usize| {
        let (name, rest) = table[at..].trim_start_matches('(').trim_start().strip_prefix('"')?.split_once('"')?;
        rest.strip_prefix(',')?.trim_start().starts_with('"').then_some((name, at))
    };
    let starts: Vec<_> = table.match_indices('(').filter_map(|(at, _)| opens(at)).collect();
    let end = |n: usize| starts.get(n + 1).map_or(table.len(), |(_, at)| *at);
    starts.iter().enumerate().map(|(n, (name, at))| (*name, &table[*at..end(n)])).collect()
}

/// Every `module::function` that the code calls with the request.
fn handlers(code: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices("(call")
        .map(|(at, _)| code[..at].rfind(|c: char| !word(c)).map_or(&code[..at], |from| &code[from + 1..at]))
        .filter(|name| name.contains("::"))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The two files of the dispatcher, of which every sub-resource that is not in `config` is refused.
    pub fn tree(dispatch: &str, config: &str) -> Vec<File> {
        let features = "const OBJECT_FEATURES: &[(&str, &str)] = &[(\"restore\", \"RestoreObject\")];\n";
        let rest = |name: &str| format!("(\"{name}\", \"x\", Answer::Refused),\n");
        let named = |name: &str| config.contains(&format!("\"{name}\""));
        let rest: String = BUCKET.iter().filter(|(name, ..)| !named(name)).map(|(name, ..)| rest(name)).collect();
        vec![
            File { path: DISPATCH.into(), text: format!("{features}{dispatch}") },
            File { path: CONFIG.into(), text: format!("const TABLE: &[T] = &[\n{config}\n{rest}];") },
        ]
    }

    fn row(rows: &[Row], name: &str) -> (bool, String) {
        rows.iter().find(|r| r.operation == name).map(|r| (r.offered, r.note.clone())).expect("the operation")
    }

    #[test]
    fn handlers_name_operations() {
        let rows = rows(&tree("get::get(call, b).await, on_object(method, call), put::put(call)", "")).expect("rows");
        let offered: Vec<_> = rows.iter().filter(|r| r.offered).map(|r| r.operation.as_str()).collect();
        assert_eq!(offered, ["GetObject", "HeadObject", "PutObject"]);
        assert_eq!(row(&rows, "RestoreObject"), (false, REFUSED.into()));
    }

    #[test]
    fn sub_resources_answer_as_their_table_says() {
        let table = "(\"versioning\", \"Versioning\", Answer::Document(|_| whole(\"VersioningConfiguration\"))),\n(\n \"policy\",\n \"P\", Answer::Absent(Code::NoSuchBucketPolicy)),";
        let rows = rows(&tree("", table)).expect("rows");
        assert!(row(&rows, "GetBucketVersioning").0);
        assert_eq!(row(&rows, "GetBucketPolicy"), (true, "always `NoSuchBucketPolicy`, for none can be set".into()));
        assert_eq!(row(&rows, "PutBucketPolicy"), (false, REFUSED.into()));
        assert_eq!(row(&rows, "GetBucketCors"), (false, REFUSED.into()));
    }

    #[test]
    fn what_the_tables_do_not_know_is_an_error() {
        let error = |dispatch, config| rows(&tree(dispatch, config)).expect_err("unknown").to_string();
        assert!(error("tags::put(call)", "").contains("tags::put"));
        assert!(error("", "(\"new\", \"New\", Answer::Refused),").contains("new"));
        let mut lost = tree("", "");
        lost[1].text = "const TABLE: &[T] = &[];".into();
        assert!(rows(&lost).expect_err("lost").to_string().contains("versioning"));
    }
}
