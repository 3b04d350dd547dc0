"""A cloud whose every tier is a process of its own, on simulated hosts, over mutual TLS on the loopback."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from support import BINARY, free_port

PATIENCE_SECONDS = 40
STOP_SECONDS_MAX = 15
TIERS = ("cloud", "walrus", "cluster", "node-1")


class Tiers:
    """The processes; `log` is the level of all of them, `cloud` more arguments of the cloud controller."""

    def __init__(self, *cloud, log="info"):
        assert BINARY.exists(), f"{BINARY} is missing: build it with `cargo build --release -p mallee`"
        self.directory = tempfile.TemporaryDirectory(prefix="mallee-tiers-")
        self.root = Path(self.directory.name)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MALLEE_"))}
        self.environment["MALLEE_LOG"] = log
        self.processes, self.arguments, self.tokens = {}, {}, []
        ports = {name: free_port() for name in ("api", "control", "cluster", "s3", "images")}
        self.address = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        self.endpoint, self.s3_endpoint = f"http://{self.address['api']}", f"http://{self.address['s3']}"
        join = ["--join", f"https://{self.address['control']}"]
        try:
            self.start("cloud", "cloud", "--listen", self.address["api"], "--control", self.address["control"], *cloud)
            self.token("walrus")
            listens = ["--listen", self.address["s3"], "--control", self.address["images"]]
            self.start("walrus", "walrus", *join, *listens, "--token", self.token("walrus"))
            listens = ["--listen", self.address["cluster"]]
            self.start("cluster", "cluster", *join, *listens, "--token", self.token("cluster"))
            node = ["--name", "node-1", "--address", "10.64.0.1", "--simulate-host"]
            self.start("node-1", "node", *join, *node, "--token", self.token("node"))
            self.run("status", "--wait", "--timeout", str(PATIENCE_SECONDS))
            lines = (self.root / "cloud" / "env").read_text().splitlines()
            pairs = (line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
            self.keys = {name: value.strip("'") for name, value in pairs}
            self.joined()
        except BaseException:
            self.stop()
            raise

    def joined(self):
        """The status is that of the nodes: the object store joins when it has looked at its disk."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.client("s3").list_buckets()
            except ClientError as error:
                late = time.monotonic() > deadline
                assert error.response["Error"]["Code"] == "ServiceUnavailable" and not late, error
                time.sleep(0.2)

    def start(self, name, *arguments):
        self.arguments[name] = arguments
        with open(self.log(name), "ab") as log:
            command = [BINARY, "--state", self.root / name, *arguments]
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )

    def restart(self, name, *more):
        """kill -9, and again; a join token is good once."""
        self.kill(name)
        arguments = list(self.arguments[name])
        if "--token" in arguments:
            at = arguments.index("--token")
            del arguments[at : at + 2]
        self.start(name, *arguments, *more)

    def kill(self, name):
        process = self.processes[name]
        assert process.poll() is None, f"{name} ended by itself:\n{self.log(name).read_text()[-3000:]}"
        process.kill()
        process.wait()

    def log(self, name):
        return self.root / f"{name}.log"

    def run(self, *arguments):
        command = [BINARY, "--state", self.root / "cloud", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=self.environment)
        assert done.returncode == 0, f"mallee {arguments}: {done.stderr}"
        return done.stdout.strip()

    def token(self, role):
        token = eventually(lambda: self.run("node", "token", "--role", role))
        self.tokens.append(token)
        return token

    def client(self, service, **options):
        settings = {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.keys["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.keys["AWS_SECRET_ACCESS_KEY"],
            "region_name": self.keys["AWS_DEFAULT_REGION"],
            "config": Config(retries={"max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"}),
        }
        return boto3.client(service, **{**settings, **options})

    def stop(self):
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=STOP_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def close(self):
        self.stop()
        self.directory.cleanup()


def eventually(attempt, seconds=PATIENCE_SECONDS):
    """Tries until nothing is wrong with it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except Exception:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.1)


def with_session(credentials):
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }
