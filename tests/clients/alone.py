"""`mallee walrus --data DIR`: an object store without a cloud, as a process of its own."""

import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

from support import BINARY, START_SECONDS_MAX, free_port


class Alone:
    """The process; `more` are arguments, `secrets` what its environment has besides."""

    def __init__(self, data, *more, **secrets):
        self.data, self.more, self.secrets = Path(data), more, secrets
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.log = open(self.data / "log", "ab")
        command = [BINARY, "walrus", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", *self.more]
        environment = {**os.environ, **self.secrets}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.endpoint}/health", timeout=2) as reply:
                    if reply.status == 200:
                        break
            except OSError:
                time.sleep(0.05)
        assert self.process.poll() is None, (self.data / "log").read_text()
        lines = (self.data / "env").read_text().splitlines()
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        self.environment = {name: value.strip("'") for name, value in pairs}

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=20) == 0
        self.log.close()

    def client(self, service, key=None, secret=None):
        environment = self.environment
        return boto3.client(
            service,
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=key or environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret or environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_DEFAULT_REGION"],
            config=Config(retries={"max_attempts": 1}),
        )

    def mallee(self, *arguments, check=True):
        plain = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        command = [BINARY, "--state", self.data, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=plain)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result
