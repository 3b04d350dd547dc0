"""Checksums, trailers, presigned URLs, bodies that lie and virtual hosts, against a Walrus:
s3_signed.py ENDPOINT SCRATCH_DIRECTORY VIRTUAL_HOST_DOMAIN"""

import base64
import hashlib
import http.client
import io
import socket
import urllib.error
import urllib.request
import zlib

from botocore.awsrequest import AWSRequest

from s3_client import DOMAIN, ENDPOINT, HOST, MIB, S3, Auth, bucket, client, data, refused, run, signed


def reflected_crc(body, polynomial, size):
    """The CRC of a reflected polynomial, all ones at both ends, in base64."""
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ polynomial if n & 1 else n >> 1
        table.append(n)
    ones = (1 << 8 * size) - 1
    crc = ones
    for byte in body:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return base64.b64encode((crc ^ ones).to_bytes(size, "big")).decode()


def test_checksums():
    name = bucket("smoke-checksums")
    body = data(300_000)
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        put = S3.put_object(Bucket=name, Key=algorithm, Body=body, ChecksumAlgorithm=algorithm)
        value = put[f"Checksum{algorithm}"]
        got = S3.get_object(Bucket=name, Key=algorithm, ChecksumMode="ENABLED")
        assert got[f"Checksum{algorithm}"] == value and got["ChecksumType"] == "FULL_OBJECT", got
        got["Body"].read()  # boto3 verifies it
    # boto3 computes these two only with a library that is not always there: computed here.
    for algorithm, value in (("CRC32C", reflected_crc(body, 0x82F63B78, 4)), ("CRC64NVME", reflected_crc(body, 0x9A6C9329AC4BC9B5, 8))):
        put = S3.put_object(Bucket=name, Key=algorithm, Body=body, **{f"Checksum{algorithm}": value})
        assert put[f"Checksum{algorithm}"] == value, put
        refused("BadDigest", 400, S3.put_object, Bucket=name, Key="wrong", Body=body + b"x", **{f"Checksum{algorithm}": value})
    sha = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert S3.put_object(Bucket=name, Key="given", Body=body, ChecksumSHA256=sha)["ChecksumSHA256"] == sha
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    refused("BadDigest", 400, S3.put_object, Bucket=name, Key="wrong", Body=body, ChecksumSHA256=wrong)
    refused("InvalidRequest", 400, S3.put_object, Bucket=name, Key="wrong", Body=body, ChecksumSHA256="abc")
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    refused("BadDigest", 400, S3.put_object, Bucket=name, Key="wrong", Body=body, ContentMD5=wrong)
    refused("InvalidDigest", 400, S3.put_object, Bucket=name, Key="wrong", Body=body, ContentMD5="abc")
    status, _, text = signed("PUT", f"/{name}/wrong", b"received", payload=hashlib.sha256(b"signed").hexdigest())
    assert status == 400 and b"XAmzContentSHA256Mismatch" in text, (status, text)
    refused("NoSuchKey", 404, S3.get_object, Bucket=name, Key="wrong")
    # Without any checksum the server computes CRC64NVME, as AWS does.
    quiet = client(request_checksum_calculation="when_required")
    put = quiet.put_object(Bucket=name, Key="none", Body=body)
    assert put["ChecksumCRC64NVME"] == reflected_crc(body, 0x9A6C9329AC4BC9B5, 8), put


def chunked(body, trailers=b"", size=65_536):
    out = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body), size))
    return out + b"0\r\n" + trailers + b"\r\n"


def test_trailers():
    name = bucket("smoke-trailers")
    body = data(200_000)

    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big"))
    headers = {"x-amz-decoded-content-length": str(len(body)), "x-amz-trailer": "x-amz-checksum-crc32",
               "content-encoding": "aws-chunked", "x-amz-sdk-checksum-algorithm": "CRC32"}
    unsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    good = chunked(body, b"x-amz-checksum-crc32:" + crc + b"\r\n")
    status, reply, text = signed("PUT", f"/{name}/unsigned", good, headers, payload=unsigned)
    assert status == 200 and reply["x-amz-checksum-crc32"] == crc.decode(), (status, reply, text)
    got = S3.get_object(Bucket=name, Key="unsigned")
    assert got["Body"].read() == body and "ContentEncoding" not in got, got
    for bad, code in (
        (chunked(body, b"x-amz-checksum-crc32:AAAAAA==\r\n"), b"BadDigest"),
        (chunked(body), b"MalformedTrailerError"),
        (chunked(body[:-1], b"x-amz-checksum-crc32:" + crc + b"\r\n"), b"IncompleteBody"),
        (good[:-40], b"IncompleteBody"),
        (b"zz\r\n" + good, b"InvalidRequest"),
    ):
        status, _, text = signed("PUT", f"/{name}/bad", bad, headers, payload=unsigned)
        assert status == 400 and b"<Code>" + code + b"</Code>" in text, (code, text)
    refused("NoSuchKey", 404, S3.get_object, Bucket=name, Key="bad")
    status, _, text = signed("PUT", f"/{name}/bad", good, {k: v for k, v in headers.items() if "length" not in k}, payload=unsigned)
    assert status == 411, text
    # boto3's own default over plain HTTP: a checksum header.
    S3.put_object(Bucket=name, Key="default", Body=io.BytesIO(body))
    assert S3.get_object(Bucket=name, Key="default")["Body"].read() == body


