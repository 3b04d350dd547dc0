//! `cargo xtask compat`: docs/compatibility.md, what this cloud offers of AWS's operations.
//!
//! The page is made from the sources themselves, read as text: the lists of generated operations, the tables from which
//! the handlers are chosen, and the tests that call an operation. So it cannot promise what is not there.

mod offered;
mod s3;
mod tested;

use crate::tree::{self, File};
use anyhow::{Context, Result};
use std::fmt::Write;

/// The page, from the root of the tree.
pub const OUTPUT: &str = "docs/compatibility.md";
/// Where CloudTrail's operations are.
const CLOUDTRAIL: &str = "cloud-controller/src/audit/cloudtrail.rs";
/// Where those of KMS are.
const KMS: &str = "cloud-controller/api-kms/src/lib.rs";
/// What `xtask compat` is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write nothing; fail if the committed page differs from what would be written.
    #[arg(long)]
    check: bool,
}

/// A Query service: its heading, its list of operations, and where the table of those offered is.
struct Service {
    name: &'static str,
    title: &'static str,
    /// The constant with the names, and the directory or file that has it.
    table: (&'static str, &'static str),
}

const SERVICES: &[Service] = &[
    Service { name: "ec2", title: "EC2", table: ("OFFERED", "cloud-controller/api-ec2/src/") },
    Service { name: "sts", title: "STS", table: ("STS_OFFERED", "cloud-controller/api-iam/src/") },
    Service { name: "iam", title: "IAM", table: ("IAM_OFFERED", "cloud-controller/api-iam/src/") },
];

/// One operation on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// AWS's name.
    pub operation: String,
    /// Whether a handler answers it.
    pub offered: bool,
    /// What is answered where no handler is, or what to know about the one that is; may be empty.
    pub note: String,
}

const INTRODUCTION: &str = "\
# What is offered

Written by `cargo xtask compat` from the sources; `cargo xtask tidy` fails when it is out of date.

An operation is offered when a handler does what it says. There a parameter is honoured or refused by name. An operation
that is not offered answers an error that says so: nothing answers success without doing it. *Tested by* names the files
that call the operation (besides the conformance run, which sends every EC2, STS and IAM operation listed here through
botocore in both directions).
";

/// Writes the page, or checks it.
#[allow(clippy::print_stderr, reason = "the report of a task")]
pub fn run(args: &Args) -> Result<()> {
    let root = tree::root()?;
    let files = tree::read(&root)?;
    if args.check {
        return check(&files);
    }
    let path = root.join(OUTPUT);
    std::fs::write(&path, page(&files)?).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("{OUTPUT} is written");
    Ok(())
}

/// Fails when the committed page is not what would be written.
pub fn check(files: &[File]) -> Result<()> {
    let wanted = page(files)?;
    let there = files.iter().find(|f| f.path == OUTPUT).map_or("", |f| f.text.as_str());
    let line = wanted.lines().zip(there.lines()).take_while(|(a, b)| a == b).count() + 1;
    anyhow::ensure!(wanted == there, "out of date from line {line} on; run `cargo xtask compat`");
    Ok(())
}

/// The whole page.
fn page(files: &[File]) -> Result<String> {
    let tests = tested::Tests::read(files);
    let mut page = INTRODUCTION.to_owned();
    for service in SERVICES {
        let rows = offered::rows(files, service.name, service.table)?;
        let others = offered::not_generated(files, service.name)?;
        table(&mut page, service.title, &rows, others, &tests)?;
        if others > 0 {
            writeln!(
                page,
                "\n{others} further operations of {} are known by name: `UnsupportedOperation`.",
                service.title
            )?;
        }
    }
    for (title, path) in [("CloudTrail", CLOUDTRAIL), ("KMS", KMS)] {
        table(&mut page, title, &listed(files, path)?, 0, &tests)?;
        writeln!(page, "\nWhat is not in the list answers `UnsupportedOperation`.")?;
    }
    table(&mut page, "S3", &s3::rows(files)?, 0, &tests)?;
    writeln!(page, "\nWhat is not in the list answers `NotImplemented` or `MethodNotAllowed`.")?;
    Ok(page)
}

