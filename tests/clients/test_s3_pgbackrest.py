"""PostgreSQL's pgBackRest: backups and write-ahead log of a real database in Walrus, and the database out of them.

pgBackRest speaks S3 over TLS only. What terminates TLS before Walrus is here a few lines that pass bytes on."""

import shutil
import socket
import ssl
import threading

import pytest

from postgres import Postgres
from s3_tools import keys, nothing_unfinished, program
from support import run
from tiers import eventually


class TlsTerminator:
    """Listens with TLS, passes the bytes on to a port of this host as they are, and back."""

    def __init__(self, directory, port):
        key, certificate = directory / "tls.key", directory / "tls.crt"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        new = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        run(*new, "-keyout", key, "-out", certificate, *names)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.inner, self.certificate = port, certificate
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                outer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[outer], daemon=True).start()

    def serve(self, outer):
        try:
            with self.context.wrap_socket(outer, server_side=True) as outer:
                with socket.create_connection(("127.0.0.1", self.inner)) as inner:
                    back = threading.Thread(target=self.copy, args=[inner, outer], daemon=True)
                    back.start()
                    self.copy(outer, inner)
                    back.join()
        except OSError:
            pass

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


class Database(Postgres):
    """A PostgreSQL that archives its log with pgBackRest."""

    def __init__(self, cloud, bucket, tls):
        super().__init__()
        known = cloud.environment
        settings = {
            "repo1-type": "s3",
            "repo1-path": "/repository",
            "repo1-s3-bucket": bucket,
            "repo1-s3-endpoint": "localhost",
            "repo1-storage-host": "localhost",
            "repo1-storage-port": tls.port,
            "repo1-storage-ca-file": self.root / "ca.crt",
            "repo1-s3-region": known["AWS_DEFAULT_REGION"],
            "repo1-s3-uri-style": "path",
            "repo1-s3-key": known["AWS_ACCESS_KEY_ID"],
            "repo1-s3-key-secret": known["AWS_SECRET_ACCESS_KEY"],
            # So that what a small database has is sent in parts too.
            "compress-type": "none",
            "repo1-storage-upload-chunk-size": "5MiB",
            # Small files together in larger ones, of which a restore reads ranges.
            "repo1-bundle": "y",
            "repo1-retention-full": 1,
            "repo1-cipher-type": "aes-256-cbc",
            "repo1-cipher-pass": "of the tests",
            "process-max": 2,
            "start-fast": "y",
            "archive-timeout": 60,
            "log-level-console": "info",
            "log-level-file": "off",
            "lock-path": self.root / "lock",
            "spool-path": self.root / "spool",
        }
        lines = ["[global]", *(f"{name}={value}" for name, value in settings.items())]
        lines += ["[main]", f"pg1-path={self.data}", f"pg1-socket-path={self.root}", "pg1-user=postgres"]
        (self.root / "pgbackrest.conf").write_text("\n".join(lines) + "\n")
        shutil.copy(tls.certificate, self.root / "ca.crt")
        self.backrest = [program("pgbackrest"), f"--config={self.root}/pgbackrest.conf", "--stanza=main"]
        push = " ".join(map(str, [*self.backrest, "archive-push", "%p"]))
        archive = ["archive_mode = on", f"archive_command = '{push}'", "max_connections = 10", "max_wal_senders = 3"]
        self.make(*archive, options=["--wal-segsize=1"])

    def pgbackrest(self, *arguments, check=True):
        return self.run(*self.backrest, *arguments, check=check).stdout

    def is_primary(self):
        assert self.sql("SELECT pg_is_in_recovery()") == "f"


@pytest.fixture
def tls(cloud, tmp_path):
    terminator = TlsTerminator(tmp_path, cloud.port)
    yield terminator
    terminator.close()


@pytest.fixture
def database(cloud, s3_bucket, tls):
    database = Database(cloud, s3_bucket, tls)
    yield database
    database.close()


def test_a_database_comes_back_to_its_last_commit(s3, s3_bucket, database):
    database.start()
    database.pgbackrest("stanza-create")
    database.pgbackrest("check")
    database.sql("CREATE TABLE t AS SELECT n, md5(n::text) AS h FROM generate_series(1, 60000) AS n")
    database.pgbackrest("backup", "--type=full")
    database.sql("INSERT INTO t SELECT n, 'second' FROM generate_series(60001, 60010) AS n")
    database.pgbackrest("backup", "--type=incr")
    database.sql("INSERT INTO t VALUES (60011, 'after the last backup')")
    told = database.sql("SELECT count(*), sum(n), md5(string_agg(h, ',' ORDER BY n)) FROM t")
    database.sql("SELECT pg_switch_wal()")
    database.pgbackrest("check")
    assert database.pgbackrest("info").count("incr backup") == 1
    database.pgbackrest("verify")

    # The database is gone; what was archived is all there is.
    database.stop()
    shutil.rmtree(database.data)
    database.pgbackrest("restore")
    database.start()
    eventually(database.is_primary)
    assert database.sql("SELECT count(*), sum(n), md5(string_agg(h, ',' ORDER BY n)) FROM t") == told

    # A new full backup makes the old ones go.
    before = keys(s3, s3_bucket, "repository/backup/main/")
    database.pgbackrest("backup", "--type=full")
    after = keys(s3, s3_bucket, "repository/backup/main/")
    full = {name.split("/")[3] for name in after if name.split("/")[3].endswith("F")}
    assert len(full) == 1 and not any(key in before for key in after if f"/{next(iter(full))}/" in key)
    nothing_unfinished(s3, s3_bucket)
    database.stop()
    database.pgbackrest("stop")
    database.pgbackrest("stanza-delete", "--force")
    assert keys(s3, s3_bucket) == {}
