//! One PostgreSQL server per test run: initdb in a temporary directory, no fsync, a unix socket only. A shell script
//! stands between and stops the server and removes the directory when the run has ended, in whatever way.
//!
//! Under `cargo nextest`, where every test is a process, the first test that needs the server starts it, and the script
//! watches nextest. Under `cargo test` each test binary has its own, and the script watches a pipe from it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;

/// Where PostgreSQL's programs are, if not in one of the usual places.
const BIN_VARIABLE: &str = "MALLEE_TEST_POSTGRES_BIN";
const BIN_PLACES: [&str; 5] = [
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/local/bin",
    "/usr/bin",
];

/// The run of nextest that this test is part of.
const RUN_VARIABLE: &str = "NEXTEST_RUN_ID";

/// `$1` is the directory of the programs; `$2` the process to watch, or nothing: standard input; `$3` what else to remove
/// at the end. initdb refuses root, so root becomes `postgres`.
const SCRIPT: &str = r#"
set -eu
trap '' INT
as=
dir=$(mktemp -d /tmp/mallee-pg-XXXXXX)
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as="setpriv --reuid=postgres --regid=postgres --clear-groups --"
fi
cd /
stop() { if [ -n "${pid:-}" ]; then kill -INT "$pid" 2>/dev/null || true; wait "$pid" || true; fi; rm -rf "$dir" ${3:+"$3"}; }
trap stop EXIT
$as "$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
$as "$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
    -c full_page_writes=off -c max_connections=400 -c shared_buffers=32MB >>"$dir/log" 2>&1 &
pid=$!
tries=0
until $as "$1/pg_isready" -q -h "$dir"; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || ! kill -0 "$pid" 2>/dev/null; then cat "$dir/log" >&2; exit 1; fi
    sleep 0.1
done
echo "$dir"
exec >/dev/null 2>&1
if [ -n "$2" ]; then while kill -0 "$2"; do sleep 1; done; else cat; fi
"#;

/// Of the name of a test's database; its process's id and a number follow.
const PREFIX: &str = "mallee_";

struct Server {
    socket_folder: String,
    /// Unless shared. Its standard input is the pipe whose end stops the server.
    _script: Option<Child>,
}

static SERVER: OnceCell<Server> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

fn programs() -> String {
    if let Ok(folder) = std::env::var(BIN_VARIABLE) {
        return folder;
    }
    let found = BIN_PLACES.into_iter().find(|folder| Path::new(folder).join("initdb").exists());
    found
        .unwrap_or_else(|| panic!("postgresql is not installed: apt-get install postgresql, or set {BIN_VARIABLE}"))
        .to_owned()
}

/// Reads where the server is from the script that starts it.
fn socket_folder(script: &mut Child) -> String {
    let mut line = String::new();
    let output = script.stdout.take().expect("the script's output is a pipe");
    BufReader::new(output).read_line(&mut line).expect("the script's output reads");
    line.trim().to_owned()
}

fn start() -> Server {
    if let Ok(run) = std::env::var(RUN_VARIABLE) {
        return Server { socket_folder: shared(&run), _script: None };
    }
    let mut script = Command::new("sh")
        .args(["-c", SCRIPT, "sh", &programs(), "", ""])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let socket_folder = socket_folder(&mut script);
    assert!(!socket_folder.is_empty(), "the test postgresql did not start; its log stands above");
    Server { socket_folder, _script: Some(script) }
}

/// The server of a run of nextest, started by whoever comes first.
fn shared(run: &str) -> String {
    let folder = std::env::temp_dir().join(format!("mallee-pg-run-{run}"));
    std::fs::create_dir_all(&folder).expect("a directory of the run");
    let lock = File::create(folder.join("lock")).expect("a lock file");
    lock.lock().expect("the lock is had");
    let (place, log) = (folder.join("socket"), folder.join("log"));
    if let Ok(socket_folder) = std::fs::read_to_string(&place)
        && Path::new(&socket_folder).join(".s.PGSQL.5432").exists()
    {
        return socket_folder;
    }
    // In a session of its own, with nothing of ours open: the test that started it may end, or be killed.
    let mut script = Command::new("setsid")
        .args(["sh", "-c", SCRIPT, "sh", &programs(), &parent_id().to_string(), &folder.display().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).expect("a log of the server's start"))
        .spawn()
        .expect("setsid starts (package util-linux)");
    let socket_folder = socket_folder(&mut script);
    let why = || std::fs::read_to_string(&log).unwrap_or_default();
    assert!(!socket_folder.is_empty(), "the test postgresql did not start: {}", why());
    std::fs::write(&place, &socket_folder).expect("the place is noted");
    socket_folder
}

/// The URL of a database nobody else uses.
pub(super) async fn fresh_database() -> String {
    let server = SERVER
        .get_or_init(|| async { tokio::task::spawn_blocking(start).await.expect("the test postgresql starts") })
        .await;
    let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let name = format!("{PREFIX}{pid}_{number}");
    let url = |database: &str| format!("postgres://postgres@localhost/{database}?host={}", server.socket_folder);
    let mut admin =
        <sqlx::PgConnection as sqlx::Connection>::connect(&url("postgres")).await.expect("the server answers");
    if number == 0 {
        drop_abandoned(&mut admin).await;
    }
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut admin).await.expect("a fresh database");
    sqlx::Connection::close(admin).await.expect("the connection closes");
    url(&name)
}

/// Drops databases of tests that have ended: one takes some 8 MB.
async fn drop_abandoned(admin: &mut sqlx::PgConnection) {
    let names = sqlx::query_scalar::<_, String>("SELECT datname FROM pg_database WHERE datname LIKE 'mallee\\_%'");
    for name in names.fetch_all(&mut *admin).await.expect("a list of databases") {
        let owner = name.trim_start_matches(PREFIX).split('_').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            let gone = sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            // Another test may drop it at the same moment.
            drop(sqlx::query(gone).execute(&mut *admin).await);
        }
    }
}
