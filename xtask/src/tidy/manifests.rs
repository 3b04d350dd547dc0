//! Rules on the manifests: which crate may depend on which.

use super::Violation;
use super::sources::PURE_DIRS;
use crate::tree::File;
use std::collections::{BTreeMap, BTreeSet};
use toml::Table;

/// The prefix of the names of our crates.
const OURS: &str = "mallee";
/// Top-level directories of one daemon and its crates each.
const FAMILIES: &[&str] = &["cloud-controller", "cluster-controller", "node-controller", "storage-walrus"];
/// What a pure crate does not depend on: runtimes, networks, databases, and our crates that bring them.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-stream",
    "tokio-util",
    "tokio-rustls",
    "tonic",
    "axum",
    "hyper",
    "hyper-util",
    "sqlx",
    "nix",
    "socket2",
    "mallee-runtime",
    "mallee-store",
];
/// Arrows against the rule, and why each is right.
const ALLOWED: &[(&str, &str, &str)] = &[(
    "cloud-controller",
    "storage-walrus/s3",
    "the one port also speaks S3: protocol only, the objects stay with Walrus",
)];
/// The workspace of the fuzz targets, which reach into everything that reads what strangers send; nothing depends on it.
const FUZZ: &str = "fuzz/Cargo.toml";
/// Arrows inside one family that are refused, and why.
const REFUSED: &[(&str, &str, &str)] = &[
    ("cloud-controller/cli", "cloud-controller/app", "the command line speaks to the public API only"),
    ("cloud-controller/cli", "crates/store", "the command line speaks to the public API only"),
    ("node-controller/core", "node-controller/libvirt", "the core knows the trait, not its drivers"),
    ("node-controller/core", "node-controller/net", "the core knows the trait, not its drivers"),
    ("node-controller/core", "node-controller/sim", "the core knows the trait, not its drivers"),
];

/// One dependency of a crate.
#[derive(Debug)]
struct Dependency {
    name: String,
    line: usize,
    dev: bool,
}

/// One crate of the workspace.
#[derive(Debug)]
struct Member {
    /// Directory from the root of the tree.
    dir: String,
    name: String,
    dependencies: Vec<Dependency>,
}

/// Checks every manifest among the files.
pub fn check(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut members = Vec::new();
    let mut root = None;
    let manifests = files.iter().filter(|f| f.path == "Cargo.toml" || f.path.ends_with("/Cargo.toml"));
    for file in manifests.filter(|f| f.path != FUZZ) {
        match file.text.parse::<Table>() {
            Ok(table) if file.path == "Cargo.toml" => root = Some((file, table)),
            Ok(table) => members.extend(member(file, &table)),
            Err(error) => found.push(violation(&file.path, 1, "manifest", error.message().to_owned())),
        }
    }
    let dirs: BTreeMap<&str, &str> = members.iter().map(|m| (m.name.as_str(), m.dir.as_str())).collect();
    for member in &members {
        for dependency in &member.dependencies {
            let path = format!("{}/Cargo.toml", member.dir);
            for (rule, text) in broken(member, dependency, &dirs) {
                found.push(violation(&path, dependency.line, rule, text));
            }
        }
    }
    match root {
        Some((file, table)) => unused(file, &table, &members, &mut found),
        None => found.push(violation("Cargo.toml", 1, "manifest", "the workspace has no manifest".into())),
    }
    found
}

fn violation(path: &str, line: usize, rule: &'static str, text: String) -> Violation {
    Violation { path: path.into(), line, rule, text }
}

/// Reads one manifest; of a file without a package, nothing.
fn member(file: &File, table: &Table) -> Option<Member> {
    let name = table.get("package")?.get("name")?.as_str()?.to_owned();
    let dir = file.path.strip_suffix("/Cargo.toml")?.to_owned();
    let mut dependencies = Vec::new();
    let mut section = |table: &Table| {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for name in table.get(kind).and_then(toml::Value::as_table).into_iter().flat_map(Table::keys) {
                let line = line_of(&file.text, kind, name);
                dependencies.push(Dependency { name: name.clone(), line, dev: kind == "dev-dependencies" });
            }
        }
    };
    section(table);
    for target in table.get("target").and_then(toml::Value::as_table).into_iter().flat_map(Table::values) {
        target.as_table().into_iter().for_each(&mut section);
    }
    Some(Member { dir, name, dependencies })
}

