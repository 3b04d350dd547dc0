//! A trail as an auditor sees it: whole after crashes, telling of every change.
#![allow(clippy::unwrap_used, missing_docs)]

use mallee_audit::read::{since, tail, verify};
use mallee_audit::{EVENT_VERSION, Journal, Position, Record, UserIdentity};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::Path;

fn record(name: &str) -> Record {
    Record {
        event_version: EVENT_VERSION.into(),
        user_identity: UserIdentity { kind: "IAMUser".into(), ..UserIdentity::default() },
        event_time: "2026-11-21T12:00:00Z".into(),
        event_ms: 1,
        event_source: "ec2.amazonaws.com".into(),
        event_name: name.into(),
        aws_region: "local".into(),
        source_ip_address: "127.0.0.1".into(),
        user_agent: "test \"\n\u{1f600}".into(),
        request_parameters: Value::Null,
        response_elements: Value::Null,
        additional_event_data: Value::Null,
        error_code: None,
        error_message: None,
        request_id: "r".into(),
        event_id: format!("e-{name}"),
        shared_event_id: None,
        read_only: false,
        resources: vec![],
        event_type: "AwsApiCall".into(),
        management_event: true,
        recipient_account_id: "000000000001".into(),
        event_category: "Management".into(),
        addendum: None,
    }
}

fn first(directory: &Path) -> std::path::PathBuf {
    directory.join("audit-00000001.jsonl")
}

/// Wherever the last bytes begin: in a line, at its first byte, in an earlier file, before all that there is.
#[tokio::test]
async fn the_end_of_a_trail_is_read_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(tail(dir.path(), 1000).unwrap(), []);
    let journal = Journal::open(dir.path()).unwrap();
    for n in 0..4 {
        journal.append(&record(&n.to_string())).await.unwrap();
    }
    drop(journal);
    let whole = fs::read(first(dir.path())).unwrap();
    let ends = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let begins: Vec<usize> = std::iter::once(0).chain(ends).collect();
    // As if the file had been full after two of them.
    for cut in [0, begins[2]] {
        if cut > 0 {
            fs::write(first(dir.path()), &whole[..cut]).unwrap();
            fs::write(dir.path().join("audit-00000002.jsonl"), &whole[cut..]).unwrap();
        }
        for bytes in 0..whole.len() + 10 {
            let start = whole.len().saturating_sub(bytes);
            let names: Vec<String> = (0..4).filter(|n| begins[*n] >= start).map(|n| n.to_string()).collect();
            let found = tail(dir.path(), bytes as u64).unwrap();
            assert_eq!(found.iter().map(|r| r.event_name.clone()).collect::<Vec<_>>(), names, "{bytes} bytes");
        }
    }
}

#[tokio::test]
async fn records_are_read_back_in_order_and_from_any_place() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    for n in 0..10 {
        journal.append(&record(&n.to_string())).await.unwrap();
    }
    let (found, at) = since(dir.path(), Position::default(), 4).unwrap();
    assert_eq!(found.iter().map(|r| r.event_name.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    assert_eq!(found[0], record("0"));
    let (rest, end) = since(dir.path(), at, 100).unwrap();
    assert_eq!(rest.len(), 6);
    assert_eq!(end, *journal.watch_written().borrow());
    assert_eq!(since(dir.path(), end, 100).unwrap(), (vec![], end));
    assert_eq!(verify(dir.path()).unwrap().sequence, 10);
}

/// Whoever was answered sees its record at once by what is said to be written, too.
#[tokio::test]
async fn what_was_answered_is_within_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let written = journal.watch_written();
    for n in 0..2000 {
        journal.append(&record(&n.to_string())).await.unwrap();
        let length = fs::metadata(first(dir.path())).unwrap().len();
        assert_eq!(*written.borrow(), Position { segment: 1, offset: length }, "after {n}");
    }
}

