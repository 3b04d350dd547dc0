//! A cloud to measure: the release binary with a state directory of its own, gone when it is dropped.

use super::client::{Access, Connection, Prepared, elements};
use super::{Bench, pause};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time until instances can be launched.
const READY_MAX: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);

/// A running cloud.
#[derive(Debug)]
pub struct Cloud {
    binary: PathBuf,
    child: Child,
    /// Its state directory.
    pub state: PathBuf,
    /// How to call it.
    pub access: Access,
}

impl Cloud {
    /// Starts `mallee up` with these options and waits until it takes instances.
    pub fn start(bench: &Bench, name: &str, options: &[&str]) -> Result<Self> {
        let state = bench.scratch.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&state)?;
        let (child, access) = up(bench, name, &state, options)?;
        Ok(Self { binary: bench.binary.clone(), child, state, access })
    }

    /// Stops it, has `work` done while it does not run, and starts it again.
    pub fn pause(
        &mut self,
        bench: &Bench,
        name: &str,
        options: &[&str],
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.mallee(&["down"])?;
        self.child.wait()?;
        work()?;
        (self.child, self.access) = up(bench, name, &self.state, options)?;
        Ok(())
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a subcommand of `mallee` on this cloud; what it printed.
    pub fn mallee(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.binary).arg("--state").arg(&self.state).args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "mallee {}: {}", arguments.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A request for `count` of the smallest instances.
    pub fn run_instances(&self, count: usize) -> Result<Prepared> {
        let (image, count) = (self.mallee(&["image", "tiny"])?, count.to_string());
        let params =
            [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", &count), ("MaxCount", &count)];
        self.access.ec2("RunInstances", &params)
    }

    /// Ids of all instances in this state.
    pub fn instances(&self, connection: &mut Connection, state: &str) -> Result<Vec<String>> {
        let (mut ids, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut params =
                vec![("Filter.1.Name", "instance-state-name"), ("Filter.1.Value.1", state), ("MaxResults", "1000")];
            params.extend(token.as_deref().map(|token| ("NextToken", token)));
            let request = self.access.ec2("DescribeInstances", &params)?;
            let body = String::from_utf8_lossy(connection.call(&request)?).into_owned();
            ids.extend(elements(&body, "instanceId").into_iter().map(str::to_owned));
            match elements(&body, "nextToken").first() {
                Some(next) => token = Some((*next).to_owned()),
                None => return Ok(ids),
            }
        }
    }

    /// Waits until no instance is pending. `poll` is the time between two looks.
    pub fn settle(&self, connection: &mut Connection, poll: Duration, patience: Duration) -> Result<()> {
        let params = [("Filter.1.Name", "instance-state-name"), ("Filter.1.Value.1", "pending"), ("MaxResults", "5")];
        let pending = self.access.ec2("DescribeInstances", &params)?;
        let start = Instant::now();
        while String::from_utf8_lossy(connection.call(&pending)?).contains("<instanceId>") {
            ensure!(start.elapsed() < patience, "instances are still pending after {} s", patience.as_secs());
            pause(poll);
        }
        Ok(())
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // Guests of a real cloud go too: `down --destroy` leaves nothing. What a failed run leaves is said by the
        // next one, which finds the domain.
        drop(self.mallee(&["down", "--destroy"]));
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.state));
    }
}

/// Starts `mallee up` on a state directory.
fn up(bench: &Bench, name: &str, state: &Path, options: &[&str]) -> Result<(Child, Access)> {
    // What a cloud before it said is not where this one listens.
    drop(std::fs::remove_file(state.join("env")));
    let log = File::create(bench.scratch.join(format!("{name}.log")))?;
    let mut child = Command::new(&bench.binary)
        .arg("--state")
        .arg(state)
        .args(["up", "--listen", "127.0.0.1:0"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", bench.binary.display()))?;
    match ready(&mut child, state) {
        Ok(access) => Ok((child, access)),
        Err(error) => {
            // What failed is the error to report; the child is gone or ends with us.
            drop(child.kill());
            Err(error.context(format!("see {name}.log in {}", bench.scratch.display())))
        }
    }
}

fn ready(child: &mut Child, state: &Path) -> Result<Access> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("the cloud ended at once: {status}");
        }
        ensure!(start.elapsed() < READY_MAX, "the cloud takes no instances after {} s", READY_MAX.as_secs());
        if let Ok(access) = Access::read(state) {
            let answer =
                Connection::open(access.address).and_then(|mut c| c.answer(&access.health()).map(|(status, _)| status));
            if matches!(answer, Ok(200)) {
                return Ok(access);
            }
        }
        pause(READY_POLL);
    }
}
