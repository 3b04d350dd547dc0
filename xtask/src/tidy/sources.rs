//! Rules on the text of one file.

use super::Violation;
use crate::mask::{find_word, mask};
use crate::tree::File;

/// Most lines of a source file.
const LINES_MAX: usize = 500;
/// Most lines of a file of tests.
const TEST_LINES_MAX: usize = 800;
/// Files that may be longer, how long, and why.
const LONGER: &[(&str, usize, &str)] = &[];

/// The one directory with `unsafe`, and why it is needed there: raw libvirt calls.
const UNSAFE_DIR: &str = "node-controller/libvirt/";
/// The one directory that names the database library.
const SQL_DIR: &str = "crates/store/";
/// Crates that decide and do nothing else: no runtime, no input or output.
pub(super) const PURE_DIRS: &[&str] = &[
    "crates/types/",
    "crates/iam/",
    "cluster-controller/scheduler/",
    "cluster-controller/network/",
    "cloud-controller/ec2-types/",
    "storage-walrus/config/",
];
/// What a pure crate does not name in its sources.
const IMPURE_WORDS: &[&str] = &["tokio", "async"];
/// Macros that stand for work not done, and one for printing while looking for a mistake.
const UNDONE: &[&str] = &["todo!", "unimplemented!", "dbg!"];

/// Marks that put work off. Written in halves, so that this file keeps its own rule.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
/// Hosts of package registries: which mirror to use is the machine's setting, never the tree's.
const REGISTRIES: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("snapshot.debian", ".org"),
    concat!("archive.ubuntu", ".com"),
    concat!("proxy.golang", ".org"),
    concat!("registry-1.docker", ".io"),
];
/// Files in which a tool writes such a host itself.
const REGISTRY_FILES: &[&str] = &["Cargo.lock", "fuzz/Cargo.lock"];

/// Checks one file.
pub fn check(file: &File, found: &mut Vec<Violation>) {
    let mut add = |line: usize, rule: &'static str, text: String| {
        found.push(Violation { path: file.path.clone(), line, rule, text });
    };
    if !REGISTRY_FILES.contains(&file.path.as_str()) {
        for (line, text) in numbered(&file.text) {
            for host in REGISTRIES.iter().filter(|host| text.contains(**host)) {
                add(line, "registry", format!("{host} is a package registry's host; leave it to the tools' settings"));
            }
        }
    }
    if file.generated() {
        return;
    }
    length(file, &mut add);
    if file.ending() == "rs" {
        rust(file, &mut add);
    } else {
        for (line, text) in numbered(&file.text) {
            marks(line, comment_of(file.ending(), text), &mut add);
        }
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// The comment of a line in a language whose comments end with the line; of prose, all of it.
fn comment_of<'a>(ending: &str, line: &'a str) -> &'a str {
    let mark = match ending {
        "proto" => "//",
        "sql" => "--",
        "md" => "",
        _ => "#",
    };
    line.find(mark).map_or("", |at| &line[at..])
}

