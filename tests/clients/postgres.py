"""A PostgreSQL of its own in a temporary directory, on a socket only. Root becomes `postgres`, for it refuses root."""

import os
import shutil
import tempfile
from pathlib import Path

from s3_tools import SECONDS_MAX
from support import run

SERVER_PLACES = ["/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin"]


class Postgres:
    def __init__(self):
        places = [place for place in SERVER_PLACES if Path(place, "initdb").exists()]
        assert places, "PostgreSQL is missing: run 'deploy/install test'"
        self.programs = Path(places[-1])
        self.root = Path(tempfile.mkdtemp(prefix="mallee-postgres-", dir="/tmp"))
        self.data = self.root / "data"

    def make(self, *settings, options=()):
        """The cluster, after all that its server reads is in `root`."""
        if os.getuid() == 0:
            for path in [self.root, *self.root.iterdir()]:
                shutil.chown(path, "postgres")
        fixed = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        self.run(self.programs / "initdb", "-D", self.data, *fixed, *options)
        with open(self.data / "postgresql.conf", "a") as out:
            places = f"listen_addresses = ''\nunix_socket_directories = '{self.root}'\n"
            out.write(places + "fsync = off\nshared_buffers = 16MB\n" + "".join(f"{line}\n" for line in settings))

    def run(self, *command, check=True):
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] if os.getuid() == 0 else []
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AWS_", "SSL_"))}
        environment = {**plain, "HOME": str(self.root)}
        return run(*user, *command, check=check, env=environment, cwd=self.root, timeout=SECONDS_MAX)

    @property
    def url(self):
        return f"postgres://postgres@localhost/postgres?host={self.root}"

    def start(self):
        self.run(self.programs / "pg_ctl", "-D", self.data, "-l", self.root / "log", "-w", "-t", "60", "start")

    def stop(self):
        self.run(self.programs / "pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", "60", "stop", check=False)

    def sql(self, text):
        return self.run(self.programs / "psql", "-h", self.root, "-U", "postgres", "-XAtc", text).stdout.strip()

    def close(self):
        if self.data.exists():
            self.stop()
        shutil.rmtree(self.root)
