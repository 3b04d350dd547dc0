//! Which test files call an operation.

use crate::tree::File;
use std::collections::BTreeSet;

/// Where calls of operations are looked for: whole-cloud tests, and the tests of the crates behind the API.
const PLACES: &[&str] = &["tests/", "cloud-controller/", "storage-walrus/", "mallee/"];
/// Tests below the API, which name operations and call none: the generated codecs, the engine under S3.
const BELOW: &[&str] = &["cloud-controller/ec2-types/", "storage-walrus/objects/"];
/// Files named for one operation on the page.
const NAMED_MAX: usize = 3;

/// The words of every test file.
#[derive(Debug)]
pub struct Tests<'a>(Vec<(&'a str, BTreeSet<&'a str>)>);

impl<'a> Tests<'a> {
    /// Reads the test code among the files.
    pub fn read(files: &'a [File]) -> Self {
        let wanted = |f: &&File| {
            let below = |places: &[&str]| places.iter().any(|p| f.path.starts_with(p));
            below(PLACES) && !below(BELOW)
        };
        Self(files.iter().filter(wanted).filter_map(|f| Some((f.path.as_str(), words(f)?))).collect())
    }

    /// The cell of an operation: the files that call it, by the name of AWS, of boto3, or of the AWS CLI.
    pub fn of(&self, operation: &str, offered: bool) -> String {
        let snake = snake(operation);
        let kebab = snake.replace('_', "-");
        let names = [operation, &snake, &kebab];
        let files: Vec<&str> =
            self.0.iter().filter(|(_, words)| names.iter().any(|n| words.contains(n))).map(|(path, _)| *path).collect();
        match files.len() {
            0 if offered => "none".into(),
            0 => String::new(),
            n => {
                let named: Vec<_> = files.iter().take(NAMED_MAX).map(|path| format!("`{path}`")).collect();
                let more = if n > NAMED_MAX { format!(" and {} more", n - NAMED_MAX) } else { String::new() };
                named.join(", ") + &more
            }
        }
    }
}

/// The words of a file's test code, comments left out; nothing when it has none.
fn words(file: &File) -> Option<BTreeSet<&str>> {
    let code = match file.ending() {
        "py" | "sh" | "" => file.is_test().then_some(file.text.as_str())?,
        "rs" if file.is_test() => &file.text,
        // By convention the tests are the end of a file.
        "rs" => &file.text[file.text.find("#[cfg(test)]\n")?..],
        _ => return None,
    };
    let comment = if file.ending() == "rs" { "//" } else { "#" };
    let lines = code.lines().filter(|line| !line.trim_start().starts_with(comment));
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    Some(lines.flat_map(|line| line.split(move |c| !part(c))).filter(|word| !word.is_empty()).collect())
}

/// AWS's name as boto3 writes it: `AssumeRoleWithSAML` is `assume_role_with_saml`.
fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|b| chars[b]);
        let breaks = match before {
            None => false,
            Some(b) if b.is_uppercase() => chars.get(at + 1).is_some_and(|n| n.is_lowercase()),
            Some(_) => true,
        };
        if c.is_uppercase() && breaks {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_boto3_does() {
        for (name, wanted) in [
            ("RunInstances", "run_instances"),
            ("AssumeRoleWithSAML", "assume_role_with_saml"),
            ("CreateOpenIDConnectProvider", "create_open_id_connect_provider"),
            ("AssignIpv6Addresses", "assign_ipv6_addresses"),
            ("ListObjectsV2", "list_objects_v2"),
            ("EnableMFADevice", "enable_mfa_device"),
        ] {
            assert_eq!(snake(name), wanted);
        }
    }

    #[test]
    fn calls_count_and_comments_do_not() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [
            file("tests/clients/test_a.py", "x = ec2.run_instances(\n# ec2.stop_instances()\n"),
            file("tests/real/cli.sh", "aws ec2 run-instances --count 1\n"),
            file(
                "cloud-controller/api-ec2/src/run.rs",
                "call(\"StopInstances\")\n#[cfg(test)]\nmod tests {\n call(\"StartInstances\") }",
            ),
            file("cloud-controller/ec2-types/tests/codec.rs", "RebootInstances"),
        ];
        let tests = Tests::read(&files);
        assert_eq!(tests.of("RunInstances", true), "`tests/clients/test_a.py`, `tests/real/cli.sh`");
        assert_eq!(tests.of("StartInstances", true), "`cloud-controller/api-ec2/src/run.rs`");
        assert_eq!(tests.of("StopInstances", true), "none");
        assert_eq!(tests.of("RebootInstances", false), "");
    }
}
