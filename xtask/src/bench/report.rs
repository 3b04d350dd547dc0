//! Tables: printed, and put in their places on the page.

use anyhow::{Context as _, Result};
use std::path::Path;

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it gave.
    pub figure: String,
    /// What it should give.
    pub aim: String,
    /// Whether it does; `None` where there is no aim.
    pub met: Option<bool>,
    /// What it is relative to, measured in the same run.
    pub beside: String,
}

/// The figures of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The group's name, as on the command line.
    pub name: &'static str,
    /// Its figures.
    pub rows: Vec<Row>,
}

impl Table {
    /// As Markdown.
    pub fn text(&self) -> String {
        let mut text = "| what | figure | aim | | beside |\n|---|---|---|---|---|\n".to_owned();
        for Row { what, figure, aim, met, beside } in &self.rows {
            let verdict = match met {
                Some(true) => "met",
                Some(false) => "**missed**",
                None => "",
            };
            text.push_str(&format!("| {what} | {figure} | {aim} | {verdict} | {beside} |\n"));
        }
        text
    }
}

/// Replaces the group's table on the page, which marks the place with `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.
pub fn write(page: &Path, table: &Table) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let text = replaced(&text, table).with_context(|| format!("{} has no place for {}", page.display(), table.name))?;
    std::fs::write(page, text).with_context(|| format!("writing {}", page.display()))
}

fn replaced(page: &str, table: &Table) -> Option<String> {
    let (open, close) = (format!("<!-- bench:{} -->\n", table.name), format!("<!-- /bench:{} -->", table.name));
    let (before, rest) = page.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}{}{close}{after}", table.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_its_place_and_no_other() {
        let row = |figure: &str, met| Row {
            what: "speed".into(),
            figure: figure.into(),
            aim: "1".into(),
            met: Some(met),
            beside: "x".into(),
        };
        let table = Table { name: "a", rows: vec![row("2", true), row("0", false)] };
        let page = "text\n<!-- bench:a -->\nold\n<!-- /bench:a -->\nmore\n<!-- bench:b -->\nkept\n<!-- /bench:b -->\n";
        let page = replaced(page, &table).expect("a place");
        assert!(
            page.contains("| speed | 2 | 1 | met | x |\n| speed | 0 | 1 | **missed** | x |\n<!-- /bench:a -->\nmore")
        );
        assert!(page.contains("kept") && !page.contains("old"));
        assert_eq!(replaced(&page, &table).as_deref(), Some(page.as_str()), "writing twice is writing once");
        assert_eq!(replaced("no place", &table), None);
    }
}