/// The line where a section names a key: the parser does not tell.
fn line_of(text: &str, section: &str, name: &str) -> usize {
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(header) = line.trim().strip_prefix('[') {
            let header = header.trim_end_matches(']');
            inside = header == section || header.ends_with(&format!(".{section}"));
            if header.strip_prefix(section).is_some_and(|rest| rest == format!(".{name}")) {
                return index + 1;
            }
        }
        let key = line.split(['=', '.']).next().unwrap_or_default().trim().trim_matches('"');
        if inside && key == name {
            return index + 1;
        }
    }
    1
}

/// The top-level directory of a crate.
fn family(dir: &str) -> &str {
    dir.split('/').next().unwrap_or(dir)
}

/// The rules that one dependency breaks.
fn broken(member: &Member, dependency: &Dependency, dirs: &BTreeMap<&str, &str>) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    let name = dependency.name.as_str();
    if name == "sqlx" && member.dir != "crates/store" {
        broken.push(("sqlx", "only crates/store speaks to the database; add a call to the store".into()));
    }
    let pure = PURE_DIRS.iter().any(|dir| dir.trim_end_matches('/') == member.dir) && !dependency.dev;
    if pure && IMPURE.contains(&name) {
        broken.push(("pure", format!("{} is pure and may not depend on {name}", member.dir)));
    }
    let Some(target) = dirs.get(name).copied() else {
        if name == OURS || name.starts_with("mallee-") {
            broken.push(("arrow", format!("{name} is no crate of the workspace")));
        }
        return broken;
    };
    // A crate's own tests may ask it for its test helpers.
    if target == member.dir {
        return broken;
    }
    if let Some((.., why)) = REFUSED.iter().find(|(from, to, _)| *from == member.dir && *to == target) {
        if !dependency.dev {
            broken.push(("arrow", format!("{} may not depend on {target}: {why}", member.dir)));
        }
    } else if !points_down(&member.dir, target)
        && !ALLOWED.iter().any(|(from, to, _)| *from == member.dir && *to == target)
    {
        broken.push((
            "arrow",
            format!("{} may not depend on {target}: arrows run from daemons to crates/ to proto and types", member.dir),
        ));
    }
    broken
}

/// Whether the design lets the crate in `from` depend on that in `to`.
fn points_down(from: &str, to: &str) -> bool {
    match family(from) {
        "tests" => to != "xtask",
        "mallee" => to != "tests" && to != "xtask",
        "xtask" => false,
        "proto" => to == "crates/types",
        _ if from == "crates/types" => false,
        "crates" => family(to) == "crates" || to == "proto",
        daemon if FAMILIES.contains(&daemon) => {
            // The daemon's own crate wires the others, and none of them knows it.
            family(to) == "crates" || to == "proto" || (family(to) == daemon && to != daemon)
        }
        _ => false,
    }
}

