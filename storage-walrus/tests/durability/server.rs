//! The example server as a process of its own, to be killed.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Packs are small, so that many are sealed and compacted.
pub const PACK_BYTES: u64 = 300_000;

/// A server; killed and waited for when dropped.
pub struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    pub address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where cargo builds it: beside the directory of the tests.
fn program() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().join("../examples/walrus_serve")
}

/// The directories of a server's state.
pub fn database(dir: &Path) -> PathBuf {
    dir.join("walrus.db")
}
pub fn objects(dir: &Path) -> PathBuf {
    dir.join("objects")
}

impl Server {
    pub fn start(dir: &Path) -> Self {
        Self::start_reserving(dir, 0)
    }

    /// Which keeps so many bytes of its disk free.
    pub fn start_reserving(dir: &Path, reserve: u64) -> Self {
        Self::spawn(dir, &[], reserve).expect("the server starts")
    }

    /// With these arguments of strace before it, if there are any. `None`: it did not come up.
    pub fn start_with(dir: &Path, strace: &[String]) -> Option<Self> {
        Self::spawn(dir, strace, 0)
    }

    fn spawn(dir: &Path, strace: &[String], reserve: u64) -> Option<Self> {
        let mut command = if strace.is_empty() {
            Command::new(program())
        } else {
            let mut command = Command::new("strace");
            // -D: the server is our child, not strace, so that it is the server that is killed.
            command.args(["-D", "-f", "-qq"]).args(strace).arg(program());
            command
        };
        command
            .arg(dir)
            .env("WALRUS_RESERVE", reserve.to_string())
            .env("WALRUS_PACK", PACK_BYTES.to_string())
            .env("MALLEE_LOG", std::env::var("MALLEE_LOG").unwrap_or_else(|_| "off".to_owned()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the example server and strace are there (deploy/install)");
        let stdin = child.stdin.take();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let mut server = Self { child, stdin, address: ([127, 0, 0, 1], 0).into() };
        server.address.set_port(port.trim().parse().ok()?);
        Some(server)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Lets it end by itself.
    pub fn stop(&mut self) {
        drop(self.stdin.take());
        drop(self.child.wait());
    }
}