fn marks(line: usize, comment: &str, add: &mut impl FnMut(usize, &'static str, String)) {
    for mark in MARKS.iter().filter(|mark| find_word(comment, mark).is_some()) {
        add(line, "mark", format!("{mark} puts work off; do it, or open an issue and drop the mark"));
    }
}

fn length(file: &File, add: &mut impl FnMut(usize, &'static str, String)) {
    // Scripts have no ending: what starts with an interpreter's line is one.
    if !matches!(file.ending(), "rs" | "py" | "proto" | "sh" | "sql") && !file.text.starts_with("#!") {
        return;
    }
    let limit = if file.is_test() { TEST_LINES_MAX } else { LINES_MAX };
    let limit = LONGER.iter().find(|(path, ..)| *path == file.path).map_or(limit, |(_, limit, _)| *limit);
    let lines = file.text.lines().count();
    if lines > limit {
        add(limit + 1, "length", format!("{lines} lines, {limit} are allowed; split the file by subject"));
    }
}

fn rust(file: &File, add: &mut impl FnMut(usize, &'static str, String)) {
    let masked = mask(&file.text);
    let pure = PURE_DIRS.iter().any(|dir| file.path.starts_with(dir)) && !file.is_test();
    for (line, text) in numbered(&file.text) {
        if text.contains('\t') {
            add(line, "tab", "a tab; indent with spaces, write \\t in literals".into());
        }
    }
    for (line, text) in numbered(&masked.comments) {
        marks(line, text, add);
    }
    for (line, text) in numbered(&masked.code) {
        for word in UNDONE.iter().filter(|word| find_word(text, word).is_some()) {
            add(line, "undone", format!("{word} is left over; finish the code, or refuse with an error that says why"));
        }
        if text.trim_start().starts_with("#[ignore") {
            add(
                line,
                "ignore",
                "a test that is passed over shows nothing, and CI counts it as failed; let it run".into(),
            );
        }
        if !file.path.starts_with(UNSAFE_DIR) && find_word(text, "unsafe").is_some() {
            add(line, "unsafe", format!("unsafe code outside {UNSAFE_DIR}; find a safe call, or put it there"));
        }
        if !file.path.starts_with(SQL_DIR) && find_word(text, "sqlx").is_some() {
            add(line, "sqlx", format!("only {SQL_DIR} speaks to the database; add a call to the store"));
        }
        for word in IMPURE_WORDS.iter().filter(|word| pure && find_word(text, word).is_some()) {
            add(line, "pure", format!("{word} in a pure crate; move what waits or touches the world to its caller"));
        }
    }
    let opens = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
    if opens && !file.text.starts_with("//! ") {
        add(1, "doc", "the crate's first line is no //! doc; say in a sentence what the crate is".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        let mut found = Vec::new();
        check(&File { path: path.into(), text: text.into() }, &mut found);
        found.into_iter().map(|v| (v.line, v.rule)).collect()
    }

    #[test]
    fn a_good_file_breaks_nothing() {
        assert_eq!(rules("crates/types/src/lib.rs", "//! Types.\n\n/// One.\npub struct One;\n"), []);
    }

    #[test]
    fn words_are_found_in_code_only() {
        let path = "crates/runtime/src/a.rs";
        assert_eq!(rules(path, "fn f() {\n    todo!()\n}\n"), [(2, "undone")]);
        assert_eq!(rules(path, "fn f() {\n    dbg!(1); unimplemented!()\n}\n"), [(2, "undone"), (2, "undone")]);
        assert_eq!(rules(path, "// todo! is refused\nconst A: &str = \"unsafe sqlx todo!\";\n"), []);
        assert_eq!(rules(path, "unsafe { f() }\n"), [(1, "unsafe")]);
        assert_eq!(rules(path, "#![forbid(unsafe_code)]\n"), []);
        assert_eq!(rules(path, "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n"), [(2, "ignore")]);
        assert_eq!(rules("node-controller/libvirt/src/a.rs", "unsafe { f() }\n"), []);
        assert_eq!(rules(path, "use sqlx::Row;\n"), [(1, "sqlx")]);
        assert_eq!(rules("crates/store/src/a.rs", "use sqlx::Row;\n"), []);
        assert_eq!(rules(path, "\tf();\n"), [(1, "tab")]);
    }

    #[test]
    fn pure_crates_do_not_wait() {
        assert_eq!(rules("cluster-controller/scheduler/src/a.rs", "async fn f() {}\n"), [(1, "pure")]);
        assert_eq!(rules("cluster-controller/network/src/a.rs", "use tokio::sync::Mutex;\n"), [(1, "pure")]);
        assert_eq!(rules("cluster-controller/core/src/a.rs", "use tokio::sync::Mutex; async fn f() {}\n"), []);
    }

    #[test]
    fn marks_are_found_in_comments_of_every_language() {
        let mark = MARKS[0];
        assert_eq!(rules("a/src/a.rs", &format!("// {mark}: later\n")), [(1, "mark")]);
        assert_eq!(rules("a/src/a.rs", &format!("let a = \"{mark}\";\n")), []);
        assert_eq!(rules("deploy/x", &format!("#!/bin/bash\ntrue # {mark}\n")), [(2, "mark")]);
        assert_eq!(rules("deploy/x", "#!/bin/bash\nmktemp -d a.XXXXXX # XXXXXX\n"), []);
        assert_eq!(rules("docs/a.md", &format!("so {mark} this\n")), [(1, "mark")]);
        assert_eq!(rules("a.sql", &format!("-- {}\n", MARKS[1])), [(1, "mark")]);
    }

    #[test]
    fn registries_are_named_nowhere() {
        let host = REGISTRIES[1];
        assert_eq!(rules("deploy/x", &format!("curl https://{host}/simple\n")), [(1, "registry")]);
        assert_eq!(rules("a/src/generated/x.rs", &format!("//! {host}\n")), [(1, "registry")]);
        assert_eq!(rules("Cargo.lock", &format!("source = \"{}\"\n", REGISTRIES[0])), []);
    }

    #[test]
    fn files_are_short() {
        let lines = |n: usize| "x\n".repeat(n);
        assert_eq!(rules("a/src/a.rs", &lines(500)), []);
        assert_eq!(rules("a/src/a.rs", &lines(501)), [(501, "length")]);
        assert_eq!(rules("a/tests/it/a.rs", &lines(800)), []);
        assert_eq!(rules("a/src/tests.rs", &lines(801)), [(801, "length")]);
        assert_eq!(rules("a/src/generated/a.rs", &lines(5000)), []);
        assert_eq!(rules("docs/a.md", &lines(900)), []);
        assert_eq!(rules("deploy/x", &format!("#!/bin/bash\n{}", lines(500))), [(501, "length")]);
    }

    #[test]
    fn crates_open_with_a_sentence() {
        assert_eq!(rules("a/src/lib.rs", "use b::c;\n"), [(1, "doc")]);
        assert_eq!(rules("a/src/main.rs", "// not a doc\n"), [(1, "doc")]);
        assert_eq!(rules("a/src/other.rs", "use b::c;\n"), []);
    }
}
