"""What the tests of S3's clients share: programs of the host, trees of files, requests put together by hand."""

import hashlib
import os
import random
import shutil
import socket
from pathlib import Path

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from support import run

MIB = 1024 * 1024
# What a program of the tests may take; each needs a fraction of it.
SECONDS_MAX = 120


def program(name):
    """A program of the host; tests are never left out because it is not there."""
    found = shutil.which(name)
    assert found, f"{name} is missing: run 'deploy/install test'"
    return found


def environment(cloud, **more):
    """What `mallee env` says, and nothing of AWS besides; a home of its own, where nobody has left settings."""
    home = cloud.state / "home"
    home.mkdir(exist_ok=True)
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_", "RESTIC_"))}
    quiet = {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""}
    return {**others, **cloud.environment, **quiet, **more}


def tool(cloud, *command, **more):
    """Calls a program until it is bound to a directory, an environment and its first arguments."""
    binary = [program(command[0]), *command[1:]]

    def call(*arguments, check=True, **options):
        options = {"env": environment(cloud, **more), "timeout": SECONDS_MAX, **options}
        return run(*binary, *arguments, check=check, **options)

    return call


def noise(size, seed=0):
    """Bytes that nothing compresses, the same each time."""
    return random.Random(seed * 2**32 + size).randbytes(size)


def plant(root, **sizes):
    """A tree of files with names that have to be escaped somewhere. More of them by name and size."""
    sizes = {"empty": 0, "small.txt": 5, "deep/a/b/c": 1000, "deep/ü +&=%41;x": 70_000, "large.bin": 11 * MIB + 7, **sizes}
    for name, size in sizes.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise(size))
    return root


def tree(root):
    """Every file below, by name, with the hash of its bytes."""
    files = (path for path in Path(root).rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def keys(s3, bucket, prefix=""):
    """Every key and its size."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}


def nothing_unfinished(s3, bucket):
    """No upload was left behind."""
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def signed(cloud, method, path, headers=None, body=None):
    """Headers of a request (of one with any body, when none is given) signed by the cloud's administrator."""
    known = cloud.environment
    request = AWSRequest(method=method, url=cloud.endpoint + path, data=body, headers=headers or {})
    if body is None:
        request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    credentials = Credentials(known["AWS_ACCESS_KEY_ID"], known["AWS_SECRET_ACCESS_KEY"])
    Signer(credentials, "s3", known["AWS_DEFAULT_REGION"]).add_auth(request)
    return {"Host": f"127.0.0.1:{cloud.port}", **dict(request.headers)}


class Signer(S3SigV4Auth):
    """Takes the payload's hash from the request where it has one."""

    def payload(self, request):
        return request.headers.get("x-amz-content-sha256") or super().payload(request)

    def _modify_request_before_signing(self, request):
        given = request.headers.get("x-amz-content-sha256")
        super()._modify_request_before_signing(request)
        if given:
            del request.headers["x-amz-content-sha256"]
            request.headers["x-amz-content-sha256"] = given


class Raw:
    """A connection on which every byte is ours."""

    def __init__(self, cloud, seconds=20):
        self.socket = socket.create_connection(("127.0.0.1", cloud.port), timeout=seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def head(self, method, path, headers):
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    def end(self):
        """Says that no more is to come; what comes back can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    def reply(self, quiet_seconds=2):
        """All that comes until the other side closes or is quiet for so long."""
        self.socket.settimeout(quiet_seconds)
        out = b""
        try:
            while chunk := self.socket.recv(65536):
                out += chunk
        except (TimeoutError, ConnectionError):
            pass
        return out
