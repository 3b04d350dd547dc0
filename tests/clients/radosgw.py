"""Ceph's S3 (radosgw) on the loopback, from Debian's packages: a monitor, a store in memory, a gateway.

As a program (for `cargo xtask bench`) it says one line, "ADDRESS ACCESS_KEY SECRET_KEY PID...", and ends with its input.
"""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from support import free_port

PATIENCE_SECONDS = 120
STARTS_MAX = 5
STORE_BYTES = 2 << 30
# Of a benchmark: what is overwritten is collected only after hours.
BENCH_STORE_BYTES = 12 << 30
CONFIGURATION = """[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{monitor}]
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
public network = 127.0.0.0/8
run dir = {root}
log file = {root}/$name.log
admin socket = {root}/$name.asok
mon data = {root}/mon
osd data = {root}/osd
keyring = {root}/keyring
crash dir = {root}
osd objectstore = memstore
memstore device bytes = {bytes}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd class update on start = false
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 0
mon data avail crit = 0
"""


class RadosGateway:
    """`endpoint`, `access_key` and `secret_key` of a running gateway."""

    access_key, secret_key = "AKIARADOSGATEWAY0001", "rados/gateway+secret"

    def __init__(self, store_bytes=STORE_BYTES):
        self.directory = tempfile.TemporaryDirectory(prefix="mallee-radosgw-")
        self.root = Path(self.directory.name)
        monitor, gateway = free_port(), free_port()
        fsid = str(uuid.uuid4())
        text = CONFIGURATION.format(fsid=fsid, monitor=monitor, root=self.root, bytes=store_bytes)
        (self.root / "ceph.conf").write_text(text)
        (self.root / "keyring").touch()
        (self.root / "osd").mkdir()
        self.environment = {**os.environ, "CEPH_CONF": str(self.root / "ceph.conf")}
        self.endpoint = f"http://127.0.0.1:{gateway}"
        self.processes = []
        try:
            map_file = self.root / "monmap"
            self.run("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{monitor}]", "--fsid", fsid, map_file)
            self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_file)
            self.start("ceph-mon", "-i", "a")
            self.monitored()
            store = str(uuid.uuid4())
            self.run("ceph", "osd", "new", store)
            self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
            self.store()
            self.start("radosgw", "-n", "client.rgw", "--rgw-frontends", f"beast endpoint=127.0.0.1:{gateway}")
            keys = ["--access-key", self.access_key, "--secret-key", self.secret_key]
            self.run("radosgw-admin", "user", "create", "--uid", "walrus", "--display-name", "walrus", *keys)
            self.wait()
        except BaseException:
            self.stop()
            raise

    def run(self, *command):
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, timeout=PATIENCE_SECONDS
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
        return done.stdout

    def start(self, program, *arguments):
        with open(self.root / f"{program}.out", "ab") as log:
            command = [program, *arguments, "-f", "--setuser", "root", "--setgroup", "root"]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        self.processes.append(process)
        return process

    def monitored(self):
        """The monitor answers. Its client would wait without end for one that has given up, and not say why."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            ended = self.processes[0].poll()
            asked = subprocess.run(
                ["ceph", "--connect-timeout", "5", "mon", "stat"], capture_output=True, text=True, env=self.environment
            )
            if asked.returncode == 0:
                return
            late = time.monotonic() > deadline
            assert ended is None and not late, f"ceph-mon (ended: {ended}) does not answer: {self.last_words('mon.a.log', 'ceph-mon.out')}"

    def last_words(self, *logs):
        return {log: (self.root / log).read_text(errors="replace")[-2000:] for log in logs if (self.root / log).exists()}

    def store(self):
        """The store. It gives up when it asks before the monitor has told it whose it is: that is Ceph's race."""
        for _ in range(STARTS_MAX):
            store = self.start("ceph-osd", "-i", "0")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while store.poll() is None and time.monotonic() < deadline:
                if " 1 up" in self.run("ceph", "osd", "stat"):
                    return
                time.sleep(0.2)
            self.processes.remove(store)
            store.kill()
            store.wait()
        raise AssertionError(f"Ceph's store does not start: {(self.root / 'ceph-osd.out').read_text()[-2000:]}")

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="default",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=5),
        )

    def wait(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            dead = [p.args[0] for p in self.processes if p.poll() is not None]
            assert not dead, f"{dead} ended by itself; see {self.root}"
            try:
                self.client().list_buckets()
                return
            except BotoCoreError:
                assert time.monotonic() < deadline, f"radosgw does not answer; see {self.root}"
                time.sleep(0.2)

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.directory.cleanup()


if __name__ == "__main__":
    gateway = RadosGateway(BENCH_STORE_BYTES)
    try:
        address = gateway.endpoint.removeprefix("http://")
        print(address, gateway.access_key, gateway.secret_key, *(p.pid for p in gateway.processes), flush=True)
        sys.stdin.read()
    finally:
        gateway.stop()
