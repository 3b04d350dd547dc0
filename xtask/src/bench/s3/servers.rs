//! The servers: ours, nginx over a directory of the same files, which also takes them (its DAV module), and Ceph's S3.

use super::super::client::Access;
use super::super::cloud::Cloud;
use super::super::{Bench, pause};
use crate::tree;
use anyhow::{Context as _, Result, ensure};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time until nginx listens.
const READY_MAX: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(20);
/// Its processes that serve: one for each core of the machine of the budget.
const WORKERS: usize = 2;
/// What `walrus_serve` (storage-walrus/examples) knows.
const SERVE_KEYS: (&str, &str, &str) = ("AKIAWALRUSTEST000001", "walrus/test+secret", "us-east-1");

/// Our server: a cloud, or Walrus alone where the binary to measure is the example `walrus_serve`.
#[derive(Debug)]
pub enum Ours {
    /// `mallee up`: S3 behind the one port, with policies and records.
    Cloud(Box<Cloud>),
    /// `walrus_serve`: the object store and nothing before it.
    Alone(Alone),
}

/// A running `walrus_serve`.
#[derive(Debug)]
pub struct Alone {
    child: Child,
    dir: PathBuf,
    access: Access,
}

impl Ours {
    /// Starts it.
    pub fn start(bench: &Bench) -> Result<Self> {
        if bench.binary.file_name().is_some_and(|name| name == "walrus_serve") {
            let dir = bench.scratch.join("s3-alone");
            return Ok(Self::Alone(serve(bench, dir)?));
        }
        Ok(Self::Cloud(Box::new(Cloud::start(bench, "s3", &["--simulate", "1"])?)))
    }

    /// Stops it, has `work` done on its database, and starts it again.
    pub fn pause(&mut self, bench: &Bench, work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        match self {
            Self::Cloud(cloud) => {
                let database = cloud.state.join("mallee.db");
                cloud.pause(bench, "s3", &["--simulate", "1"], || work(&database))
            }
            Self::Alone(alone) => {
                drop(alone.child.stdin.take());
                alone.child.wait()?;
                work(&alone.dir.join("walrus.db"))?;
                let again = serve(bench, alone.dir.clone())?;
                *self = Self::Alone(again);
                Ok(())
            }
        }
    }

    /// How to call it.
    pub fn access(&self) -> &Access {
        match self {
            Self::Cloud(cloud) => &cloud.access,
            Self::Alone(alone) => &alone.access,
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        match self {
            Self::Cloud(cloud) => cloud.pid(),
            Self::Alone(alone) => alone.child.id(),
        }
    }

    /// What it is, in a word or two.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cloud(_) => "`mallee up`",
            Self::Alone(_) => "Walrus alone",
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn serve(bench: &Bench, dir: PathBuf) -> Result<Alone> {
    let log = File::create(bench.scratch.join("s3-alone.log"))?;
    let mut child = Command::new(&bench.binary)
        .arg(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("starting walrus_serve")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    let port: u16 = line.trim().parse().context("walrus_serve said no port")?;
    let (key, secret, region) = SERVE_KEYS;
    let access = Access::known(SocketAddr::from(([127, 0, 0, 1], port)), key, secret, region);
    Ok(Alone { child, dir, access })
}

/// nginx with the directory it serves.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its workers.
    pub workers: Vec<u32>,
}

impl Nginx {
    /// Starts it; fails, with what to do about it, where there is none or it has no DAV.
    pub fn start(bench: &Bench) -> Result<Self> {
        let missing = "nginx with its DAV module is needed: apt-get install nginx-light";
        let said = Command::new("nginx").arg("-V").output().context(missing)?;
        ensure!(String::from_utf8_lossy(&said.stderr).contains("http_dav_module"), "{missing}");
        let dir = bench.scratch.join("nginx");
        for sub in ["files", "body", "other"] {
            std::fs::create_dir_all(dir.join(sub))?;
        }
        // Taken, found free, and given back: nobody else on this machine takes ports of loopback at random.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let conf = dir.join("nginx.conf");
        std::fs::write(&conf, config(&dir, address))?;
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&conf)
            .arg("-e")
            .arg(dir.join("error.log"))
            .stdin(Stdio::null())
            .spawn()
            .context("starting nginx")?;
        let mut this = Self { child, address, workers: Vec::new() };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(start.elapsed() < READY_MAX, "nginx does not listen: see {}/error.log", dir.display());
            pause(READY_POLL);
        }
        // It listens before it has its workers.
        let pid = this.child.id();
        while this.workers.len() < WORKERS {
            ensure!(start.elapsed() < READY_MAX, "nginx has no workers: see {}/error.log", dir.display());
            pause(READY_POLL);
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
            this.workers = children.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        }
        Ok(this)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers go when the master does: it is told to, and tells them.
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.child.wait());
    }
}

/// radosgw with a store in memory, as the client tests start it.
#[derive(Debug)]
pub struct Rados {
    child: Child,
    /// How to call it.
    pub access: Access,
    /// The gateway, the store and the monitor.
    pub pids: Vec<u32>,
}

impl Rados {
    /// Starts it; fails, with what to do about it, where it is missing.
    pub fn start(bench: &Bench) -> Result<Self> {
        let root = tree::root()?;
        let log = File::create(bench.scratch.join("radosgw.log"))?;
        let mut child = Command::new(root.join(".venv/bin/python"))
            .arg(root.join("tests/clients/radosgw.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("radosgw is needed, and the Python environment of the tests: deploy/install test")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut word = || words.next().with_context(|| format!("see {}/radosgw.log", bench.scratch.display()));
        let (address, key, secret) = (word()?.parse()?, word()?.to_owned(), word()?.to_owned());
        let pids = words.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { child, access: Access::known(address, &key, &secret, "default"), pids })
    }
}

impl Drop for Rados {
    fn drop(&mut self) {
        // It stops its processes when its input ends.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

fn config(dir: &Path, address: SocketAddr) -> String {
    let at = dir.display();
    format!(
        "daemon off;\nuser root;\nworker_processes {WORKERS};\npid {at}/pid;\nevents {{ worker_connections 512; }}\nhttp {{\n\
         access_log off;\nsendfile on;\ntcp_nopush on;\ntcp_nodelay on;\nkeepalive_requests 100000000;\n\
         client_body_temp_path {at}/body;\nproxy_temp_path {at}/other;\nfastcgi_temp_path {at}/other;\n\
         uwsgi_temp_path {at}/other;\nscgi_temp_path {at}/other;\nclient_max_body_size 128m;\n\
         server {{ listen {address}; location / {{ root {at}/files; dav_methods PUT; create_full_put_path on; }} }}\n}}\n"
    )
}