#[tokio::test]
async fn many_at_once_make_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let calls = (0..200).map(|n| {
        let journal = journal.clone();
        tokio::spawn(async move { journal.append(&record(&n.to_string())).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    journal.sync().await.unwrap();
    assert_eq!(verify(dir.path()).unwrap().sequence, 200);
}

#[tokio::test]
async fn a_line_that_a_crash_cut_short_is_cut_off_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    journal.append(&record("a")).await.unwrap();
    assert!(Journal::open(dir.path()).is_err(), "two writers would break the chain");
    drop(journal);
    // The writer's thread ends after the last handle.
    while Journal::open(dir.path()).is_err() {
        std::thread::yield_now();
    }
    let mut file = fs::OpenOptions::new().append(true).open(first(dir.path())).unwrap();
    file.write_all(b"{\"sequence\":2,\"prev").unwrap();
    drop(file);
    let journal = loop {
        if let Ok(journal) = Journal::open(dir.path()) {
            break journal;
        }
        std::thread::yield_now();
    };
    journal.append(&record("b")).await.unwrap();
    assert_eq!(verify(dir.path()).unwrap().sequence, 2);
    assert_eq!(since(dir.path(), Position::default(), 9).unwrap().0.len(), 2);
}

#[tokio::test]
async fn a_record_that_was_taken_out_shows() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    for name in ["a", "b", "c"] {
        journal.append(&record(name)).await.unwrap();
    }
    let text = fs::read_to_string(first(dir.path())).unwrap();
    let without: String = text.lines().enumerate().filter(|(n, _)| *n != 1).map(|(_, l)| format!("{l}\n")).collect();
    fs::write(first(dir.path()), without).unwrap();
    let error = verify(dir.path()).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("record 3 does not follow record 1"), "{error}");
}

/// A call of this name, with a request id of its own.
fn call(name: &str) -> Record {
    Record { request_id: format!("r-{name}"), ..record(name) }
}

/// Opens a trail whose writer before is about to end, and ends it.
fn reopen(directory: &Path) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        match Journal::open(directory) {
            Ok(_) => return,
            Err(error) => assert!(std::time::Instant::now() < patience, "{error}"),
        }
        std::thread::yield_now();
    }
}

/// What the trail says of each call: its name, and its error.
fn said(directory: &Path) -> Vec<(String, Option<String>)> {
    verify(directory).unwrap();
    let (records, _) = since(directory, Position::default(), 1000).unwrap();
    records.into_iter().map(|record| (record.event_name, record.error_code)).collect()
}

/// A trail in which `a` is recorded, `b` was begun, and `c` is recorded but, by its notes, open.
async fn killed_in_the_middle(directory: &Path) {
    let journal = Journal::open(directory).unwrap();
    for name in ["a", "b", "c"] {
        journal.begin(&call(name)).unwrap();
    }
    journal.append(&call("a")).await.unwrap();
    let notes = fs::read(directory.join("open-calls")).unwrap();
    journal.append(&call("c")).await.unwrap();
    journal.note(&record("looked")).await.unwrap();
    drop(journal);
    reopen_with(directory, &notes);
}

/// As if the process had been killed when its notes were these.
fn reopen_with(directory: &Path, notes: &[u8]) {
    // The writer's thread must have ended: it may still write.
    while fs::File::open(directory.join("lock")).unwrap().try_lock().is_err() {
        std::thread::yield_now();
    }
    fs::write(directory.join("open-calls"), notes).unwrap();
}

