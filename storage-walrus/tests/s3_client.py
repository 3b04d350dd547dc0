"""What s3_smoke.py and s3_signed.py share: clients of a Walrus, and requests signed as no client would."""

import hashlib
import http.client
import pathlib
import random
import sys
import urllib.parse

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ENDPOINT, SCRATCH, DOMAIN = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
SECRET = "walrus/test+secret"
KEYS = ("AKIAWALRUSTEST000001", "AKIAWALRUSTEST000002")
ACCOUNTS = ("111111111111", "222222222222")
CANONICAL = hashlib.sha256(b"mallee canonical 111111111111").hexdigest()
HOST = urllib.parse.urlsplit(ENDPOINT).netloc
MIB = 1 << 20
RANDOM = random.Random(7)


def client(key=0, region="us-east-1", **config):
    config.setdefault("retries", {"max_attempts": 1, "mode": "standard"})
    config.setdefault("s3", {"addressing_style": "path"})
    return boto3.client(
        "s3", endpoint_url=ENDPOINT, region_name=region, aws_access_key_id=KEYS[key], aws_secret_access_key=SECRET,
        config=Config(**config),
    )


S3 = client()
OTHER = client(1)


def data(size):
    return RANDOM.randbytes(size)


def refused(code, status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ClientError as error:
        got = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (code, status), f"expected {code} {status}, got {error.response}"
        return error.response
    raise AssertionError(f"expected {code}, but it was done")


def bucket(name, s3=S3):
    s3.create_bucket(Bucket=name)
    return name


class Auth(S3SigV4Auth):
    """Signs with a body hash of our choice."""

    def __init__(self, payload=None):
        super().__init__(Credentials(KEYS[0], SECRET), "s3", "us-east-1")
        self.chosen = payload

    def payload(self, request):
        return self.chosen or super().payload(request)


def signed(method, path, body=b"", headers=None, payload=None):
    """A request signed by botocore with headers of our own choice; gives status, headers, body."""
    request = AWSRequest(method=method, url=ENDPOINT + path, data=body, headers=dict(headers or {}))
    Auth(payload).add_auth(request)
    connection = http.client.HTTPConnection(HOST, timeout=20)
    connection.request(method, path, body=body, headers=dict(request.headers))
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, dict(reply.getheaders()), content


def run(tests):
    """Every function named test_* runs, or those that are named behind the domain; the first failure ends the run with
    a traceback and a non-zero status."""
    only = sys.argv[4:]
    for name, test in list(tests.items()):
        if name.startswith("test_") and (not only or name in only):
            test()
            print("ok", name, flush=True)
