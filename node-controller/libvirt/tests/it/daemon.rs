//! A libvirtd and virtlogd of our own, in a mount and a network namespace of their own: nothing of the host's libvirt
//! is seen or touched, taps die with the namespace, and the daemon may be killed.
//!
//! `/dev` in there has no `kvm`: on hosts where it exists but does not work, libvirtd would probe QEMU at each start.

use mallee_libvirt::{LibvirtConfig, LibvirtHypervisor};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SCRIPT: &str = r#"
set -e
D=$1
mkdir -p $D/run $D/lib/qemu $D/etc $D/log/qemu $D/cache $D/dev
chmod 711 $D $D/*
cp -a /etc/libvirt/*.conf $D/etc/
echo 'namespaces = []' >> $D/etc/qemu.conf
chown libvirt-qemu: $D/lib/qemu
mkdir -p /run/libvirt /var/lib/libvirt /etc/libvirt /var/log/libvirt /var/cache/libvirt
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs $D/dev
mkdir $D/dev/pts $D/dev/shm $D/dev/net
for n in null zero full random urandom tty net/tun; do cp -a /dev/$n $D/dev/$n; done
mknod -m 666 $D/dev/ptmx c 5 2
mount --bind /dev/pts $D/dev/pts
mount --bind /dev/shm $D/dev/shm
ln -s /proc/self/fd $D/dev/fd
mount --move $D/dev /dev
for d in run:/run/libvirt lib:/var/lib/libvirt etc:/etc/libvirt log:/var/log/libvirt cache:/var/cache/libvirt
do mount --bind $D/${d%%:*} ${d#*:}; done
virtlogd --pid-file $D/virtlogd.pid -d
libvirtd --pid-file $D/libvirtd.pid -d
"#;

/// Everything of one test; dropping it kills what it started and removes its files.
#[derive(Debug)]
pub struct Daemon {
    dir: TempDir,
}

impl Daemon {
    /// Starts both daemons and waits until they answer.
    pub fn start() -> Self {
        let dir = TempDir::with_prefix("mallee-libvirt-").unwrap();
        let daemon = Self { dir };
        daemon.shell(
            Command::new("unshare")
                .args(["--mount", "--net", "--propagation", "private", "sh", "-c", SCRIPT, "sh"])
                .arg(daemon.dir.path()),
        );
        daemon.wait_ready();
        daemon
    }

    fn shell(&self, command: &mut Command) {
        let log = fs::File::options().create(true).append(true).open(self.path("daemons.log")).unwrap();
        let status = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
        assert!(status.success(), "{command:?}: {}", fs::read_to_string(self.path("daemons.log")).unwrap());
    }

    fn wait_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.virsh(&["version"]).0 {
            assert!(Instant::now() < deadline, "libvirtd does not answer: {}", self.virsh(&["version"]).1);
            pause();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn uri(&self) -> String {
        format!("qemu:///system?socket={}", self.path("run/libvirt-sock").display())
    }

    pub async fn connect(&self) -> LibvirtHypervisor {
        let state = self.path("state");
        fs::create_dir_all(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o711)).unwrap();
        LibvirtHypervisor::connect(LibvirtConfig { uri: self.uri(), ..LibvirtConfig::new(state) }).await.unwrap()
    }

    /// Success, and what was printed.
    pub fn virsh(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("virsh").arg("-q").arg("-c").arg(self.uri()).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    pub fn pid(&self, daemon: &str) -> i32 {
        fs::read_to_string(self.path(&format!("{daemon}.pid"))).unwrap().trim().parse().unwrap()
    }

    /// The process id of the QEMU of `domain`.
    pub fn qemu_pid(&self, domain: &str) -> i32 {
        fs::read_to_string(self.path(&format!("run/qemu/{domain}.pid"))).unwrap().trim().parse().unwrap()
    }

    /// Makes a tap in the daemons' network namespace.
    pub fn tap(&self, name: &str) {
        self.inside(&["ip", "tuntap", "add", name, "mode", "tap"]);
    }

    /// Runs a command in the daemons' namespaces.
    pub fn inside(&self, arguments: &[&str]) {
        let pid = self.pid("virtlogd").to_string();
        self.shell(Command::new("nsenter").args(["-t", &pid, "-m", "-n"]).args(arguments));
    }

    /// kill -9, and wait until it is gone.
    pub fn kill_libvirtd(&self) {
        kill(self.pid("libvirtd"));
        fs::remove_file(self.path("libvirtd.pid")).unwrap();
    }

    pub fn start_libvirtd(&self) {
        let pid_file = self.path("libvirtd.pid");
        self.inside(&["libvirtd", "--pid-file", pid_file.to_str().unwrap(), "-d"]);
        self.wait_ready();
    }
}

/// Waits a moment between two looks.
fn pause() {
    #[allow(clippy::disallowed_methods, reason = "a test on its own thread waits for a process")]
    std::thread::sleep(Duration::from_millis(50));
}

fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !matches!(status.rsplit(") ").next().and_then(|rest| rest.chars().next()), None | Some('Z' | 'X'))
}

/// kill -9 of a process that a test started, and wait until it is gone.
pub fn kill(pid: i32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "process {pid} does not die");
        pause();
    }
}

fn kill_listed(files: &Path, suffix: &str) {
    for entry in fs::read_dir(files).into_iter().flatten().flatten() {
        let path = entry.path();
        let pid = path.to_str().filter(|p| p.ends_with(suffix)).and_then(|_| fs::read_to_string(&path).ok());
        if let Some(pid) = pid.and_then(|text| text.trim().parse().ok()).filter(|pid| is_alive(*pid)) {
            kill(pid);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // QEMUs first, then the daemons: the namespaces and their mounts end with the last process.
        kill_listed(&self.path("run/qemu"), ".pid");
        kill_listed(self.dir.path(), ".pid");
    }
}
