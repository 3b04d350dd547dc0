"""What no well-behaved client sends: AWS's own errors, nothing half-visible, and service for the others meanwhile."""

import base64
import hashlib
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests

from s3_tools import MIB, Raw, keys, noise, nothing_unfinished, signed

# Clients that send nothing more, at once.
STALLED = 40


@pytest.fixture
def send(cloud, s3_bucket):
    """One signed request about the bucket; gives status, error code and text."""

    def send(method, path, body=b"", headers=None):
        path = f"/{s3_bucket}{path}"
        sent = signed(cloud, method, path, headers, body)
        # `requests` tidies paths up: dots and escapes have to stay as they are.
        request = requests.Request(method, cloud.endpoint, headers=sent, data=body).prepare()
        request.url = cloud.endpoint + path
        with requests.Session() as session:
            return told(session.send(request, timeout=30))

    return send


def told(reply):
    text = reply.content.decode()
    code = re.search(r"<Code>(\w+)</Code>", text)
    return reply.status_code, code and code[1], text


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def test_hashes_that_are_of_something_else(s3, s3_bucket, send):
    other = hashlib.sha256(b"other").hexdigest()
    for headers, code in [
        ({"content-md5": md5(b"other")}, "BadDigest"),
        ({"content-md5": "short"}, "InvalidDigest"),
        ({"x-amz-content-sha256": other}, "XAmzContentSHA256Mismatch"),
        ({"x-amz-content-sha256": "0" * 63}, "InvalidArgument"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest"),
        ({"x-amz-checksum-sha1": base64.b64encode(bytes(20)).decode()}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}, "InvalidRequest"),
    ]:
        assert send("PUT", "/k", b"bytes" * 1000, headers)[:2] == (400, code), headers
    upload = s3.create_multipart_upload(Bucket=s3_bucket, Key="k")["UploadId"]
    part = f"/k?partNumber=1&uploadId={upload}"
    assert send("PUT", part, b"bytes", {"content-md5": md5(b"other")})[:2] == (400, "BadDigest")
    assert "Parts" not in s3.list_parts(Bucket=s3_bucket, Key="k", UploadId=upload)
    s3.abort_multipart_upload(Bucket=s3_bucket, Key="k", UploadId=upload)
    assert keys(s3, s3_bucket) == {}


