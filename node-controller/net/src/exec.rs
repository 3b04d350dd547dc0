//! Runs `ip`, `bridge`, `tc` and `nft`, and steps into namespaces. Every call has a deadline and bounded output.

use crate::ns;
use mallee_node_core::network::NetworkError;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest a single tool may take; an `nft` of 100,000 members takes a third of a second.
const TOOL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one look at a running tool waits at most.
const POLL: Duration = Duration::from_millis(2);
/// Most bytes of a tool's answer that are read.
const MAX_OUTPUT: u64 = 256 << 20;
/// Most characters of a tool's complaint that go into an error.
const MAX_COMPLAINT: usize = 400;

pub(crate) fn failed(what: impl std::fmt::Display) -> NetworkError {
    NetworkError::Failed(what.to_string())
}

/// Runs a blocking job (files, tools) inside a namespace on a thread of its own, which ends with it. `None`: here.
pub(crate) async fn inside<T, F>(netns: Option<&str>, job: F) -> Result<T, NetworkError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, NetworkError> + Send + 'static,
{
    let netns = netns.map(str::to_owned);
    let (tx, rx) = tokio::sync::oneshot::channel();
    let body = move || {
        let result = netns.map_or(Ok(()), |name| ns::enter(&name)).and_then(|()| job());
        // The receiver is gone when the caller was cancelled; the job is done all the same.
        drop(tx.send(result));
    };
    std::thread::Builder::new()
        .name("mallee-net".to_owned())
        .spawn(body)
        .map_err(|e| failed(format!("thread: {e}")))?;
    rx.await.map_err(|_| failed("a network job died"))?
}

/// Runs a tool with `input` on its standard input, in the namespace of the calling thread; returns what it printed.
pub(crate) fn run(program: &str, args: &[&str], input: &str) -> Result<Vec<u8>, NetworkError> {
    let spawned = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|e| NetworkError::Unsupported(format!("cannot run {program}: {e}, install it")))?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let started = Instant::now();
    let (out, complaint, status) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A tool that stops reading has failed and says why itself.
            if let Some(mut stdin) = stdin {
                drop(stdin.write_all(input.as_bytes()));
            }
        });
        let errors = scope.spawn(move || read_all(stderr));
        let output = scope.spawn(move || read_all(stdout));
        let mut pause = Duration::from_micros(300);
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if started.elapsed() > TOOL_TIMEOUT => {
                    drop(child.kill());
                    drop(child.wait());
                    break Err(failed(format!("{program} did not end within {} s", TOOL_TIMEOUT.as_secs())));
                }
                Ok(None) => {
                    // Tools run on threads of their own (`inside`), never on one of the runtime.
                    #[allow(clippy::disallowed_methods)]
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(POLL);
                }
                Err(e) => break Err(failed(format!("{program}: {e}"))),
            }
        };
        (output.join().unwrap_or_default(), errors.join().unwrap_or_default(), status)
    });
    if status?.success() {
        return Ok(out);
    }
    let complaint: String =
        String::from_utf8_lossy(&complaint).trim().replace('\n', "; ").chars().take(MAX_COMPLAINT).collect();
    Err(failed(format!("{program} {}: {complaint}", args.join(" "))))
}

fn read_all(from: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read before an error is still the best account of what happened.
        drop(from.take(MAX_OUTPUT).read_to_end(&mut bytes));
    }
    bytes
}

/// `ip -batch` over the lines; nothing for none. Stops at the first line that fails.
pub(crate) fn ip_batch(lines: &[String]) -> Result<(), NetworkError> {
    batch("ip", &[], lines)
}

/// `ip -6 -batch` over the lines: of those whose words do not say which family they are about.
pub(crate) fn ip6_batch(lines: &[String]) -> Result<(), NetworkError> {
    batch("ip", &["-6"], lines)
}

/// `tc -batch` over the lines.
pub(crate) fn tc_batch(lines: &[String]) -> Result<(), NetworkError> {
    batch("tc", &[], lines)
}

/// `bridge -batch` over the lines.
pub(crate) fn bridge_batch(lines: &[String]) -> Result<(), NetworkError> {
    batch("bridge", &[], lines)
}

fn batch(program: &str, options: &[&str], lines: &[String]) -> Result<(), NetworkError> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut text = lines.join("\n");
    text.push('\n');
    run(program, &[options, &["-batch", "-"]].concat(), &text).map(drop).map_err(|error| match error {
        NetworkError::Failed(text) => failed(format!("{text} (first of {} lines: {})", lines.len(), lines[0])),
        other => other,
    })
}

/// Deletes devices of the calling thread's namespace. One that goes by itself meanwhile (its other end went) is fine.
pub(crate) fn delete_links(names: impl Iterator<Item = String>) -> Result<(), NetworkError> {
    let lines: Vec<String> = names.map(|name| format!("link del dev {name}")).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let Err(error) = run("ip", &["-force", "-batch", "-"], &(lines.join("\n") + "\n")) else { return Ok(()) };
    let left = crate::observe::names()?;
    if left.iter().any(|name| lines.contains(&format!("link del dev {name}"))) { Err(error) } else { Ok(()) }
}

/// Loads a rule set in one transaction.
pub(crate) fn nft(rules: &str) -> Result<(), NetworkError> {
    run("nft", &["-f", "-"], rules).map(drop)
}

/// Writes kernel settings of the calling thread's namespace that differ, each a path below `/proc/sys/net`.
pub(crate) fn sysctls(settings: &[(String, &str)]) -> Result<(), NetworkError> {
    for (path, value) in settings {
        let file = format!("/proc/sys/net/{path}");
        let now = std::fs::read_to_string(&file).map_err(|e| NetworkError::Unsupported(format!("{file}: {e}")))?;
        if now.trim() != *value {
            std::fs::write(&file, value).map_err(|e| failed(format!("{file} = {value}: {e}")))?;
        }
    }
    Ok(())
}
