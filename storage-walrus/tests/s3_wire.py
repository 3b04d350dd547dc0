"""What clients do on the wire that no SDK does: `Expect: 100-continue` before what will be refused, sockets closed one way,
bodies that stop or drip, replies that nobody takes. `s3_wire.py URL`; started by clients.rs."""

import os
import socket
import statistics
import sys
import threading
import time
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

URL = sys.argv[1]
KEYS = ("AKIAWALRUSTEST000001", "walrus/test+secret")
BUCKET = "wire"
MIB = 1024 * 1024
# The server's: storage-walrus/s3/src/lib.rs, crates/serve/src/pace.rs.
IDLE_SECONDS = 60
LATE_SECONDS = 25

s3 = boto3.client(
    "s3",
    endpoint_url=URL,
    region_name="us-east-1",
    aws_access_key_id=KEYS[0],
    aws_secret_access_key=KEYS[1],
    config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
)


class Unsigned(S3SigV4Auth):
    """Signs heads without the bodies."""

    def payload(self, request):
        return "UNSIGNED-PAYLOAD"


def head(method, path, length, secret=KEYS[1], **headers):
    """A signed head; the body is not part of what is signed."""
    request = AWSRequest(method=method, url=URL + path)
    Unsigned(Credentials(KEYS[0], secret), "s3", "us-east-1").add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", f"host: {urlsplit(URL).netloc}", f"content-length: {length}"]
    given = {**request.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return "\r\n".join(lines + [f"{name}: {value}" for name, value in given.items()] + ["", ""]).encode()


def connect(receive=None):
    sock = socket.socket()
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.settimeout(IDLE_SECONDS + LATE_SECONDS)
    sock.connect(("127.0.0.1", urlsplit(URL).port))
    return sock


def rest(sock):
    out = b""
    try:
        while data := sock.recv(1 << 20):
            out += data
    except ConnectionResetError:
        pass
    return out


def reply(sock):
    """Head and body of the next reply."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        assert more, f"the connection ended after {data!r}"
        data += more
    top, _, body = data.partition(b"\r\n\r\n")
    length = next((int(x.split(b":")[1]) for x in top.lower().split(b"\r\n") if x.startswith(b"content-length")), 0)
    while len(body) < length:
        more = sock.recv(1 << 20)
        assert more, "the body is short"
        body += more
    return top.decode(), body


def absent(key):
    try:
        s3.head_object(Bucket=BUCKET, Key=key)
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        return
    raise AssertionError(f"{key} is there")


def what_is_refused_is_refused_before_the_body():
    refused = [
        (head("PUT", "/no-such-bucket-here/k", 5 * MIB, expect="100-continue"), "404", b"NoSuchBucket"),
        (head("PUT", f"/{BUCKET}/k", 5 * MIB, secret="other", expect="100-continue"), "403", b"SignatureDoesNotMatch"),
        (head("PUT", f"/{BUCKET}/k", 6 << 30, expect="100-continue"), "400", b"EntityTooLarge"),
        (head("PUT", f"/{BUCKET}/{'k' * 1025}", 5, expect="100-continue"), "400", b"KeyTooLongError"),
        (head("PUT", f"/{BUCKET}/k", 5, expect="100-continue", content_md5="no"), "400", b"InvalidDigest"),
        (head("PUT", f"/{BUCKET}/k?partNumber=1&uploadId=none", 5, expect="100-continue"), "404", b"NoSuchUpload"),
    ]
    for request, status, code in refused:
        with connect() as sock:
            sock.sendall(request)
            answer = rest(sock)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
            assert code in answer, answer
    absent("k")


def what_is_taken_is_asked_for():
    with connect() as sock:
        sock.sendall(head("PUT", f"/{BUCKET}/asked", 5, expect="100-continue"))
        top, _ = reply(sock)
        assert top == "HTTP/1.1 100 Continue", top
        absent("asked")
        sock.sendall(b"12345")
        top, _ = reply(sock)
        assert top.startswith("HTTP/1.1 200 "), top
    assert s3.get_object(Bucket=BUCKET, Key="asked")["Body"].read() == b"12345"


def a_socket_closed_one_way_is_answered():
    for size in (4096, 3 * MIB):
        data = os.urandom(size)
        with connect() as sock:
            sock.sendall(head("PUT", f"/{BUCKET}/half", size) + data)
            sock.shutdown(socket.SHUT_WR)
            top, _ = reply(sock)
            assert top.startswith("HTTP/1.1 200 "), top
        with connect() as sock:
            sock.sendall(head("GET", f"/{BUCKET}/half", 0))
            sock.shutdown(socket.SHUT_WR)
            top, body = reply(sock)
            assert top.startswith("HTTP/1.1 200 ") and body == data, top


def a_body_cut_off_leaves_nothing():
    for sent in (0, 1, 100_000, 3 * MIB - 1):
        with connect() as sock:
            sock.sendall(head("PUT", f"/{BUCKET}/cut", 3 * MIB) + bytes(sent))
            sock.shutdown(socket.SHUT_WR)
            answer = rest(sock)
            assert answer.startswith(b"HTTP/1.1 400 ") and b"IncompleteBody" in answer, answer
        absent("cut")
    with connect() as sock:
        sock.sendall(head("PUT", f"/{BUCKET}/cut", 3 * MIB) + bytes(MIB))
    time.sleep(0.2)
    absent("cut")


def small_replies_do_not_wait_for_an_acknowledgement():
    s3.put_object(Bucket=BUCKET, Key="small", Body=bytes(4096))
    times = []
    with connect() as sock:
        for _ in range(50):
            start = time.monotonic()
            sock.sendall(head("GET", f"/{BUCKET}/small", 0))
            reply(sock)
            times.append(time.monotonic() - start)
    # 40 ms is what a delayed acknowledgement takes; this is no optimised build.
    assert statistics.median(times) < 0.03, times


def stops():
    """A body that stops."""
    with connect() as sock:
        start = time.monotonic()
        sock.sendall(head("PUT", f"/{BUCKET}/stops", 3 * MIB) + bytes(MIB))
        answer = rest(sock)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"RequestTimeout" in answer, answer
    assert IDLE_SECONDS - 1 < time.monotonic() - start < IDLE_SECONDS + LATE_SECONDS
    absent("stops")


def drips():
    """A body of which a few bytes come now and then."""
    with connect() as sock:
        start = time.monotonic()
        sock.sendall(head("PUT", f"/{BUCKET}/drips", 3 * MIB))
        answer = b""
        sock.settimeout(5)
        while not answer and time.monotonic() - start < IDLE_SECONDS + LATE_SECONDS:
            try:
                sock.sendall(b"drop")
                answer = sock.recv(65536)
            except TimeoutError:
                pass
    assert answer.startswith(b"HTTP/1.1 400 ") and b"RequestTimeout" in answer, answer
    absent("drips")


def takes_nothing():
    """A reply that nobody takes: the server gives it up, so that its buffers are free."""
    with connect(receive=4096) as sock:
        sock.sendall(head("GET", f"/{BUCKET}/large", 0))
        time.sleep(IDLE_SECONDS + LATE_SECONDS / 2)
        assert len(rest(sock)) < 48 * MIB, "the server went on"


def waiting(work, failures):
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - told by the main thread
        failures.append((work.__name__, error))


def main():
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="large", Body=bytes(48 * MIB))
    failures = []
    # These wait for the server's patience to end, all at the same time and beside the others.
    slow = [
        threading.Thread(target=waiting, args=(work, failures), daemon=True) for work in (stops, drips, takes_nothing)
    ]
    for thread in slow:
        thread.start()
    for work in (
        what_is_refused_is_refused_before_the_body,
        what_is_taken_is_asked_for,
        a_socket_closed_one_way_is_answered,
        a_body_cut_off_leaves_nothing,
        small_replies_do_not_wait_for_an_acknowledgement,
    ):
        work()
        print("ok", work.__name__)
    for thread in slow:
        thread.join()
    for name, error in failures:
        print("FAILED", name, repr(error))
    sys.exit(1 if failures else 0)


main()
