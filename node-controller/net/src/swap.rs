//! Replaces rule sets without an instant in which nothing, or the wrong thing, holds.
//!
//! Deleting and adding a table in one transaction is not enough: between the change of generation and the moment the
//! kernel takes the old table's hooks away, old base chains are empty and their drop policy strikes (measured here: one
//! packet lost in some fifty swaps under load). So base chains stay: rules and elements are flushed and added anew, and
//! what is named no more is deleted, all in one transaction. Sets that the kernel fills (`flags dynamic`) are its own: what
//! it counts there goes on, and only what is counted of ports that are gone is deleted.

use crate::exec::{nft, run};
use crate::nft::{MEMBERS_TABLE, Rules};
use crate::observe::parts_of;
use mallee_node_core::network::NetworkError;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tracing::warn;

/// Bytes of a declaration from which on it is not sent again while it is the same.
const LONG: usize = 512;

/// So many elements are told as a change, however few there are then.
const FEW: usize = 64;

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

/// Whether the kernel fills it; of a declaration.
fn is_dynamic(text: &str) -> bool {
    text.contains("flags dynamic")
}

fn member_set(name: &str) -> Object {
    ("set", MEMBERS_TABLE.to_owned(), name.to_owned())
}

/// Lines that lead a set of members from the one state to the other; `None` where it takes more elements than it then has.
pub(crate) fn elements(name: &str, was: &Arc<BTreeSet<Ipv4Addr>>, now: &Arc<BTreeSet<Ipv4Addr>>) -> Option<String> {
    let mut out = String::new();
    if Arc::ptr_eq(was, now) {
        return Some(out);
    }
    let (gone, come): (Vec<_>, Vec<_>) = (was.difference(now).collect(), now.difference(was).collect());
    for (verb, addresses) in [("delete", &gone), ("add", &come)] {
        if !addresses.is_empty() {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            putln!(out, "{verb} element {MEMBERS_TABLE} {name} {{ {} }}", addresses.join(", "));
        }
    }
    (gone.len() + come.len() <= now.len().max(FEW)).then_some(out)
}