@pytest.mark.parametrize("key", ["k", "inline"])
def test_bodies_that_end_early(cloud, s3, s3_bucket, key):
    path, announced = f"/{s3_bucket}/{key}", 200_000 if key == "k" else 100
    s3.put_object(Bucket=s3_bucket, Key=key, Body=b"as it was")
    headers = signed(cloud, "PUT", path, {"Content-Length": str(announced)})
    with Raw(cloud) as half_closed:
        half_closed.head("PUT", path, headers)
        half_closed.send(b"x" * (announced // 2))
        half_closed.end()
        reply = half_closed.reply()
        assert b" 400 " in reply and b"IncompleteBody" in reply or reply == b"", reply
    with Raw(cloud) as gone:
        gone.head("PUT", path, headers)
        gone.send(b"x" * (announced - 1))
        # Closed with a reset, as when a machine loses its power.
        gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    with Raw(cloud) as more:
        more.head("PUT", path, headers)
        more.send(b"x" * announced + b"and more")
        reply = more.reply()
        # What is behind the body is no request.
        assert reply.startswith(b"HTTP/1.1 200 ") and reply.count(b"HTTP/1.1 2") == 1, reply
    assert s3.get_object(Bucket=s3_bucket, Key=key)["Body"].read() == b"x" * announced
    assert keys(s3, s3_bucket) == {key: announced}


def test_lengths_that_are_none(cloud, s3, s3_bucket):
    path = f"/{s3_bucket}/k"
    for headers, expected in [
        ({}, b" 411 "),
        ({"Content-Length": "-1"}, b" 400 "),
        ({"Content-Length": "1e3"}, b" 400 "),
        ({"Content-Length": "99999999999999999999999"}, b" 400 "),
        ({"Content-Length": str(5 * 1024 * MIB + 1)}, b"EntityTooLarge"),
    ]:
        with Raw(cloud) as raw:
            raw.head("PUT", path, {**signed(cloud, "PUT", path), **headers})
            assert expected in raw.reply(), headers
    with Raw(cloud) as two:
        head = signed(cloud, "PUT", path)
        lines = [f"PUT {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        two.send("\r\n".join([*lines, "Content-Length: 3", "Content-Length: 4"]).encode() + b"\r\n\r\nabcd")
        assert b" 400 " in two.reply()
    assert keys(s3, s3_bucket) == {}


def test_documents_that_are_none(s3, s3_bucket, send):
    upload = s3.create_multipart_upload(Bucket=s3_bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=s3_bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    s3.put_object(Bucket=s3_bucket, Key="stays", Body=b"")
    entity = b'<!DOCTYPE x [<!ENTITY a "stays">]><Delete><Object><Key>&a;</Key></Object></Delete>'
    wrong = [b"", b"<", b"<Delete>", b"<Other/>", b"\xff\xfe", b"{}", b"<Delete/>", b"x" * 1000, entity]
    for body in wrong:
        assert send("POST", "?delete", body, {"content-md5": md5(body)})[:2] == (400, "MalformedXML"), body[:100]
        assert send("POST", f"/k?uploadId={upload}", body)[:2] == (400, "MalformedXML"), body[:100]
        if body:
            assert send("PUT", "?versioning", body, {"content-md5": md5(body)})[:2] == (400, "MalformedXML"), body[:100]
    deep = b"<Delete>" + b"<Object>" * 10_000
    assert send("POST", "?delete", deep, {"content-md5": md5(deep)})[:2] == (400, "MalformedXML")

    many = "".join(f"<Object><Key>k{n}</Key></Object>" for n in range(1001))
    many = f"<Delete><Object><Key>stays</Key></Object>{many}</Delete>".encode()
    assert send("POST", "?delete", many, {"content-md5": md5(many)})[:2] == (400, "MalformedXML")
    assert send("POST", "?delete", b"<Delete><Object><Key>stays</Key></Object></Delete>")[:2] == (400, "InvalidRequest")
    parts = "".join(f'<Part><PartNumber>{n}</PartNumber><ETag>"e"</ETag></Part>' for n in range(1, 10_002))
    parts = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    assert send("POST", f"/k?uploadId={upload}", parts)[:2] == (400, "MalformedXML")
    for number in ("0", "10001", "-1", "x", ""):
        status, code, _ = send("PUT", f"/k?partNumber={number}&uploadId={upload}", b"x")
        assert (status, code) == (400, "InvalidArgument"), number
    assert send("PUT", "/k?partNumber=1&uploadId=no-such", b"x")[:2] == (404, "NoSuchUpload")
    assert len(s3.list_parts(Bucket=s3_bucket, Key="k", UploadId=upload)["Parts"]) == 1
    s3.abort_multipart_upload(Bucket=s3_bucket, Key="k", UploadId=upload)
    assert keys(s3, s3_bucket) == {"stays": 0}
    nothing_unfinished(s3, s3_bucket)


def test_names_at_the_edge(s3, s3_bucket, send):
    longest = "k" * 1024
    for key in [longest, "ü" * 512, "../../etc/passwd", "a/../b", "./c", "..", ".", "/", "//", "a//b", "a/", " ", "a b\t\n", "\x01", "?#%"]:
        path = "/" + quote(key, safe="/.")
        assert send("PUT", path, key.encode())[0] == 200, key
        status, _, text = send("GET", path)
        assert (status, text) == (200, key), key
        assert key in keys(s3, s3_bucket), key
        assert send("DELETE", path)[0] == 204, key
        assert keys(s3, s3_bucket) == {}, key
    for method in ("PUT", "GET", "DELETE"):
        status, code, text = send(method, f"/{longest}k")
        assert (status, code) == (400, "KeyTooLongError"), method
        assert "<MaxSizeAllowed>1024</MaxSizeAllowed>" in text and "<Size>1025</Size>" in text
    for path in ("/%FF", "/a%C3%28", "/%ED%A0%80", "?prefix=%FF"):
        assert send("GET", path)[:2] == (400, "InvalidURI"), path
    for path in ("/%FF", "/a%C3%28"):
        assert send("PUT", path, b"x")[:2] == (400, "InvalidURI"), path
    # NUL is a character like others in a name, if an odd one.
    assert send("PUT", "/n%00l", b"nul")[0] == 200
    assert send("GET", "/n%00l")[2] == "nul"
    assert keys(s3, s3_bucket) == {"n\0l": 3}
    # XML has no such character: who does not ask for another encoding reads a reference to it, as on AWS.
    assert "<Key>n&#x0;l</Key>" in send("GET", "?list-type=2")[2]
    assert send("DELETE", "/n%00l")[0] == 204
    assert keys(s3, s3_bucket) == {}


def test_slow_clients_hold_nobody_up(cloud, s3, s3_bucket):
    path, size = f"/{s3_bucket}/slow", 40

    def dribble(n):
        with Raw(cloud) as raw:
            raw.head("PUT", f"{path}{n}", signed(cloud, "PUT", f"{path}{n}", {"Content-Length": str(size)}))
            for _ in range(size):
                time.sleep(0.05)
                raw.send(b"x")
            return raw.reply()

    stalled = [Raw(cloud) for _ in range(STALLED)]
    try:
        for n, raw in enumerate(stalled):
            target = f"/{s3_bucket}/stalled{n}"
            raw.head("PUT", target, signed(cloud, "PUT", target, {"Content-Length": str(1024 * MIB)}))
            raw.send(b"x" * 100_000)
        with ThreadPoolExecutor(10) as pool:
            slow = [pool.submit(dribble, n) for n in range(10)]
            data, began = noise(2 * MIB), time.monotonic()
            for n in range(10):
                s3.put_object(Bucket=s3_bucket, Key="fast", Body=data)
                assert s3.get_object(Bucket=s3_bucket, Key="fast")["Body"].read() == data
            assert time.monotonic() - began < 20
            assert all(b" 200 " in reply.result() for reply in slow)
        with open(f"/proc/{cloud.process.pid}/status") as status:
            resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        # 40 GiB are announced; what is held for them is a buffer each.
        assert resident < 600 * 1024, f"{resident} KiB"
    finally:
        for raw in stalled:
            raw.socket.close()
    # What never came whole is nowhere to be seen.
    assert set(keys(s3, s3_bucket)) == {"fast"} | {f"slow{n}" for n in range(10)}