/// Versions in the root manifest that no crate uses.
fn unused(file: &File, table: &Table, members: &[Member], found: &mut Vec<Violation>) {
    let used: BTreeSet<&str> = members.iter().flat_map(|m| m.dependencies.iter().map(|d| d.name.as_str())).collect();
    let listed = table.get("workspace").and_then(|w| w.get("dependencies")).and_then(toml::Value::as_table);
    for name in listed.into_iter().flat_map(Table::keys).filter(|name| !used.contains(name.as_str())) {
        let line = line_of(&file.text, "dependencies", name);
        found.push(violation(
            &file.path,
            line,
            "unused",
            format!("no crate uses {name}; drop it from workspace.dependencies"),
        ));
    }
    let entries = table.get("workspace").and_then(|w| w.get("members")).and_then(toml::Value::as_array);
    let entries: BTreeSet<&str> = entries.into_iter().flatten().filter_map(toml::Value::as_str).collect();
    for member in members.iter().filter(|m| !entries.contains(m.dir.as_str())) {
        found.push(violation(
            &format!("{}/Cargo.toml", member.dir),
            1,
            "manifest",
            "not among the workspace's members".into(),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    /// A workspace of these crates: directory, name, dependencies.
    fn tree(crates: &[(&str, &str, &[&str])]) -> Vec<String> {
        let mut files = Vec::new();
        let (mut members, mut versions) = (String::new(), String::new());
        let mut names = BTreeSet::new();
        for (dir, name, dependencies) in crates {
            let lines: String = dependencies.iter().map(|d| format!("{d}.workspace = true\n")).collect();
            names.extend(dependencies.iter().copied());
            files.push(file(
                &format!("{dir}/Cargo.toml"),
                &format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{lines}"),
            ));
            members.push_str(&format!("\"{dir}\","));
        }
        names.iter().for_each(|name| versions.push_str(&format!("{name} = \"1\"\n")));
        files.push(file(
            "Cargo.toml",
            &format!("[workspace]\nmembers = [{members}]\n[workspace.dependencies]\n{versions}"),
        ));
        check(&files).into_iter().map(|v| format!("{}:{}: {}", v.path, v.line, v.rule)).collect()
    }

    #[test]
    fn arrows_that_run_down_are_right() {
        assert_eq!(
            tree(&[
                ("crates/types", "mallee-types", &["serde"]),
                ("proto", "mallee-proto", &["mallee-types", "tonic"]),
                ("crates/store", "mallee-store", &["mallee-types", "sqlx"]),
                ("node-controller/core", "mallee-node-core", &["mallee-types", "mallee-proto", "tokio"]),
                ("node-controller/sim", "mallee-sim", &["mallee-node-core"]),
                ("node-controller", "mallee-node-controller", &["mallee-sim", "mallee-node-core"]),
                ("storage-walrus/s3", "mallee-s3", &["mallee-store"]),
                ("cloud-controller", "mallee-cloud-controller", &["mallee-store", "mallee-s3"]),
                ("mallee", "mallee", &["mallee-cloud-controller", "mallee-node-controller"]),
            ]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn arrows_that_run_up_or_across_are_named_with_their_line() {
        assert_eq!(
            tree(&[
                ("crates/types", "mallee-types", &["mallee-runtime"]),
                ("crates/runtime", "mallee-runtime", &["mallee-sim"]),
                ("node-controller/sim", "mallee-sim", &["mallee-app"]),
                ("cluster-controller/core", "mallee-cluster-core", &["serde", "mallee-app"]),
                ("cloud-controller/app", "mallee-app", &["mallee-cloud-controller"]),
                ("cloud-controller", "mallee-cloud-controller", &["mallee-cluster-core"]),
                ("proto", "mallee-proto", &["mallee-runtime"]),
                ("xtask", "xtask", &["mallee-types"]),
            ]),
            [
                "crates/types/Cargo.toml:5: pure",
                "crates/types/Cargo.toml:5: arrow",
                "crates/runtime/Cargo.toml:5: arrow",
                "node-controller/sim/Cargo.toml:5: arrow",
                "cluster-controller/core/Cargo.toml:6: arrow",
                "cloud-controller/app/Cargo.toml:5: arrow",
                "cloud-controller/Cargo.toml:5: arrow",
                "proto/Cargo.toml:5: arrow",
                "xtask/Cargo.toml:5: arrow",
            ]
        );
    }

    #[test]
    fn one_crate_speaks_sql_and_pure_ones_do_not_wait() {
        assert_eq!(
            tree(&[
                ("cloud-controller/app", "mallee-app", &["sqlx"]),
                ("cluster-controller/scheduler", "mallee-scheduler", &["tokio"]),
                ("cluster-controller/core", "mallee-cluster-core", &["tokio", "mallee-nobody"]),
            ]),
            [
                "cloud-controller/app/Cargo.toml:5: sqlx",
                "cluster-controller/scheduler/Cargo.toml:5: pure",
                "cluster-controller/core/Cargo.toml:6: arrow",
            ]
        );
    }

    #[test]
    fn a_crates_tests_may_use_its_helpers_and_more() {
        let text = "[package]\nname = \"mallee-network\"\n[dev-dependencies]\nmallee-network = { path = \".\" }\ntokio = \"1\"\n";
        let root = "[workspace]\nmembers = [\"cluster-controller/network\"]\n[workspace.dependencies]\ntokio = \"1\"\n";
        assert_eq!(check(&[file("cluster-controller/network/Cargo.toml", text), file("Cargo.toml", root)]), []);
    }

    #[test]
    fn versions_that_nobody_uses_are_dropped() {
        let root = "[workspace]\nmembers = []\n\n[workspace.dependencies]\nserde = \"1\"\n";
        let found = check(&[file("Cargo.toml", root), file("stray/Cargo.toml", "[package]\nname = \"stray\"\n")]);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found[0], "Cargo.toml:5: unused: no crate uses serde; drop it from workspace.dependencies");
        assert!(found[1].starts_with("stray/Cargo.toml:1: manifest"), "{found:?}");
        assert!(check(&[file("Cargo.toml", "[workspace")])[0].to_string().starts_with("Cargo.toml:1: manifest: "));
    }
}
