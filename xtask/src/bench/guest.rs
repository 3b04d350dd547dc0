//! From RunInstances to the guest's first process, beside `virsh define` and `virsh start` of the same domain.
//!
//! The tiny image prints a line on its serial console as the very first thing its first process does; both clocks stop
//! when that line is in the console's log.

use super::client::{Connection, elements};
use super::cloud::Cloud;
use super::report::{Row, Table};
use super::{Bench, median, pause, process};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const LIBVIRT: &str = "qemu:///system";
/// Where libvirt says which process is whose.
const PID_FILES: &str = "/run/libvirt/qemu";
/// What the guest says first.
const USERSPACE: &str = "MALLEE-USERSPACE";
/// Launches of each kind, taken in turn.
const ROUNDS: usize = 5;
const AIM: f64 = 1.10;
/// Software emulation on a busy machine takes its time.
const BOOT_MAX: Duration = Duration::from_secs(300);
const GONE_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);
/// Rest between two launches, so that one does not pay for the end of the other.
const REST: Duration = Duration::from_secs(1);
/// The bare domain. Not of Mallee's names, so that no cloud sweeps it.
const BARE: &str = "bench-beside-mallee";

/// Fails in one line unless real guests can run here and nobody else's do.
pub fn require_host() -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let uid = status.lines().find_map(|l| l.strip_prefix("Uid:")?.split_whitespace().nth(1));
    ensure!(uid == Some("0"), "real guests need root; run it again with sudo, or choose groups with --only");
    let domains = virsh(&["list", "--all", "--name"])?;
    let others: Vec<&str> = domains.split_whitespace().filter(|d| d.starts_with("mallee-") || *d == BARE).collect();
    ensure!(others.is_empty(), "guests of another cloud are on this host: {}", others.join(" "));
    Ok(())
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let done = Command::new(program).args(arguments).output().with_context(|| format!("running {program}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn virsh(arguments: &[&str]) -> Result<String> {
    output("virsh", &[&["-q", "-c", LIBVIRT], arguments].concat())
}

/// Measures.
pub fn run(bench: &Bench) -> Result<Table> {
    require_host()?;
    ensure!(bench.image.exists(), "no image at {0}; build it with deploy/images/tiny/build {0}", bench.image.display());
    let cloud = Cloud::start(bench, "guest", &[])?;
    cloud.mallee(&["image", "tiny", "--add", &bench.image.to_string_lossy()])?;
    // The first launch brings the image to the node; what is measured are launches of an image that is there.
    let (_, id) = launch(&cloud)?;
    let bare = Bare::like(bench, &cloud, &id)?;
    terminate(&cloud, &id)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        pause(REST);
        let (boot, id) = launch(&cloud)?;
        terminate(&cloud, &id)?;
        ours.push(boot);
        pause(REST);
        theirs.push(bare.launch()?);
    }
    let all = |boots: &[Boot]| boots.iter().map(|b| format!("{:.1}", b.wall)).collect::<Vec<_>>().join(", ");
    let wall = |boots: &[Boot]| median(boots.iter().map(|b| b.wall).collect());
    let qemu = |boots: &[Boot]| median(boots.iter().map(|b| b.qemu).collect());
    let before = |boots: &[Boot]| median(boots.iter().map(|b| b.before).collect());
    let beside = format!(
        "median of {ROUNDS} each, in turn: {} s beside {} s; until QEMU's process starts: {:.2} s beside {:.2} s; \
         CPU that QEMU took until userspace: {:.1} s beside {:.1} s",
        all(&ours),
        all(&theirs),
        before(&ours),
        before(&theirs),
        qemu(&ours),
        qemu(&theirs)
    );
    let ratio = wall(&ours) / wall(&theirs);
    let row = Row {
        what: "launch to guest userspace, EC2 API beside bare `virsh define` and `virsh start`".into(),
        figure: format!("{ratio:.3}"),
        aim: format!("≤ {AIM:.2}"),
        met: Some(ratio <= AIM),
        beside,
    };
    Ok(Table { name: "guest", rows: vec![row] })
}

/// One launch, in seconds.
#[derive(Debug, Clone, Copy)]
struct Boot {
    /// From the request to userspace.
    wall: f64,
    /// From the request to the start of QEMU's process: all that is not the guest's own booting.
    before: f64,
    /// CPU that QEMU used for it: the guest's own part, the same on both sides but for noise.
    qemu: f64,
}

/// Waits for the guest's line in its console's log.
fn userspace(domain: &str, console: &Path, start: Instant) -> Result<Boot> {
    loop {
        // The file is not there at first.
        if std::fs::read(console).is_ok_and(|text| String::from_utf8_lossy(&text).contains(USERSPACE)) {
            let wall = start.elapsed().as_secs_f64();
            let pid = std::fs::read_to_string(format!("{PID_FILES}/{domain}.pid")).context("no QEMU of this domain")?;
            let pid = pid.trim().parse()?;
            return Ok(Boot { wall, before: wall - process::age_seconds(pid)?, qemu: process::cpu_seconds(pid)? });
        }
        ensure!(start.elapsed() < BOOT_MAX, "no {USERSPACE} in {}", console.display());
        pause(POLL);
    }
}

fn directory(cloud: &Cloud, id: &str) -> PathBuf {
    cloud.state.join("node/instances").join(id)
}

