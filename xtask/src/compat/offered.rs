//! Which operations of a Query service have a handler.

use super::Row;
use crate::mask::{find_word, mask};
use crate::tree::File;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;

/// What an operation without a handler answers.
const NOT_OFFERED: &str = "`UnsupportedOperation`";
const GENERATED: &str = "cloud-controller/ec2-types";

/// A row for every generated operation of a service. `constant` names the table of those with a handler, in a file below
/// `place`: names between quotes, or arms of the macro that makes it (`Read DescribeVpcs => …`).
pub fn rows(files: &[File], service: &str, (constant, place): (&str, &str)) -> Result<Vec<Row>> {
    let path = format!("{GENERATED}/operations/{service}.txt");
    let list = files.iter().find(|f| f.path == path).with_context(|| format!("{path} is missing"))?;
    let operations: BTreeSet<&str> =
        list.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let offered = files
        .iter()
        .filter(|f| f.path.starts_with(place) && f.ending() == "rs")
        .find_map(|f| names(&f.text, constant))
        .with_context(|| format!("no table {constant} below {place}: the operations with a handler"))?;
    let stray = offered.iter().find(|name| !operations.contains(**name));
    ensure!(stray.is_none(), "{constant} offers {stray:?}, which {path} does not list");
    Ok(operations
        .iter()
        .map(|name| {
            let offered = offered.contains(name);
            Row {
                operation: (*name).to_owned(),
                offered,
                note: if offered { String::new() } else { NOT_OFFERED.into() },
            }
        })
        .collect())
}

/// The names in a table of operations; nothing where the source does not define it.
fn names<'a>(source: &'a str, constant: &str) -> Option<BTreeSet<&'a str>> {
    let head = format!("const {constant}:");
    let calls = source.split("offered! {\n").skip(1).filter_map(|call| call.split("\n}").next());
    if let Some(arms) = calls.clone().find(|call| call.contains(&head)) {
        let name = |line: &'a str| line.split_once(" =>")?.0.split_whitespace().next_back();
        return Some(arms.lines().filter_map(name).collect());
    }
    Some(literals(constant_of(source, constant)?.1).collect())
}

/// How many operations of the service's model have no generated types.
pub fn not_generated(files: &[File], service: &str) -> Result<usize> {
    let path = format!("{GENERATED}/src/generated/{service}/ops.rs");
    let Some(file) = files.iter().find(|f| f.path == path) else { return Ok(0) };
    let (_, body) = constant_of(&file.text, "NOT_GENERATED").with_context(|| format!("{path} has no NOT_GENERATED"))?;
    Ok(literals(body).count())
}

/// The type and the value of a constant array: from its name to the first `]` that closes it and a `;`.
pub(super) fn constant_of<'a>(source: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    // Bytes of masked code do not line up with those of the source, where it has letters of more than one byte.
    let code = if source.is_ascii() { mask(source).code } else { source.to_owned() };
    let mut from = 0;
    loop {
        let at = from + find_word(&code[from..], name)?;
        from = at + name.len();
        if code[..at].trim_end().ends_with("const") || code[..at].trim_end().ends_with("static") {
            let value = from + code[from..].find('=')?;
            let end = value + code[value..].find("];")?;
            return Some((&source[from..value], &source[value..end]));
        }
    }
}

/// The string literals of a table without escapes.
pub(super) fn literals(body: &str) -> impl Iterator<Item = &str> {
    body.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split('"').skip(1).step_by(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_found_by_their_definition() {
        let source = "use x::OFFERED;\n// const OFFERED = nothing\npub const OFFERED: &[&str] = &[\n  // \"No\"\n  \"Yes\", \"Da\",\n];\nconst B: u8 = 1;";
        let (kind, body) = constant_of(source, "OFFERED").expect("found");
        assert_eq!(kind.trim(), ": &[&str]");
        assert_eq!(literals(body).collect::<Vec<_>>(), ["Yes", "Da"]);
        assert!(constant_of(source, "OFFER").is_none());
    }

    #[test]
    fn an_offer_that_no_list_knows_is_an_error() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let list = file("cloud-controller/ec2-types/operations/sts.txt", "GetCallerIdentity\n");
        let names = file("a/lib.rs", "const O: &[&str] = &[\"GetCaller\"];");
        let error = rows(&[list.clone(), names], "sts", ("O", "a/")).expect_err("unknown").to_string();
        assert!(error.contains("GetCaller"), "{error}");
        let right = file("a/lib.rs", "const O: &[&str] = &[\"GetCallerIdentity\"];");
        assert!(rows(&[list, right], "sts", ("O", "a/")).expect("rows")[0].offered);
    }

    #[test]
    fn a_macro_may_make_the_table() {
        let source = "offered! {\n    /// All.\n    pub const O: Request of SERVICE;\n    |api: &Api, r|\n    \
                      Read DescribeVpcs => api.vpcs(r);\n    Write RunInstances => x;\n}\nA => b";
        assert_eq!(
            names(source, "O").expect("a table").into_iter().collect::<Vec<_>>(),
            ["DescribeVpcs", "RunInstances"]
        );
    }
}
