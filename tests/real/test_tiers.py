"""Every tier as a process of its own, and a real node among them: joined by tokens over TCP, it runs a real guest."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from conftest import GUEST_SECONDS_MAX, IMAGE, Guest, RealCloud
from support import BINARY, free_port, run

ZONE_SECONDS_MAX = 60


class Tiers(RealCloud):
    """Cloud controller, Walrus, cluster controller and the node controller of this host."""

    # The session's own cloud does not start: its parts do.
    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="mallee-tiers-")
        self.top = Path(self.directory.name)
        self.top.chmod(0o755)
        self.state, self.processes = self.top / "cloud", {}
        self.port, control, cluster, s3, images = (free_port() for _ in range(5))
        join = ["--join", f"https://127.0.0.1:{control}"]
        local = "127.0.0.1:{}".format
        self.add("cloud", "--listen", local(self.port), "--control", local(control))
        self.until("the cloud answers", lambda: self.mallee("node", "token", check=False).returncode == 0)
        self.add("walrus", *join, "--listen", local(s3), "--control", local(images), token=self.token("walrus"))
        self.add("cluster", *join, "--listen", local(cluster), token=self.token("cluster"))
        # By what a private directory above its state would mean for QEMU, a node refuses to start, and says what to do.
        private = self.top / "private"
        private.mkdir(mode=0o700)
        command = [BINARY, "--state", private / "node", "node", *join, "--name", "real-1", "--token", self.token("node")]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert refused.returncode != 0 and f"chmod o+x {private}" in refused.stderr, refused.stderr
        # It had joined by then: the same state elsewhere goes on without another token.
        os.rename(private / "node", self.top / "node")
        self.add("node", *join, "--name", "real-1")
        self.until("the zone takes instances", lambda: self.mallee("status", "--wait", "--timeout", "5", check=False).returncode == 0)
        self.environment = self.read_environment()

    def add(self, name, *arguments, token=None):
        environment = {**os.environ, **({"MALLEE_TOKEN": token} if token else {})}
        log = open(self.top / f"{name}.log", "ab")
        command = [BINARY, "--state", self.top / name, name, *arguments]
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def token(self, role):
        return self.mallee("node", "token", "--role", role).stdout.strip()

    def until(self, what, reached):
        deadline = time.monotonic() + ZONE_SECONDS_MAX
        while not reached():
            logs = "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in self.top.glob("*.log"))
            assert time.monotonic() < deadline, f"{what}: not in time\n{logs}"
            time.sleep(0.2)

    def end(self):
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0

    def node_traces(self):
        traces = self.traces()
        traces["disks"] = [str(d) for d in (self.top / "node" / "node" / "instances").glob("*")]
        return traces


@pytest.fixture
def tiers():
    assert IMAGE.exists(), f"{IMAGE} is missing: build it with deploy/images/tiny/build {IMAGE}"
    before = RealCloud.traces.__get__(type("Nobody", (), {"state": Path("/nonexistent")})())()
    assert not any(before.values()), f"another Mallee cloud has things on this host: {before}"
    # What is not ours stays: a domain, a device and a namespace of somebody else.
    foreign = "foreign-to-mallee"
    xml = f"<domain type='qemu'><name>{foreign}</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    tiers = Tiers.__new__(Tiers)
    tiers.processes = {}
    try:
        run("virsh", "-q", "-c", "qemu:///system", "define", "/dev/stdin", input=xml)
        run("ip", "netns", "add", foreign)
        run("ip", "link", "add", "foreign0", "type", "bridge")
        tiers.__init__()
        yield tiers
        tiers.end()
        run(BINARY, "--state", tiers.top / "node", "down", "--destroy")
        after = tiers.node_traces()
        assert not any(after.values()), f"left on the host: {after}"
        assert foreign in run("virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name").stdout
        assert foreign in run("ip", "netns", "list").stdout
        run("ip", "link", "show", "foreign0")
    finally:
        for process in tiers.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        run("virsh", "-q", "-c", "qemu:///system", "undefine", foreign, check=False)
        run("ip", "netns", "del", foreign, check=False)
        run("ip", "link", "del", "foreign0", check=False)


def test_a_real_node_joins_and_runs_a_guest(tiers):
    image = tiers.mallee("image", "tiny", "--add", IMAGE).stdout.strip()
    key = tiers.top / "k.pem"
    key.write_text(tiers.aws("ec2", "create-key-pair", "--key-name", "k", "--query", "KeyMaterial", "--output", "text") + "\n")
    key.chmod(0o600)
    # Nobody but the host itself may come in, and a cloud of several hosts does not know which that is: it is told.
    group = tiers.aws("ec2", "describe-security-groups", "--group-names", "default", "--query", "SecurityGroups[0].GroupId", "--output", "text")
    tiers.aws("ec2", "authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0")
    instance_id = tiers.aws(
        "ec2", "run-instances", "--image-id", image, "--instance-type", "t3.nano", "--key-name", "k",
        "--query", "Instances[0].InstanceId", "--output", "text",
    )  # fmt: skip
    guest = Guest(tiers, key, instance_id)
    guest.wait("running")
    guest.address = guest.describe("PublicIpAddress")
    assert guest.ssh("id -un", seconds=GUEST_SECONDS_MAX) == "ec2-user"
    assert "real-1" in tiers.mallee("explain", guest.id).stdout
    console = tiers.aws("ec2", "get-console-output", "--instance-id", guest.id, "--query", "Output", "--output", "text")
    assert "login:" in console or "SSH HOST KEY FINGERPRINTS" in console
    tiers.mallee("check")
    tiers.aws("ec2", "terminate-instances", "--instance-ids", guest.id)
    guest.wait("terminated")
    tiers.until("nothing of the guest is left", lambda: not any(tiers.node_traces()[what] for what in ("domains", "taps", "disks")))
    tiers.mallee("check")