def test_presigned_urls():
    name = bucket("smoke-presign")
    s3 = client(signature_version="s3v4")
    put = s3.generate_presigned_url("put_object", Params={"Bucket": name, "Key": "a b/ü"}, ExpiresIn=60)
    reply = urllib.request.urlopen(urllib.request.Request(put, data=b"presigned", method="PUT"))
    assert reply.status == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "a b/ü", "ResponseContentType": "x/z"}, ExpiresIn=60)
    reply = urllib.request.urlopen(get)
    assert reply.read() == b"presigned" and reply.headers["content-type"] == "x/z"

    def status(url):
        try:
            return urllib.request.urlopen(url).status
        except urllib.error.HTTPError as error:
            return error.code, error.read().split(b"<Code>")[1].split(b"<")[0].decode()

    assert status(get.replace("X-Amz-Expires=60", "X-Amz-Expires=61")) == (403, "SignatureDoesNotMatch")
    assert status(get.replace("x%2Fz", "x%2Fy")) == (403, "SignatureDoesNotMatch")
    long = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "a b/ü"}, ExpiresIn=604_801)
    assert status(long) == (400, "AuthorizationQueryParametersError")
    assert status(f"{ENDPOINT}/{name}/a") == (403, "AccessDenied"), "anonymous"
    # Whoever has a URL may not add to it what a request does: of a root, who may write replicas.
    ours = [f"x-mallee-replica{end}" for end in ("", "-version", "-time", "-etag", "-list", "-change")]
    for method, call in (("PUT", "put_object"), ("DELETE", "delete_object")):
        url = s3.generate_presigned_url(call, Params={"Bucket": name, "Key": "a b/ü"}, ExpiresIn=60)
        for header in ("x-amz-acl", *ours):
            body = b"x" if method == "PUT" else None
            told = status(urllib.request.Request(url, data=body, headers={header: "private"}, method=method))
            assert told == (403, "AccessDenied"), (method, header, told)
    # In this region boto3 presigns with signature version 2 unless told otherwise.
    old = S3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "a b/ü"})
    assert status(old) == (400, "InvalidRequest"), old


def raw(method, path, headers, body=b"", half_close=False):
    """Sends signed headers and some bytes over a plain socket; gives what came back within a second of silence."""
    request = AWSRequest(method=method, url=ENDPOINT + path, headers=headers)
    Auth("UNSIGNED-PAYLOAD").add_auth(request)
    host, port = HOST.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}"] + [f"{k}: {v}" for k, v in request.headers.items()]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(1)
        out = b""
        try:
            while chunk := connection.recv(65536):
                out += chunk
        except TimeoutError:
            pass
    return out


def test_bodies_that_lie():
    name = bucket("smoke-lies")
    told = raw("PUT", f"/{name}/short", {"content-length": "100000"}, b"x" * 50_000, half_close=True)
    assert b"IncompleteBody" in told or told == b"", told
    told = raw("PUT", f"/{name}/none", {})
    assert b" 411 " in told and b"MissingContentLength" in told, told
    told = raw("PUT", f"/{name}/large", {"content-length": str(5 * 1024 * MIB + 1), "expect": "100-continue"})
    assert b"EntityTooLarge" in told and b"100 Continue" not in told, told
    told = raw("PUT", f"/{name}/expect", {"content-length": "4", "expect": "100-continue"}, b"good")
    assert b"100 Continue" in told and b"200 OK" in told, told
    told = raw("PUT", "/smoke-no-such-bucket/k", {"content-length": "4", "expect": "100-continue"})
    assert b"NoSuchBucket" in told and b"100 Continue" not in told, told
    assert [o["Key"] for o in S3.list_objects_v2(Bucket=name)["Contents"]] == ["expect"]


def test_virtual_hosts():
    name = bucket("smoke-virtual")
    S3.put_object(Bucket=name, Key="k", Body=b"v")
    host, port = HOST.split(":")
    request = AWSRequest(method="GET", url=f"http://{name}.{DOMAIN}:{port}/k")
    Auth().add_auth(request)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", "/k", headers={"Host": f"{name}.{DOMAIN}:{port}", **dict(request.headers)})
    assert connection.getresponse().read() == b"v"


if __name__ == "__main__":
    run(globals())
