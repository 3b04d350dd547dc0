//! boto3 and the AWS CLI against a Walrus process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const DOMAIN: &str = "s3.smoke.local";
const SITES: &str = "web.smoke.local";

/// The server; killed and waited for when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs a script of this directory against a fresh server, with its address and what else it wants.
fn run(script: &str, more: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../.venv/bin/python");
    assert!(python.exists(), "{} is missing: deploy/test makes it (boto3 and the AWS CLI)", python.display());
    // Cargo builds examples beside the directory of the tests.
    let server = std::env::current_exe().unwrap().parent().unwrap().join("../examples/walrus_serve");
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(server)
        .arg(dir.path().join("data"))
        .args([DOMAIN, SITES])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example walrus_serve is built with the tests");
    let output = child.stdout.take().unwrap();
    let _server = Server(child);
    let mut port = String::new();
    BufReader::new(output).read_line(&mut port).unwrap();
    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let done = Command::new(python)
        // What scripts share leaves no compiled files in the tree.
        .arg("-B")
        .arg(root.join("tests").join(script))
        .arg(format!("http://127.0.0.1:{}", port.trim()))
        .arg(&scratch)
        .args(more)
        .status()
        .unwrap();
    assert!(done.success(), "see the output above");
}

#[test]
fn boto3_and_the_aws_cli() {
    run("s3_smoke.py", &[DOMAIN]);
}

#[test]
fn signatures_checksums_and_hosts() {
    run("s3_signed.py", &[DOMAIN]);
}

#[test]
fn parts_ranges_and_failures() {
    run("s3_parts.py", &[DOMAIN, SITES]);
}

#[test]
fn who_may_use_what_is_whose() {
    run("s3_access.py", &[]);
}

#[test]
fn who_may_use_what_by_lists() {
    run("s3_lists.py", &[]);
}

/// Takes a minute: that is how long the server waits for a client that does nothing.
#[test]
fn clients_that_misbehave_on_the_wire() {
    run("s3_wire.py", &[]);
}
