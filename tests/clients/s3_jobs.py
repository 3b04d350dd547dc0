"""A Walrus whose days are short, with a webhook and a queue of this process: for tests of its background work.

It is the one of a `mallee up`; with WALRUS_SERVE, that example of the crate mallee-walrus (built in a tenth of the time).
"""

import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from support import Cloud
from test_iam import euare

DAY_SECONDS = 2
LOG_SECONDS = 1
ACCOUNT = "111111111111"
SITES = "web.cloud.test"


class Receiver:
    """An HTTP server that keeps what it is told, and answers as it is bid."""

    def __init__(self):
        self.bodies = []
        self.status = 200
        self.delay = 0
        self.headers = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                status = receiver.status
                time.sleep(receiver.delay)
                receiver.bodies.append((self.path, status, body))
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]

    def texts(self):
        """What was taken, oldest first: the messages of queues out of their forms."""
        for path, status, body in list(self.bodies):
            if status == 200:
                form = urllib.parse.parse_qs(body) if body.startswith("Action=") else {}
                yield json.loads(form.get("MessageBody", [body])[0])

    def records(self, bucket):
        return [r for t in self.texts() for r in t.get("Records", []) if r["s3"]["bucket"]["name"] == bucket]

    def tests(self, bucket):
        return [t for t in self.texts() if t.get("Event") == "s3:TestEvent" and t["Bucket"] == bucket]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Store:
    def __init__(self, log_seconds=LOG_SECONDS):
        self.hook, self.queue = Receiver(), Receiver()
        hook = f"hook=http://127.0.0.1:{self.hook.port}/in"
        queue = f"jobs=http://127.0.0.1:{self.queue.port}/{ACCOUNT}/jobs"
        dead = "dead=http://127.0.0.1:9/"
        example = os.environ.get("WALRUS_SERVE")
        self.cloud, self.process = None, None
        if example:
            self.directory = tempfile.TemporaryDirectory(prefix="walrus-test-")
            days = {"WALRUS_DAY": str(DAY_SECONDS), "WALRUS_LOGS": str(log_seconds)}
            self.environment = {**os.environ, **days, "WALRUS_WEBHOOK": f"{hook} {dead}", "WALRUS_QUEUE": queue}
            self.command = [example, self.directory.name, "s3.cloud.test", SITES]
            self.region, self.account = "us-east-1", ACCOUNT
            self.begin()
        else:
            days = ["--s3-lifecycle-day", str(DAY_SECONDS), "--s3-log-delivery", str(log_seconds)]
            targets = ["--s3-webhook", hook, "--s3-webhook", dead, "--s3-queue", queue, "--s3-private-targets"]
            self.cloud = Cloud("--simulate", "1", *days, "--s3-website-domain", SITES, *targets)
            client = self.cloud.client("s3")
            self.region, self.endpoint = client.meta.region_name, client.meta.endpoint_url
            self.account = self.cloud.client("sts").get_caller_identity()["Account"]

    def begin(self):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, env=self.environment)
        self.endpoint = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def restart(self):
        """Ends it in order, and begins it again over what it has kept."""
        if self.cloud:
            self.cloud.stop()
            self.cloud.start()
        else:
            self.process.stdin.close()
            self.process.wait(timeout=10)
            self.begin()

    def client(self):
        if self.cloud:
            config = Config(signature_version="s3v4", retries={"max_attempts": 1, "mode": "standard"})
            return self.cloud.client("s3", config=config)
        return self.signed("AKIAWALRUSTEST000001", "walrus/test+secret")

    def signed(self, key, secret):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name=self.region,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def other(self):
        """A client of another account, and that account."""
        if not self.cloud:
            return self.signed("AKIAWALRUSTEST000002", "walrus/test+secret"), "222222222222"
        made = euare(self.cloud, "CreateAccount", AccountName=f"other-{uuid.uuid4().hex[:8]}").text
        text = lambda element: made.split(f"<{element}>")[1].split(f"</{element}>")[0]
        return self.signed(text("AccessKeyId"), text("SecretAccessKey")), text("AccountId")

    def nobody(self):
        config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=self.region, config=config)

    def arn(self, service, name):
        return f"arn:aws:{service}:{self.region}:{self.account}:{name}"

    def stop(self):
        if self.cloud:
            self.cloud.stop()
            self.cloud.directory.cleanup()
        if self.process:
            self.process.stdin.close()
            self.process.wait(timeout=10)
            self.directory.cleanup()
        self.hook.close()
        self.queue.close()


@pytest.fixture(scope="module")
def store():
    store = Store()
    yield store
    store.stop()


@pytest.fixture(scope="module")
def s3(store):
    return store.client()


def make(s3, **options):
    """A new bucket."""
    name = f"jobs-{uuid.uuid4().hex[:12]}"
    region = s3.meta.region_name
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=name, **location, **options)
    return name


@pytest.fixture
def bucket(s3):
    yield make(s3)


def lets(s3, bucket, service, source):
    """Lets a service put objects into a bucket, on behalf of another bucket."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def refused(code, http, call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    reply = caught.value.response
    assert (reply["Error"]["Code"], reply["ResponseMetadata"]["HTTPStatusCode"]) == (code, http), reply
    return reply


def eventually(what, seconds=20):
    """Waits until what is asked holds, and gives its answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what} still does not hold: {answer!r}"
        time.sleep(0.1)
