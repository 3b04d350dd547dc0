"""A real cloud on this host: libvirt guests under software emulation, the kernel's network, the AWS CLI as client."""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))
from support import ROOT, Cloud, run  # noqa: E402

IMAGE = Path(os.environ.get("MALLEE_TINY_IMAGE", ROOT / "target" / "tiny.qcow2"))
# Software emulation on a busy machine: a guest may take minutes to come up.
GUEST_SECONDS_MAX = 300
# As on EC2, a call answers when it is decided; the network follows a moment later.
FOLLOWS_SECONDS_MAX = 30


class RealCloud(Cloud):
    def aws(self, *arguments, check=True):
        environment = {**os.environ, **self.environment, "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1"}
        aws = ROOT / ".venv" / "bin" / "aws"
        assert aws.exists(), f"{aws} is missing: run deploy/install test"
        result = run(aws, *arguments, check=check, env=environment, timeout=GUEST_SECONDS_MAX)
        return result.stdout.strip() if check else result

    def traces(self):
        """Everything of ours on the host: domains, devices, namespaces, tables, disks."""
        domains = run("virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name").stdout.split()
        links = [line.split(":")[1].strip() for line in run("ip", "-o", "link").stdout.splitlines()]
        namespaces = [line.split()[0] for line in run("ip", "netns", "list").stdout.splitlines() if line.strip()]
        disks = list((self.state / "node" / "instances").glob("*"))
        return {
            "domains": [d for d in domains if d.startswith("mallee-")],
            "taps": [x for x in links if x.startswith("mt")],
            "namespaces": [n for n in namespaces if n.startswith("mallee")],
            "disks": [str(d) for d in disks],
        }


@pytest.fixture(scope="session")
def cloud():
    assert os.geteuid() == 0, "the tests with real guests need root"
    assert IMAGE.exists(), f"{IMAGE} is missing: build it with deploy/images/tiny/build {IMAGE}"
    before = RealCloud.traces.__get__(type("Nobody", (), {"state": Path("/nonexistent")})())()
    assert not any(before.values()), f"another Mallee cloud has left things on this host: {before}"
    cloud = RealCloud()
    cloud.mallee("image", "tiny", "--add", IMAGE)
    yield cloud
    cloud.stop()
    cloud.mallee("down", "--destroy")
    after = cloud.traces()
    assert not any(after.values()), f"`mallee down --destroy` left {after}"
    assert not cloud.state.exists()


@pytest.fixture(scope="session")
def key(cloud):
    path = cloud.state.parent / f"{cloud.state.name}.pem"
    path.write_text(cloud.aws("ec2", "create-key-pair", "--key-name", "k", "--query", "KeyMaterial", "--output", "text") + "\n")
    path.chmod(0o600)
    yield path
    path.unlink()


class Guest:
    """An instance that can be logged in to."""

    def __init__(self, cloud, key, instance_id):
        self.cloud, self.key, self.id = cloud, key, instance_id
        self.address = None

    def describe(self, query):
        return self.cloud.aws(
            "ec2", "describe-instances", "--instance-ids", self.id, "--query", f"Reservations[0].Instances[0].{query}", "--output", "text"
        )

    def until_port(self, is_open, why):
        """Until SSH's port answers, or nobody answers there any more."""
        deadline = time.monotonic() + FOLLOWS_SECONDS_MAX
        # What answers must be a guest: beyond this host there may be somebody who takes every connection.
        command = ["timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/{self.address}/22 && head -c 4 <&3"]
        while (run(*command, check=False).stdout == "SSH-") != is_open:
            assert time.monotonic() < deadline, why
            time.sleep(0.2)

    def ssh(self, command, check=True, seconds=GUEST_SECONDS_MAX):
        """Runs a command in the guest; until it answers, tries again."""
        deadline = time.monotonic() + seconds
        while True:
            result = run(
                "ssh", "-i", self.key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
                "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR", f"ec2-user@{self.address}", command, check=False, timeout=120,
            )  # fmt: skip
            if result.returncode == 0 or (result.returncode != 255 and not check):
                return result.stdout.strip()
            if result.returncode != 255 or time.monotonic() > deadline:
                console = self.cloud.aws("ec2", "get-console-output", "--instance-id", self.id, "--query", "Output", "--output", "text", check=False)
                raise AssertionError(f"ssh {command!r}: {result.stdout}{result.stderr}\nconsole:\n{console.stdout[-4000:]}")
            time.sleep(1)

    def wait(self, state):
        self.cloud.aws("ec2", "wait", f"instance-{state}", "--instance-ids", self.id)


@pytest.fixture(scope="session")
def start(cloud, key):
    def launch(*options):
        image = cloud.mallee("image", "tiny").stdout.strip()
        instance_id = cloud.aws(
            "ec2", "run-instances", "--image-id", image, "--instance-type", "t3.nano", "--key-name", "k",
            "--query", "Instances[0].InstanceId", "--output", "text", *options,
        )  # fmt: skip
        guest = Guest(cloud, key, instance_id)
        guest.wait("running")
        guest.address = guest.describe("PublicIpAddress")
        return guest

    return launch
