"""A cluster of several nodes in containers (deploy/compose), with real guests, driven by boto3 and by Docker."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))
from support import BINARY, ROOT, Cloud, free_port, run  # noqa: E402

IMAGE = Path(os.environ.get("MALLEE_TINY_IMAGE", ROOT / "target" / "tiny.qcow2"))
# The client of the distribution, where there is one: another in PATH may lack what building needs.
DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
NODES = {"node-a1": "local-1a", "node-a2": "local-1a", "node-b1": "local-1b"}
START_SECONDS_MAX = 600
# Software emulation on a busy machine: a guest may take minutes to come up.
GUEST_SECONDS_MAX = 300
# What follows by itself: a controller that is away is noticed, a node comes back.
FOLLOWS_SECONDS_MAX = 90
KEY = "/root/guest.pem"
# The label of a cluster's images.
LABEL = "mallee.compose.project"
# Whose the file with the keys must be: the user nobody.
CALLER_UID = 65534


def until(what, reached, seconds=FOLLOWS_SECONDS_MAX):
    """Waits until the function answers something true, and hands that back."""
    deadline = time.monotonic() + seconds
    while not (answer := reached()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.3)
    return answer


class Cluster(Cloud):
    """What deploy/compose/up starts."""

    def __init__(self):
        assert BINARY.exists(), f"{BINARY} is missing: build it with `cargo build --release -p mallee`"
        assert IMAGE.exists(), f"{IMAGE} is missing: build it with deploy/images/tiny/build {IMAGE}"
        self.project = f"mallee-test-{os.getpid()}"
        self.image = f"mallee-compose/{self.project}"
        self.port = free_port()
        self.settings = {
            **os.environ,
            "MALLEE_COMPOSE_PROJECT": self.project,
            "MALLEE_COMPOSE_PORT": str(self.port),
            # Beside a cluster that somebody uses.
            "MALLEE_COMPOSE_NETWORK": "172.30.84",
            "MALLEE_BIN": str(BINARY),
            "MALLEE_TINY_IMAGE": str(IMAGE),
            # As by sudo of that user.
            "SUDO_UID": str(CALLER_UID),
            "SUDO_GID": str(CALLER_UID),
        }

    def up(self):
        print(run(ROOT / "deploy" / "compose" / "up", env=self.settings, timeout=START_SECONDS_MAX).stderr)
        file = ROOT / "target" / f"{self.project}.env"
        assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (CALLER_UID, 0o600), "the caller's alone"
        self.environment = self.read_environment(file)

    def down(self):
        run(ROOT / "deploy" / "compose" / "down", env=self.settings, timeout=120)

    def read_environment(self, file):
        pairs = (line.removeprefix("export ").split("=", 1) for line in file.read_text().splitlines())
        return {name: value.strip("'") for name, value in pairs}

    def docker(self, *arguments, check=True, **options):
        return run(DOCKER, *arguments, check=check, timeout=120, **options)

    def ours(self, kind, *options):
        """Ids of the project's containers, networks or volumes; of one service of it."""
        return self.docker(kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={self.project}", *options).stdout.split()

    def images(self, label):
        return set(self.docker("image", "ls", "-q", "--filter", f"label={label}").stdout.split())

    def image_of(self, project):
        """An image without a name that counts as that project's, as one does that a newer replaced."""
        return self.docker("build", "-q", "-", input=f"FROM scratch\nLABEL {LABEL}={project}\n").stdout.strip()

    def container(self, service):
        (found,) = self.ours("container", "-a", "--filter", f"label=com.docker.compose.service={service}")
        return found

    def inside(self, service, *command, check=True, **options):
        return self.docker("exec", "-i", self.container(service), *command, check=check, **options)

    def inspect(self, service, field):
        return self.docker("inspect", "-f", f"{{{{{field}}}}}", self.container(service)).stdout.strip()

    def healthy(self, service):
        return self.inspect(service, ".State.Health.Status") == "healthy"

    def mallee(self, *arguments, check=True):
        return self.inside("cloud", "mallee", *arguments, check=check)

    def status(self):
        return json.loads(self.mallee("status", "--json").stdout)

    def node_state(self, name):
        return next(node["state"] for node in self.status()["nodes"] if node["id"] == name)

    def traces(self, node):
        """What guests leave in a node's container while they are there: domains, networks of VPCs, taps, disks."""
        links = run_lines(self.inside(node, "ip", "-o", "link"))
        namespaces = [line.split()[0] for line in run_lines(self.inside(node, "ip", "netns", "list"))]
        return {
            "domains": run_lines(self.inside(node, "virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name")),
            # The way out is the node's own, and stays.
            "namespaces": [name for name in namespaces if name != "mallee-edge"],
            "taps": [link for link in links if link.split(":")[1].strip().startswith("mt")],
            "disks": run_lines(self.inside(node, "find", "/var/lib/mallee/node/instances", "-mindepth", "1", check=False)),
            "processes": run_lines(self.inside(node, "pgrep", "-l", "qemu-system", check=False)),
        }

    def logs(self):
        services = ["postgres", "cloud", "walrus", "cluster-a", "cluster-b", *NODES]
        return "\n".join(f"--- {s}\n{self.docker('logs', '--tail', '15', self.container(s), check=False).stderr}" for s in services)


def run_lines(result):
    return [line for line in result.stdout.splitlines() if line.strip()]


class Guest:
    """A running instance, and the node that it is on: from there it is logged in to."""

    def __init__(self, cluster, instance_id):
        self.cluster, self.id, self.ec2 = cluster, instance_id, cluster.client("ec2")
        self.wait("running")
        self.node = next(node for node in NODES if f"node {node}." in cluster.mallee("explain", self.id).stdout)
        self.private = self.describe()["PrivateIpAddress"]

    def describe(self):
        return self.ec2.describe_instances(InstanceIds=[self.id])["Reservations"][0]["Instances"][0]

    def wait(self, state):
        until(f"{self.id} is {state}", lambda: self.describe()["State"]["Name"] == state, GUEST_SECONDS_MAX)

    def ssh(self, command, check=True, seconds=GUEST_SECONDS_MAX):
        """Runs a command in the guest; until it answers, tries again."""
        deadline = time.monotonic() + seconds
        address = self.describe()["PublicIpAddress"]
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=10", "LogLevel=ERROR")
        words = [word for option in options for word in ("-o", option)]
        while True:
            result = self.cluster.inside(self.node, "ssh", "-i", KEY, *words, f"ec2-user@{address}", command, check=False)
            if result.returncode == 0 or (result.returncode != 255 and not check):
                return result.stdout.strip()
            if result.returncode != 255 or time.monotonic() > deadline:
                console = self.ec2.get_console_output(InstanceId=self.id).get("Output", "")
                raise AssertionError(f"ssh {command!r}: {result.stdout}{result.stderr}\nconsole:\n{console[-4000:]}")
            time.sleep(1)

    def reaches(self, address):
        return "1 packets received" in self.ssh(f"sudo ping -c 1 -W 2 {address}", check=False)

    def boot(self):
        return self.ssh("cat /proc/sys/kernel/random/boot_id")


@pytest.fixture(scope="session")
def cluster():
    assert shutil.which(DOCKER) and subprocess.run([DOCKER, "info"], capture_output=True, timeout=60).returncode == 0, (
        "no Docker daemon answers: start one, or run `deploy/test compose`, which does"
    )
    cluster = Cluster()
    try:
        cluster.up()
        yield cluster
        print(cluster.logs())
        bases = cluster.images("mallee.compose.base") - cluster.images(LABEL)
        cluster.image_of(cluster.project)
        stranger = cluster.image_of("another")
        cluster.down()
        assert cluster.images("mallee.compose.base") >= bases, "another project needs the base too"
        cluster.docker("image", "rm", stranger)
    finally:
        cluster.down()
    left = {kind: cluster.ours(kind, *(["-a"] if kind == "container" else [])) for kind in ("container", "network", "volume")}
    assert not any(left.values()), f"deploy/compose/down left {left}"
    assert not cluster.images(f"{LABEL}={cluster.project}")


@pytest.fixture(scope="session")
def group(cluster):
    """A security group that lets SSH in from anywhere, and nothing else."""
    ec2 = cluster.client("ec2")
    group = ec2.create_security_group(GroupName="guests", Description="guests of the tests")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
    return group


@pytest.fixture(scope="session")
def launch(cluster, group):
    ec2 = cluster.client("ec2")
    material = ec2.create_key_pair(KeyName="k")["KeyMaterial"]
    for node in NODES:
        cluster.inside(node, "sh", "-c", f"umask 077; cat >{KEY}", input=material)
    image = cluster.mallee("image", "tiny").stdout.strip()

    def launch(count, **options):
        reply = ec2.run_instances(
            ImageId=image, InstanceType="t3.nano", KeyName="k", MinCount=count, MaxCount=count, SecurityGroupIds=[group], **options
        )
        return [Guest(cluster, instance["InstanceId"]) for instance in reply["Instances"]]

    return launch


@pytest.fixture(scope="session")
def pair(cluster, launch):
    """Two guests of one subnet in zone a, on different nodes."""
    cluster.client("ec2").create_placement_group(GroupName="apart", Strategy="spread")
    guests = launch(2, Placement={"AvailabilityZone": "local-1a", "GroupName": "apart"})
    return sorted(guests, key=lambda guest: guest.node)
