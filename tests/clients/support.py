"""A cloud of a test session as a child process, driven through its public port only."""

import itertools
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("MALLEE_BIN", ROOT / "target" / "release" / "mallee"))
START_SECONDS_MAX = 30
# Below the ports that the kernel gives to outgoing connections, which would take one before its server listens, or while
# a server that was killed starts again. Each worker of pytest-xdist has a range of its own.
PORTS_FIRST, PORTS_EACH, WORKERS_MAX = 12_000, 5_000, 4


def ports():
    """The ports of this worker, each once a round; from anywhere, for there may be another session on this machine."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS_MAX
    start = random.randrange(PORTS_EACH)
    for n in itertools.count():
        yield PORTS_FIRST + worker * PORTS_EACH + (start + n) % PORTS_EACH


PORTS = ports()


def free_port():
    for port in itertools.islice(PORTS, PORTS_EACH):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise AssertionError("no port is free")


class Cloud:
    """A `mallee up` of this test session."""

    def __init__(self, *arguments):
        assert BINARY.exists(), f"{BINARY} is missing: build it with `cargo build --release -p mallee`"
        self.directory = tempfile.TemporaryDirectory(prefix="mallee-test-")
        self.state = Path(self.directory.name)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.arguments = arguments
        self.process = None
        self.start()

    def start(self):
        self.log = open(self.state / "log", "ab")
        self.process = subprocess.Popen(
            [BINARY, "--state", self.state, "up", "--listen", f"127.0.0.1:{self.port}", *self.arguments],
            stdout=self.log,
            stderr=self.log,
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.endpoint}/health", timeout=2) as reply:
                    if reply.status == 200:
                        self.environment = self.read_environment()
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"the cloud did not start:\n{(self.state / 'log').read_text()}")

    def read_environment(self):
        lines = (self.state / "env").read_text().splitlines()
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        return {name: value.strip("'") for name, value in pairs}

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self.log.close()

    def client(self, service, **options):
        environment = self.environment
        config = options.pop("config", Config(retries={"max_attempts": 1, "mode": "standard"}))
        settings = {
            "endpoint_url": environment["AWS_ENDPOINT_URL"],
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
            "region_name": environment["AWS_DEFAULT_REGION"],
            "config": config,
        }
        return boto3.client(service, **{**settings, **options})

    def mallee(self, *arguments, check=True):
        result = subprocess.run([BINARY, "--state", self.state, *arguments], capture_output=True, text=True, timeout=120)
        if check:
            assert result.returncode == 0, f"mallee {arguments}: {result.stdout}{result.stderr}"
        return result


# For botocore's waiters: hardly a delay, and they give up after a minute or more.
PATIENCE = {"Delay": 0.01, "MaxAttempts": 6000}


def wait(client, waiter, ids):
    """botocore's own waiter for instances."""
    client.get_waiter(waiter).wait(InstanceIds=ids, WaiterConfig=PATIENCE)


def run(*command, check=True, **options):
    """Runs a program of the host; its output is part of the failure."""
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if check:
        assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"
    return result
