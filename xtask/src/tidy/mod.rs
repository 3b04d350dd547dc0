//! `cargo xtask tidy`: the rules of the tree that the compiler does not check (the design's section 3).

mod manifests;
mod sources;

use crate::{compat, tree};
use anyhow::Result;
use std::fmt;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path from the root of the tree.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.text)
    }
}

/// Checks the whole tree; prints what is wrong.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is what the task is for")]
pub fn run() -> Result<()> {
    let root = tree::root()?;
    let files = tree::read(&root)?;
    let mut found = manifests::check(&files);
    for file in &files {
        sources::check(file, &mut found);
    }
    if let Err(error) = compat::check(&files) {
        let text = format!("{error:#}");
        found.push(Violation { path: compat::OUTPUT.into(), line: 1, rule: "compatibility", text });
    }
    found.sort();
    for violation in &found {
        println!("{violation}");
    }
    anyhow::ensure!(found.is_empty(), "{} rules of the tree are broken, in the lines above", found.len());
    eprintln!("tidy: {} files keep the rules", files.len());
    Ok(())
}