/// The transaction from what exists to what the rules say. Sets that are as in `before` are left alone; to sets of members
/// that were there before comes what is new.
#[must_use]
fn transaction(rules: &Rules, existing: &BTreeSet<Object>, before: Option<&Rules>) -> String {
    let mut out = String::new();
    let (tables, wanted) = (tables(&rules.structure), declared(&rules.structure));
    let changes: BTreeMap<&String, String> = before.map_or_else(BTreeMap::new, |before| {
        let known = rules.members.iter().filter(|(name, _)| existing.contains(&member_set(name)));
        known.filter_map(|(name, now)| Some((name, elements(name, before.members.get(name)?, now)?))).collect()
    });
    let before = before.map(|before| declared(&before.structure)).unwrap_or_default();
    let is_members = |object: &Object| object.1 == MEMBERS_TABLE && rules.members.contains_key(&object.2);
    let kept = |object: &Object| {
        let same = |text: &String| is_dynamic(text) || before.get(object) == Some(text);
        let changed = is_members(object) && changes.contains_key(&object.2);
        object.0 != "chain" && (changed || wanted.get(object).is_some_and(same))
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
        for (kind, table, name) in
            ours().filter(|o| (o.0 == "chain") == chains && !wanted.contains_key(*o) && !is_members(o))
        {
            putln!(out, "delete {kind} {table} {name}");
        }
    }
    out.extend(changes.values().map(String::as_str));
    let mut body = rules.text(|name| changes.contains_key(name));
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
fn replacement(rules: &Rules) -> String {
    let mut out = String::new();
    for table in tables(&rules.structure) {
        put!(out, "table {table} {{}}\ndelete table {table}\n");
    }
    out + &rules.text(|_| false)
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

/// What of the sets that the kernel fills is about devices that the text does not name any more: deleted, line by line. Maps
/// tell devices apart: where they are as before, none has gone.
fn forgotten(body: &str, existing: &BTreeSet<Object>, before: Option<&Rules>) -> Result<String, NetworkError> {
    let mut out = String::new();
    let wanted = declared(body);
    let maps = |all: &BTreeMap<Object, String>| {
        all.iter().filter(|(object, _)| object.0 == "map").map(|(_, text)| text.clone()).collect::<Vec<_>>()
    };
    if before.is_some_and(|before| maps(&declared(&before.structure)) == maps(&wanted)) {
        return Ok(out);
    }
    for ((kind, table, name), _) in wanted.iter().filter(|(o, text)| is_dynamic(text) && existing.contains(*o)) {
        let listed = run("nft", &["-j", &format!("list {kind} {table} {name}")], "")?;
        let parts = parts_of(&listed)?;
        let parts = parts.iter().filter_map(|part| part["nftables"].as_array()).flatten();
        let elements = parts.filter_map(|part| part["set"]["elem"].as_array()).flatten();
        let devices = elements.filter_map(|e| e["elem"]["val"].as_str().or_else(|| e.as_str()));
        for device in devices.filter(|device| !body.contains(&format!("\"{device}\""))) {
            putln!(out, "delete element {table} {name} {{ \"{device}\" }}");
        }
    }
    Ok(out)
}

/// Makes the tables that the rules declare exactly so, in the calling thread's namespace. `before`: what was loaded last,
/// where that is known.
pub(crate) fn load(rules: &Rules, before: Option<&Rules>) -> Result<(), NetworkError> {
    let existing = existing()?;
    if existing.is_empty() {
        return nft(&replacement(rules));
    }
    let forgotten = forgotten(&rules.structure, &existing, before)?;
    nft(&(forgotten + &transaction(rules, &existing, before))).or_else(|error| {
        // A table of another version of ours may have hooks or types that cannot be kept.
        warn!(%error, "rules replaced with new hooks");
        nft(&replacement(rules))
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
        let rules = Rules::plain("table inet t {\n\tmap m { type ifname : verdict; }\n}\n".to_owned());
        let text = transaction(&rules, &old, None);
        assert_eq!(
            text,
            "table inet t {}\nflush table inet t\nflush map inet t m\nflush set inet t s\ndelete set inet t s\ndelete chain inet t a\n\
             table inet t {\n\tmap m { type ifname : verdict; }\n}\n"
        );
    }

    #[test]
    fn what_the_kernel_counts_goes_on() {
        let body = "table inet t {\n\tset conns { type ifname; flags dynamic; }\n\tset s { type ifname; }\n}\n";
        let existing = declared(body).into_keys().collect();
        let text = transaction(&Rules::plain(body.to_owned()), &existing, None);
        assert_eq!(text, format!("table inet t {{}}\nflush table inet t\nflush set inet t s\n{body}"));
    }

    #[test]
    fn a_long_set_that_is_the_same_is_not_sent_again() {
        let addresses = (0..99).map(|n| format!("10.0.0.{n}")).collect::<Vec<_>>().join(",\n\t\t");
        let body = |rule: &str| {
            Rules::plain(format!(
                "table inet t {{\n\tset s {{ type ipv4_addr; elements = {{ {addresses} }}; }}\n\tchain a {{\n\t\t{rule}\n\t}}\n}}\n"
            ))
        };
        let existing = declared(&body("accept").structure).into_keys().collect();
        let text = transaction(&body("drop"), &existing, Some(&body("accept")));
        assert_eq!(text, "table inet t {}\nflush table inet t\ntable inet t {\n\tchain a {\n\t\tdrop\n\t}\n}\n");
    }

    #[test]
    fn of_members_what_changed_is_sent_and_of_unknown_sets_all() {
        let members = |last: u8| Arc::new((1..=last).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect::<BTreeSet<_>>());
        let rules = |last| Rules {
            structure: format!("table {MEMBERS_TABLE} {{\n}}\n"),
            members: [("m_a".to_owned(), members(last))].into(),
        };
        let start = format!("table {MEMBERS_TABLE} {{}}\nflush table {MEMBERS_TABLE}\n");
        let existing = [member_set("m_a"), member_set("m_gone")].into();
        let text = transaction(&rules(4), &existing, Some(&rules(3)));
        let change = format!("delete set {MEMBERS_TABLE} m_gone\nadd element {MEMBERS_TABLE} m_a {{ 10.0.0.4 }}\n");
        let gone = format!("flush set {MEMBERS_TABLE} m_gone\n");
        assert_eq!(text, format!("{start}{gone}{change}{}", rules(4).structure));
        // Nobody knows what is in it, or it is not there: all of it.
        let known = transaction(&rules(2), &existing, None);
        let missing = transaction(&rules(2), &[member_set("m_gone")].into(), Some(&rules(3)));
        for (text, flushed) in [(known, true), (missing, false)] {
            assert!(text.contains("set m_a { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }"), "{text}");
            assert_eq!(text.contains(&format!("flush set {MEMBERS_TABLE} m_a\n")), flushed, "{text}");
        }
        assert_eq!(elements("m_a", &members(99), &members(1)), None, "less is sent as a whole");
        assert_eq!(elements("m_a", &members(1), &members(0)).unwrap(), "delete element inet vpc m_a { 10.0.0.1 }\n");
    }
}
