//! The files of the source tree, read once.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Names that are never entered or read: built, fetched or private to a tool (see .gitignore).
const SKIPPED: &[&str] =
    &["target", ".git", ".venv", "__pycache__", ".pytest_cache", "node_modules", "corpus", "artifacts"];
/// Endings of files that are not text of ours.
const BINARY: &[&str] = &["qcow2", "raw", "png", "gz", "pyc", "pem", "der"];
/// Largest file that is read, in bytes; a larger one is an error, so that nothing escapes the rules.
const FILE_MAX: u64 = 16 << 20;
/// Deepest directory that is entered.
const DEPTH_MAX: usize = 24;

/// One text file.
#[derive(Debug, Clone)]
pub struct File {
    /// Path from the root of the tree, with `/`.
    pub path: String,
    /// Content.
    pub text: String,
}

impl File {
    /// The ending of the name, without the dot; empty when there is none.
    pub fn ending(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or("", |(_, ending)| ending)
    }

    /// Whether a machine wrote it.
    pub fn generated(&self) -> bool {
        self.path.contains("/generated/")
    }

    /// Whether all of it is test code.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/")
            || ["/tests/", "/benches/", "/conformance/"].iter().any(|part| self.path.contains(part))
            || matches!(name, "tests.rs" | "test_support.rs" | "conformance.rs" | "conformance.py")
            || name.ends_with("_tests.rs")
    }
}

/// The root of the workspace.
pub fn root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent directory")?.to_path_buf())
}

/// All text files below `root`, by path.
///
/// The tree is walked rather than asked of git: root may test a tree that is another user's, which git refuses.
pub fn read(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    walk(root, "", 0, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(root: &Path, below: &str, depth: usize, files: &mut Vec<File>) -> Result<()> {
    anyhow::ensure!(depth < DEPTH_MAX, "{below}: directories nest deeper than {DEPTH_MAX}");
    let dir = root.join(below);
    for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let name =
            entry.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?} in {below} is not UTF-8"))?;
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(root, &path, depth + 1, files)?;
        } else if kind.is_file() {
            let file = File { path, text: String::new() };
            if BINARY.contains(&file.ending()) {
                continue;
            }
            // Another engineer's editor may have removed it since.
            let Ok(size) = entry.metadata().map(|m| m.len()) else { continue };
            anyhow::ensure!(size <= FILE_MAX, "{} has {size} bytes; the limit is {FILE_MAX}", file.path);
            let Ok(bytes) = fs::read(root.join(&file.path)) else { continue };
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { text, ..file });
            }
        }
    }
    Ok(())
}
