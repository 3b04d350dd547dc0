"""Replication into object stores that give versions ids of their own: one that does not know what it talks to, one that is
busy, and Ceph's radosgw."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from radosgw import RadosGateway
from s3_jobs import eventually
from s3_sides import Side, declared, finished, secret_file, tags, to
from s3_tools import MIB
from test_s3_replication import ended, replicate, status, versions


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    root = tmp_path_factory.mktemp("stores")
    near, far = Side(root / "near"), Side(root / "far")
    near.begin(declared("plain", far, "s3"))
    far.begin(declared("plain", near, "s3"))
    yield near, far
    for side in (near, far):
        side.store.stop()


def test_as_any_other_store(sides):
    near, far = sides
    ours, theirs = near.s3, far.s3
    source, there = near.make(), far.make()
    replicate(ours, near.role, source, to("plain", there, 1, "Enabled"))
    # It does not know that this is a Mallee; nothing goes in circles even so.
    replicate(theirs, far.role, there, to("plain", source, 1, "Enabled"))
    for n in range(5):
        ours.put_object(Bucket=source, Key="k", Body=str(n).encode(), Metadata={"one": "1"}, Tagging="a=b")
    assert ended(ours, source, "k") == "COMPLETED"
    read = theirs.get_object(Bucket=there, Key="k")
    assert read["Body"].read() == b"4" and read["Metadata"]["one"] == "1" and read["ReplicationStatus"] == "REPLICA"
    assert tags(theirs, there, "k") == {"a": "b"}
    count = len(versions(theirs, there))
    ours.put_object_tagging(Bucket=source, Key="k", Tagging={"TagSet": [{"Key": "new", "Value": "ü + x"}]})
    eventually(lambda: tags(theirs, there, "k") == {"new": "ü + x"})
    ours.delete_object_tagging(Bucket=source, Key="k")
    eventually(lambda: tags(theirs, there, "k") == {})
    assert len(versions(theirs, there)) == count, "a version for what is said of one"
    ours.delete_object(Bucket=source, Key="k")
    eventually(lambda: any(latest and marker for *_, latest, marker in versions(theirs, there)))
    large = os.urandom(MIB) * 130 + b"end"
    ours.put_object(Bucket=source, Key="large", Body=large, ServerSideEncryption="AES256")
    assert finished(ours, source, "large") == "COMPLETED"
    read = theirs.get_object(Bucket=there, Key="large")
    assert read["ETag"].endswith('-3"') and read["ReplicationStatus"] == "REPLICA" and read["ServerSideEncryption"] == "AES256"
    assert read["Body"].read() == large
    assert not theirs.list_multipart_uploads(Bucket=there).get("Uploads")
    time.sleep(3)
    assert len(versions(theirs, there)) == count + 2 and len(versions(ours, source)) == 7


class Busy:
    """A store that tells whoever writes to come again."""

    def __init__(self):
        self.count = 0
        busy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                busy.count += 1
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):
                body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_HEAD(self):
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"


def test_a_store_that_is_busy_is_asked_again(tmp_path):
    busy, near = Busy(), Side(tmp_path / "busy")
    near.begin(f"busy={busy.endpoint},kind=s3,key=A,secret-file={secret_file(tmp_path, 's')}")
    try:
        source = near.make()
        replicate(near.s3, near.role, source, to("busy", "b"))
        near.s3.put_object(Bucket=source, Key="k", Body=b"1")
        eventually(lambda: busy.count >= 3)
        assert status(near.s3, source, "k") == "PENDING"
    finally:
        near.store.stop()
        busy.server.shutdown()


@pytest.fixture(scope="module")
def gateway():
    gateway = RadosGateway()
    yield gateway
    gateway.stop()


def test_into_radosgw(gateway, tmp_path):
    near = Side(tmp_path / "near")
    more = f"kind=s3,key={gateway.access_key},secret-file={secret_file(tmp_path, gateway.secret_key)},region=default"
    # It encrypts nothing over plain HTTP.
    near.begin(f"ceph={gateway.endpoint},{more},sse=bucket", f"strict={gateway.endpoint},{more}")
    try:
        brought_into_radosgw(near, gateway.client())
    finally:
        near.store.stop()


def brought_into_radosgw(near, ceph):
    source = near.make(ObjectLockEnabledForBucket=True)
    for bucket in ("locked", "strict"):
        ceph.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    replicate(near.s3, near.role, source, to("ceph", "locked", 1, "Enabled"))
    key, until = "a b/ü+%41", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    near.s3.put_object(
        Bucket=source, Key=key, Body=b"body", ContentType="text/x", Metadata={"one": "1"}, Tagging="k=v&l=%C3%BC",
        ServerSideEncryption="AES256", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until,
    )  # fmt: skip
    large = os.urandom(MIB) * 130 + b"end"
    near.s3.put_object(Bucket=source, Key="large", Body=large)
    assert finished(near.s3, source, key) == finished(near.s3, source, "large") == "COMPLETED"
    read = ceph.get_object(Bucket="locked", Key=key)
    assert read["Body"].read() == b"body" and read["ContentType"] == "text/x" and read["Metadata"]["one"] == "1"
    assert read["ObjectLockMode"] == "GOVERNANCE" and tags(ceph, "locked", key) == {"k": "v", "l": "ü"}
    read = ceph.get_object(Bucket="locked", Key="large")
    assert read["Body"].read() == large and read["ETag"].endswith('-3"')
    # What is said of them later, without new versions.
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))
    near.s3.put_object_tagging(Bucket=source, Key="large", Tagging={"TagSet": [{"Key": "new", "Value": "1"}]})
    near.s3.put_object_retention(Bucket=source, Key=key, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": later})
    near.s3.put_object_legal_hold(Bucket=source, Key=key, LegalHold={"Status": "ON"})
    eventually(lambda: tags(ceph, "locked", "large") == {"new": "1"})
    eventually(lambda: ceph.head_object(Bucket="locked", Key=key).get("ObjectLockLegalHoldStatus") == "ON")
    retention = ceph.get_object_retention(Bucket="locked", Key=key)["Retention"]["RetainUntilDate"]
    assert retention.strftime("%Y-%m-%dT%H:%M:%SZ") == later
    assert finished(near.s3, source, key) == "COMPLETED"
    near.s3.delete_object(Bucket=source, Key="large")
    eventually(lambda: any(latest and marker for *_, latest, marker in versions(ceph, "locked")))
    assert len(versions(ceph, "locked")) == 3
    # One that is asked to encrypt and does not is told to have failed.
    other = near.make()
    replicate(near.s3, near.role, other, to("strict", "strict"))
    near.s3.put_object(Bucket=other, Key="k", Body=b"1", ServerSideEncryption="AES256")
    near.s3.put_object(Bucket=other, Key="l", Body=b"1")
    assert finished(near.s3, other, "l") == "COMPLETED"
    assert finished(near.s3, other, "k") == "FAILED"
