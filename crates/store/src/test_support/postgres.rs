//! One PostgreSQL server per test binary: initdb in a temporary directory, no fsync, a unix socket only. A shell script
//! stands between: it holds a pipe from us, and when that closes (we ended, in whatever way) it stops the server and
//! removes the directory.

use std::io::{BufRead as _, BufReader};
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

/// `$1` is the directory of the programs. initdb refuses root, so root becomes `postgres`.
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
stop() { if [ -n "${pid:-}" ]; then kill -INT "$pid" 2>/dev/null || true; wait "$pid" || true; fi; rm -rf "$dir"; }
trap stop EXIT
$as "$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
$as "$1/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
    -c full_page_writes=off -c max_connections=200 -c shared_buffers=32MB >>"$dir/log" 2>&1 &
pid=$!
tries=0
until $as "$1/pg_isready" -q -h "$dir"; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || ! kill -0 "$pid" 2>/dev/null; then cat "$dir/log" >&2; exit 1; fi
    sleep 0.1
done
echo "$dir"
cat >/dev/null
"#;

struct Server {
    socket_folder: String,
    /// Its standard input is the pipe whose end stops the server.
    _script: Child,
}

static SERVER: OnceCell<Server> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

fn programs() -> String {
    if let Ok(folder) = std::env::var(BIN_VARIABLE) {
        return folder;
    }
    let found = BIN_PLACES.into_iter().find(|folder| std::path::Path::new(folder).join("initdb").exists());
    found
        .unwrap_or_else(|| panic!("postgresql is not installed: apt-get install postgresql, or set {BIN_VARIABLE}"))
        .to_owned()
}

fn start() -> Server {
    let mut script = Command::new("sh")
        .args(["-c", SCRIPT, "sh", &programs()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut line = String::new();
    let output = script.stdout.take().expect("the script's output is a pipe");
    BufReader::new(output).read_line(&mut line).expect("the script's output reads");
    let socket_folder = line.trim().to_owned();
    assert!(!socket_folder.is_empty(), "the test postgresql did not start; its log stands above");
    Server { socket_folder, _script: script }
}

/// The URL of a database nobody else uses.
pub(super) async fn fresh_database() -> String {
    let server = SERVER
        .get_or_init(|| async { tokio::task::spawn_blocking(start).await.expect("the test postgresql starts") })
        .await;
    let name = format!("mallee_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let url = |database: &str| format!("postgres://postgres@localhost/{database}?host={}", server.socket_folder);
    let mut admin =
        <sqlx::PgConnection as sqlx::Connection>::connect(&url("postgres")).await.expect("the server answers");
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut admin).await.expect("a fresh database");
    sqlx::Connection::close(admin).await.expect("the connection closes");
    url(&name)
}
