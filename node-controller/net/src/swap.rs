//! Replaces rule sets without an instant in which nothing, or the wrong thing, holds.
//!
//! Deleting and adding a table in one transaction is not enough: between the change of generation and the moment the
//! kernel takes the old table's hooks away, old base chains are empty and their drop policy strikes (measured here: one
//! packet lost in some fifty swaps under load). So base chains stay: rules and elements are flushed and added anew, and
//! what is named no more is deleted, all in one transaction.

use crate::exec::{nft, run};
use crate::observe::parts_of;
use mallee_node_core::network::NetworkError;
use std::collections::{BTreeMap, BTreeSet};
use tracing::warn;

/// Bytes of a declaration from which on it is not sent again while it is the same.
const LONG: usize = 512;

/// A chain, set or map: (kind, family and table, name).
type Object = (&'static str, String, String);

fn kind(text: &str) -> Option<&'static str> {
    ["chain", "set", "map"].into_iter().find(|kind| *kind == text)
}

/// What a text of ours declares, each with its lines: `table F T {`, below it declarations with one tab.
fn declared(body: &str) -> BTreeMap<Object, String> {
    let mut objects: BTreeMap<Object, String> = BTreeMap::new();
    let mut table = String::new();
    let mut last = None;
    for line in body.split_inclusive('\n') {
        let words: Vec<&str> = line.split_ascii_whitespace().take(3).collect();
        if let Some(rest) = line.strip_prefix("table ") {
            table = rest.trim_end().trim_end_matches(" {").to_owned();
        } else if line.starts_with('\t')
            && !line.starts_with("\t\t")
            && let [word, name, ..] = words[..]
            && let Some(kind) = kind(word)
        {
            last = Some((kind, table.clone(), name.to_owned()));
        }
        if let Some(object) = last.as_ref().filter(|_| line.starts_with('\t')) {
            objects.entry(object.clone()).or_default().push_str(line);
        }
    }
    objects
}

fn tables(body: &str) -> Vec<String> {
    body.lines().filter_map(|line| Some(line.strip_prefix("table ")?.trim_end_matches(" {").to_owned())).collect()
}

/// The transaction from what exists to what `body` says. Sets that are as in `before` are left alone.
#[must_use]
fn transaction(body: &str, existing: &BTreeSet<Object>, before: Option<&str>) -> String {
    let mut out = String::new();
    let (tables, wanted) = (tables(body), declared(body));
    let before = before.map(declared).unwrap_or_default();
    let kept = |object: &Object| {
        object.0 != "chain" && wanted.get(object).is_some_and(|text| before.get(object) == Some(text))
    };
    for table in &tables {
        put!(out, "table {table} {{}}\nflush table {table}\n");
    }
    let ours = || existing.iter().filter(|(_, table, _)| tables.contains(table));
    for (kind, table, name) in ours().filter(|object| object.0 != "chain" && !kept(object)) {
        putln!(out, "flush {kind} {table} {name}");
    }
    // Sets before chains: a verdict map must let go of the chains it names.
    for chains in [false, true] {
        for (kind, table, name) in ours().filter(|o| (o.0 == "chain") == chains && !wanted.contains_key(*o)) {
            putln!(out, "delete {kind} {table} {name}");
        }
    }
    let mut body = body.to_owned();
    // Only long ones are worth leaving out of the text, and only what surely exists.
    for (object, text) in
        wanted.iter().filter(|(object, text)| text.len() > LONG && kept(object) && existing.contains(*object))
    {
        debug_assert!(object.0 != "chain");
        body = body.replacen(text.as_str(), "", 1);
    }
    out + &body
}

/// As [`transaction`], without regard to what exists: new hooks, for a first load or when the swap is refused.
#[must_use]
fn replacement(body: &str) -> String {
    let mut out = String::new();
    for table in tables(body) {
        put!(out, "table {table} {{}}\ndelete table {table}\n");
    }
    out + body
}

fn existing() -> Result<BTreeSet<Object>, NetworkError> {
    let out = run("nft", &["-j", "-t", "list chains; list sets; list maps"], "")?;
    let mut objects = BTreeSet::new();
    let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    for item in parts_of(&out)?.iter().filter_map(|part| part["nftables"].as_array()).flatten() {
        for (key, value) in item.as_object().into_iter().flatten() {
            if let Some(kind) = kind(key) {
                objects.insert((
                    kind,
                    format!("{} {}", text(value, "family"), text(value, "table")),
                    text(value, "name"),
                ));
            }
        }
    }
    Ok(objects)
}

/// Makes the tables that `body` declares exactly so, in the calling thread's namespace. `before`: what was loaded last,
/// where that is known.
pub(crate) fn load(body: &str, before: Option<&str>) -> Result<(), NetworkError> {
    let existing = existing()?;
    if existing.is_empty() {
        return nft(&replacement(body));
    }
    nft(&transaction(body, &existing, before)).or_else(|error| {
        // A table of another version of ours may have hooks or types that cannot be kept.
        warn!(%error, "rules replaced with new hooks");
        nft(&replacement(body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_declared_is_deleted_after_the_maps_let_go() {
        let old = declared(
            "table inet t {\n\tset s { type ipv4_addr; }\n\tchain a {\n\t\taccept\n\t}\n\tmap m { type ifname : verdict; }\n}\n",
        );
        let old: BTreeSet<Object> = old.into_keys().collect();
        assert_eq!(old.len(), 3);
        let text = transaction("table inet t {\n\tmap m { type ifname : verdict; }\n}\n", &old, None);
        assert_eq!(
            text,
            "table inet t {}\nflush table inet t\nflush map inet t m\nflush set inet t s\ndelete set inet t s\ndelete chain inet t a\n\
             table inet t {\n\tmap m { type ifname : verdict; }\n}\n"
        );
    }

    #[test]
    fn a_long_set_that_is_the_same_is_not_sent_again() {
        let addresses = (0..99).map(|n| format!("10.0.0.{n}")).collect::<Vec<_>>().join(",\n\t\t");
        let body = |rule: &str| {
            format!(
                "table inet t {{\n\tset s {{ type ipv4_addr; elements = {{ {addresses} }}; }}\n\tchain a {{\n\t\t{rule}\n\t}}\n}}\n"
            )
        };
        let existing = declared(&body("accept")).into_keys().collect();
        let text = transaction(&body("drop"), &existing, Some(&body("accept")));
        assert_eq!(text, "table inet t {}\nflush table inet t\ntable inet t {\n\tchain a {\n\t\tdrop\n\t}\n}\n");
    }
}