/// Launches one instance and waits for its userspace; its id.
fn launch(cloud: &Cloud) -> Result<(Boot, String)> {
    let request = cloud.run_instances(1)?;
    // A boot may take longer than the cloud keeps an idle connection.
    let mut connection = Connection::open(cloud.access.address)?;
    let start = Instant::now();
    let reply = String::from_utf8_lossy(connection.call(&request)?).into_owned();
    let id = (*elements(&reply, "instanceId").first().context("a reply without an instance")?).to_owned();
    let boot = userspace(&format!("mallee-{id}"), &directory(cloud, &id).join("console.log"), start)?;
    Ok((boot, id))
}

fn terminate(cloud: &Cloud, id: &str) -> Result<()> {
    Connection::open(cloud.access.address)?.call(&cloud.access.ec2("TerminateInstances", &[("InstanceId.1", id)])?)?;
    let start = Instant::now();
    while virsh(&["list", "--all", "--name"])?.contains(id) || directory(cloud, id).exists() {
        ensure!(start.elapsed() < GONE_MAX, "{id} is terminated and still on this host");
        pause(POLL * 50);
    }
    Ok(())
}

/// The same domain without Mallee: its definition with another name, disk, console, and a network card that needs no
/// tap of ours.
#[derive(Debug)]
struct Bare {
    xml: PathBuf,
    disk: PathBuf,
    console: PathBuf,
    base: String,
    base_format: String,
    bytes: String,
}

impl Bare {
    fn like(bench: &Bench, cloud: &Cloud, id: &str) -> Result<Self> {
        let theirs = directory(cloud, id);
        let disk = theirs.join("disk.qcow2");
        let info = output("qemu-img", &["info", "-U", "--output=json", &disk.to_string_lossy()])?;
        let info: serde_json::Value = serde_json::from_str(&info)?;
        let text = |name: &str| info.get(name).and_then(|v| v.as_str()).map(str::to_owned);
        let dir = &bench.scratch;
        let bare = Self {
            xml: dir.join("bare.xml"),
            disk: dir.join("bare.qcow2"),
            console: dir.join("bare.log"),
            base: text("full-backing-filename").context("the disk has no backing file")?,
            base_format: text("backing-filename-format").context("the backing file has no format")?,
            bytes: info.get("virtual-size").and_then(serde_json::Value::as_u64).context("no size")?.to_string(),
        };
        let xml = virsh(&["dumpxml", "--inactive", &format!("mallee-{id}")])?;
        let xml = xml
            .replace(&*theirs.join("console.log").to_string_lossy(), &bare.console.to_string_lossy())
            .replace(&*disk.to_string_lossy(), &bare.disk.to_string_lossy());
        std::fs::write(&bare.xml, rename(&xml)?)?;
        Ok(bare)
    }

    /// Defines and starts it on a fresh overlay, which is made before the clock starts.
    fn launch(&self) -> Result<Boot> {
        drop(std::fs::remove_file(&self.console));
        let disk = self.disk.to_string_lossy();
        let made = ["create", "-q", "-f", "qcow2", "-b", &self.base, "-F", &self.base_format, &disk, &self.bytes];
        output("qemu-img", &made)?;
        let start = Instant::now();
        let boot = virsh(&["define", &self.xml.to_string_lossy()])
            .and_then(|_| virsh(&["start", BARE]))
            .and_then(|_| userspace(BARE, &self.console, start));
        self.remove();
        boot
    }

    fn remove(&self) {
        for verb in ["destroy", "undefine"] {
            drop(virsh(&[verb, BARE]));
        }
        drop(std::fs::remove_file(&self.disk));
    }
}

/// Another name and id for the domain, nothing of Mallee's in it, user-mode networking.
fn rename(xml: &str) -> Result<String> {
    let between = |open: &str, close: &str| xml.split_once(open).and_then(|(_, r)| r.split_once(close)).map(|(t, _)| t);
    let uuid = between("<uuid>", "</uuid>").context("a domain without uuid")?;
    let name = between("<name>", "</name>").context("a domain without name")?;
    let Some(metadata) = between("<metadata>", "</metadata>") else { bail!("a domain without metadata") };
    // An id that differs in its last digit.
    let last = if uuid.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{last}", uuid.get(..uuid.len() - 1).unwrap_or_default());
    let xml = xml
        .replace(&format!("<metadata>{metadata}</metadata>"), "")
        .replace(uuid, &other)
        .replace(&format!("<name>{name}</name>"), &format!("<name>{BARE}</name>"))
        .replace("<interface type='ethernet'>", "<interface type='user'>");
    let tap = |line: &str| line.contains("managed='no'") || line.contains("<mtu ");
    Ok(xml.lines().filter(|line| !tap(line)).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_domain_is_the_same_but_for_its_names() {
        let xml = "<domain><name>mallee-i-1</name><uuid>ab0</uuid><metadata><m id='i-1'/></metadata>\
                   <entry>ab0</entry>\n<interface type='ethernet'>\n<target dev='mt1' managed='no'/>\n<mtu size='1'/>\n</interface></domain>";
        let got = rename(xml).expect("a domain");
        assert_eq!(
            got,
            "<domain><name>bench-beside-mallee</name><uuid>ab1</uuid><entry>ab1</entry>\n<interface type='user'>\n</interface></domain>"
        );
        assert!(rename("<domain/>").is_err());
    }
}
