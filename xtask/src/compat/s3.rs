//! Which operations of S3 have a handler: its table of operations, and which of them its dispatcher and its table of
//! configurations name.

use super::Row;
use super::offered::constant_of;
use crate::mask::mask;
use crate::tree::File;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;

const TABLE: &str = "storage-walrus/s3/src/operation.rs";
const DISPATCH: &str = "storage-walrus/s3/src/dispatch.rs";
const CONFIG: &str = "storage-walrus/s3/src/ops/config.rs";
const REFUSED: &str = "`NotImplemented`";
/// What is refused as AWS refuses it, too (`storage-walrus/s3/src/ops/refused.rs`).
const AS_AWS: [(&str, &str); 3] = [
    ("PutBucketAccelerateConfiguration", "`MethodNotAllowed`"),
    ("RestoreObject", "`InvalidObjectState`"),
    ("SelectObjectContent", "`MethodNotAllowed`"),
];
const NAMED: &str = "Operation::";

/// A row for every operation of the table, by name.
///
/// # Errors
/// When a handler is named that the table does not have, or answers in a way that is not known here.
pub fn rows(files: &[File]) -> Result<Vec<Row>> {
    let text = |path: &str| {
        files.iter().find(|f| f.path == path).map(|f| f.text.as_str()).with_context(|| format!("{path} is missing"))
    };
    let operations = operations(text(TABLE)?).with_context(|| format!("{TABLE} has no table of operations"))?;
    let row = |operation: &str, offered: bool, note: String| Row { operation: operation.into(), offered, note };
    let mut rows = Vec::new();
    let code = mask(text(DISPATCH)?).code;
    let handled: BTreeSet<&str> = entries(&code).map(|(name, _)| name).collect();
    rows.extend(handled.iter().map(|name| row(name, true, String::new())));
    let (_, table) = constant_of(text(CONFIG)?, "TABLE").with_context(|| format!("{CONFIG} has no TABLE"))?;
    for (name, answer) in entries(table) {
        let note = if answer.contains("Answer::Document") {
            "always AWS's default, for no other can be set".into()
        } else if let Some((_, code)) = answer.split_once("Answer::Absent(Code::") {
            format!("always `{}`, for none can be set", code.split(')').next().unwrap_or_default())
        } else {
            bail!("{CONFIG} answers {name} in a way that xtask/src/compat/s3.rs does not know");
        };
        rows.push(row(name, true, note));
    }
    let stray = rows.iter().find(|row| !operations.contains(row.operation.as_str()));
    ensure!(stray.is_none(), "{stray:?} has a handler, and {TABLE} does not list it");
    let refused = operations.iter().filter(|name| rows.iter().all(|row| row.operation != **name));
    let code = |name: &str| AS_AWS.iter().find(|(known, _)| *known == name).map_or(REFUSED, |(_, code)| code);
    let refused: Vec<Row> = refused.map(|name| row(name, false, code(name).into())).collect();
    rows.extend(refused);
    rows.sort_by(|a, b| a.operation.cmp(&b.operation));
    Ok(rows)
}

/// The names in the table of operations: the first words of its rows.
fn operations(source: &str) -> Option<BTreeSet<&str>> {
    let table = source.split("\noperations! {\n").nth(1)?.split("\n}").next()?;
    let rows = table.split(';').map(str::trim).filter(|row| !row.is_empty());
    Some(rows.filter_map(|row| row.split_whitespace().next()).collect())
}

/// Every `Operation::NAME`, and what follows it up to the next one.
fn entries(code: &str) -> impl Iterator<Item = (&str, &str)> {
    let word = |text: &str| text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    code.split(NAMED).skip(1).map(move |text| text.split_at(word(text)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The files of the protocol, with a few operations.
    pub fn tree(dispatch: &str, config: &str) -> Vec<File> {
        let table = "\noperations! {\n    GetObject GET Object \"\" Always => \"s3:GetObject\";\n    HeadObject x;\n    \
                     PutObject PUT;\n    RestoreObject POST Object\n        => \"s3:RestoreObject\";\n    \
                     GetBucketVersioning GET;\n    GetBucketPolicy GET;\n    PutBucketPolicy PUT;\n}\n";
        vec![
            File { path: TABLE.into(), text: table.into() },
            File { path: DISPATCH.into(), text: dispatch.into() },
            File { path: CONFIG.into(), text: format!("const TABLE: &[T] = &[\n{config}\n];") },
        ]
    }

    fn row(rows: &[Row], name: &str) -> (bool, String) {
        rows.iter().find(|r| r.operation == name).map(|r| (r.offered, r.note.clone())).expect("the operation")
    }

    #[test]
    fn handlers_name_operations() {
        let code = "use x::{Operation, Y};\n// Operation::RestoreObject\nOperation::GetObject | Operation::HeadObject \
                    => get::get(call),\nOperation::PutObject => put::put(call),";
        let rows = rows(&tree(code, "")).expect("rows");
        let offered: Vec<_> = rows.iter().filter(|r| r.offered).map(|r| r.operation.as_str()).collect();
        assert_eq!(offered, ["GetObject", "HeadObject", "PutObject"]);
        assert_eq!(row(&rows, "RestoreObject"), (false, "`InvalidObjectState`".into()));
    }

    #[test]
    fn configurations_answer_as_their_table_says() {
        let table = "(Operation::GetBucketVersioning, Answer::Document(|_| whole(\"V\"))),\n\
                     (Operation::GetBucketPolicy, Answer::Absent(Code::NoSuchBucketPolicy)),";
        let rows = rows(&tree("", table)).expect("rows");
        assert!(row(&rows, "GetBucketVersioning").0);
        assert_eq!(row(&rows, "GetBucketPolicy"), (true, "always `NoSuchBucketPolicy`, for none can be set".into()));
        assert_eq!(row(&rows, "PutBucketPolicy"), (false, REFUSED.into()));
    }

    #[test]
    fn what_the_table_does_not_know_is_an_error() {
        let error = |dispatch, config| rows(&tree(dispatch, config)).expect_err("unknown").to_string();
        assert!(error("Operation::PutTags => x", "").contains("PutTags"));
        assert!(error("", "(Operation::GetBucketPolicy, Answer::New),").contains("GetBucketPolicy"));
        assert!(rows(&tree("", "")[1..]).is_err(), "no table");
    }
}