/// The operations of a service that speaks JSON, from the list that its handler has of them.
fn listed(files: &[File], path: &str) -> Result<Vec<Row>> {
    let file = files.iter().find(|f| f.path == path).with_context(|| format!("{path} is missing"))?;
    let (_, list) = offered::constant_of(&file.text, "OFFERED").with_context(|| format!("{path} has no OFFERED"))?;
    let row = |name: &str| Row { operation: name.to_owned(), offered: true, note: String::new() };
    Ok(offered::literals(list).map(row).collect())
}

fn table(page: &mut String, title: &str, rows: &[Row], others: usize, tests: &tested::Tests<'_>) -> Result<()> {
    let count = rows.iter().filter(|r| r.offered).count();
    let all = rows.len() + others;
    writeln!(page, "\n## {title}: {count} of {all} operations\n\n| operation | offered | tested by |\n|---|---|---|")?;
    // What is there first: it is what a reader looks for.
    for row in rows.iter().filter(|r| r.offered).chain(rows.iter().filter(|r| !r.offered)) {
        let answer = match (row.offered, row.note.as_str()) {
            (true, "") => "**yes**".to_owned(),
            (true, note) => format!("**yes**: {note}"),
            (false, note) => format!("no: {note}"),
        };
        writeln!(page, "| {} | {answer} | {} |", row.operation, tests.of(&row.operation, row.offered))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn sources() -> Vec<File> {
        let list = "cloud-controller/ec2-types/operations";
        let identity = "const STS_OFFERED: &[&str] = &[\"GetCallerIdentity\"];\nconst IAM_OFFERED: &[&str] = &[];";
        let policy = "(Operation::GetBucketPolicy, Answer::Absent(Code::NoSuchBucketPolicy)),";
        let mut files = s3::tests::tree("Operation::PutObject => put::put(call, bucket)", policy);
        files.extend([
            file(&format!("{list}/ec2.txt"), "# EC2\nAllocateHosts\nRunInstances\n"),
            file(&format!("{list}/sts.txt"), "GetCallerIdentity\n"),
            file(&format!("{list}/iam.txt"), "ListUsers\n"),
            file(
                "cloud-controller/ec2-types/src/generated/ec2/ops.rs",
                "const NOT_GENERATED: &[&str] = &[\n \"A\", \"B\",\n];",
            ),
            file(CLOUDTRAIL, "pub const OFFERED: &[&str] = &[\"LookupEvents\"];"),
            file(KMS, "pub const OFFERED: &[&str] = &[\"CreateKey\"];"),
            file("cloud-controller/api-ec2/src/lib.rs", "pub const OFFERED: &[&str] = &[\"RunInstances\"];"),
            file("cloud-controller/api-iam/src/lib.rs", identity),
            file("tests/clients/test_a.py", "ec2.run_instances(MinCount=1)\n"),
        ]);
        files
    }

    #[test]
    fn a_page_says_what_the_sources_say() {
        let page = page(&sources()).expect("a page");
        for line in [
            "## EC2: 1 of 4 operations",
            "| RunInstances | **yes** | `tests/clients/test_a.py` |",
            "| AllocateHosts | no: `UnsupportedOperation` |  |",
            "2 further operations of EC2 are known by name: `UnsupportedOperation`.",
            "## IAM: 0 of 1 operations",
            "## CloudTrail: 1 of 1 operations",
            "## KMS: 1 of 1 operations",
            "| GetCallerIdentity | **yes** | none |",
            "| PutObject | **yes** | none |",
            "| GetBucketPolicy | **yes**: always `NoSuchBucketPolicy`, for none can be set | none |",
            "| PutBucketPolicy | no: `NotImplemented` |  |",
            "| RestoreObject | no: `InvalidObjectState` |  |",
        ] {
            assert!(page.lines().any(|l| l == line), "{line:?} is not in\n{page}");
        }
    }

    #[test]
    fn a_stale_page_is_told_with_its_first_line() {
        let mut files = sources();
        assert!(check(&files).is_err(), "no page at all");
        let right = page(&files).expect("a page");
        files.push(file(OUTPUT, &right));
        check(&files).expect("up to date");
        files.push(file("tests/clients/test_b.py", "sts.get_caller_identity()\n"));
        let error = check(&files).expect_err("stale").to_string();
        assert!(error.contains("out of date from line ") && error.contains("xtask compat"), "{error}");
    }

    #[test]
    fn a_lost_table_is_an_error() {
        let files: Vec<_> = sources().into_iter().filter(|f| !f.path.contains("api-ec2")).collect();
        assert!(page(&files).expect_err("no table").to_string().contains("OFFERED"));
    }
}