#[tokio::test]
async fn a_call_without_a_record_gets_one_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    killed_in_the_middle(dir.path()).await;
    let notes = fs::read(dir.path().join("open-calls")).unwrap();
    let before = fs::read(first(dir.path())).unwrap();
    reopen(dir.path());
    let known = |name: &str| (name.to_owned(), None);
    let whole = [known("a"), known("c"), known("looked"), ("b".to_owned(), Some("OutcomeUnknown".to_owned()))];
    assert_eq!(said(dir.path()), whole);
    let (records, _) = since(dir.path(), Position::default(), 10).unwrap();
    assert!(records[3].error_message.as_deref().unwrap().contains("not known"), "{:?}", records[3]);
    assert_eq!(fs::read(dir.path().join("open-calls")).unwrap(), b"", "nothing is open");

    // Killed in the recovery, at any byte of what it writes, and before its notes were taken away: once is enough.
    let after = fs::read(first(dir.path())).unwrap();
    for end in before.len()..=after.len() {
        fs::write(first(dir.path()), &after[..end]).unwrap();
        reopen_with(dir.path(), &notes);
        reopen(dir.path());
        assert_eq!(said(dir.path()), whole, "killed at byte {end}");
    }
    // And a loss of power, which takes records too: each has one again.
    reopen_with(dir.path(), &notes);
    fs::write(first(dir.path()), b"").unwrap();
    reopen(dir.path());
    assert!(said(dir.path()).iter().all(|(_, error)| error.is_some()));
}

#[tokio::test]
async fn closed_calls_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    for n in 0..50 {
        let call = call(&n.to_string());
        journal.begin(&call).unwrap();
        journal.append(&Record { error_code: Some("Denied".into()), ..call }).await.unwrap();
    }
    drop(journal);
    reopen_with(dir.path(), &fs::read(dir.path().join("open-calls")).unwrap());
    reopen(dir.path());
    let said = said(dir.path());
    assert_eq!(said.len(), 50);
    assert!(said.iter().all(|(_, error)| error.as_deref() == Some("Denied")));
}

/// The records of a call that two accounts are told of.
fn shared(name: &str) -> [Record; 2] {
    ["000000000001", "000000000002"].map(|account| Record {
        recipient_account_id: account.into(),
        event_id: format!("e-{name}-{account}"),
        shared_event_id: Some(format!("s-{name}")),
        ..call(name)
    })
}

/// What the trail says of calls: the account that is told, and the error.
fn told(directory: &Path) -> Vec<(String, Option<String>)> {
    verify(directory).unwrap();
    let (records, _) = since(directory, Position::default(), 1000).unwrap();
    records.into_iter().map(|record| (record.recipient_account_id, record.error_code)).collect()
}

#[tokio::test]
async fn each_account_is_told_once_wherever_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let both = |error: Option<&str>| {
        ["000000000001", "000000000002"].map(|account| (account.to_owned(), error.map(str::to_owned)))
    };
    let journal = Journal::open(dir.path()).unwrap();
    journal.begin_all(&shared("a")).unwrap();
    // Told twice, it is one.
    journal.begin_all(&shared("a")).unwrap();
    let notes = fs::read(dir.path().join("open-calls")).unwrap();
    journal.append_all(&shared("a")).await.unwrap();
    drop(journal);
    reopen_with(dir.path(), &notes);
    let whole = fs::read(first(dir.path())).unwrap();
    let line = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
    let near = |at: usize| [at.saturating_sub(1), at, at + 1];
    let ends = (0..whole.len()).step_by(101).chain(near(line)).chain([whole.len() - 1, whole.len()]);
    for end in ends {
        fs::write(first(dir.path()), &whole[..end]).unwrap();
        reopen_with(dir.path(), &notes);
        reopen(dir.path());
        let unknown = both(Some("OutcomeUnknown"));
        let expected = match end {
            end if end == whole.len() => both(None),
            end if end >= line => [both(None)[0].clone(), unknown[1].clone()],
            _ => unknown,
        };
        assert_eq!(told(dir.path()), expected, "killed at byte {end}");
    }
    // The notes, too, may be cut anywhere: no account is told of what was never begun, nor twice.
    let lines = notes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let ends: Vec<usize> = (0..notes.len()).step_by(101).chain(lines.flat_map(near)).chain([notes.len()]).collect();
    for end in ends {
        fs::write(first(dir.path()), b"").unwrap();
        reopen_with(dir.path(), &notes[..end]);
        reopen(dir.path());
        let mut accounts: Vec<_> = told(dir.path()).into_iter().map(|(account, _)| account).collect();
        let lines = accounts.len();
        accounts.dedup();
        assert_eq!((accounts.len(), lines <= 2), (lines, true), "cut at byte {end}");
    }
}
