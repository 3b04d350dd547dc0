"""Uploads in signed chunks (aws-chunked), as the AWS SDKs for Java, .NET and C++ make them: boto3 makes none, so they are
put together here. Every chunk's signature is checked before its bytes become part of an object."""

import datetime
import hashlib
import hmac
import http.client
import zlib
from base64 import b64encode

import pytest
from support import Cloud

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
TRAILER = SIGNED + "-TRAILER"
CHUNKS = [b"a" * 70_000, b"b" * 65_536, b"the last one"]
WHOLE = b"".join(CHUNKS)
EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture(scope="module")
def cloud():
    cloud = Cloud("--simulate", "1")
    cloud.client("s3").create_bucket(Bucket="chunked")
    yield cloud
    cloud.stop()


class Upload:
    """One PUT, signed by the letter of the AWS documentation."""

    def __init__(self, cloud, key, payload):
        environment = cloud.environment
        self.cloud, self.path, self.payload = cloud, f"/chunked/{key}", payload
        self.access_key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        self.time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        self.scope = f"{self.time[:8]}/{environment['AWS_DEFAULT_REGION']}/s3/aws4_request"
        self.signing_key = f"AWS4{secret}".encode()
        for part in self.scope.split("/"):
            self.signing_key = hmac.digest(self.signing_key, part.encode(), "sha256")

    def sign(self, *lines):
        return hmac.digest(self.signing_key, "\n".join(lines).encode(), "sha256").hex()

    def head(self, trailer):
        headers = {
            "content-encoding": "aws-chunked",
            "host": f"127.0.0.1:{self.cloud.port}",
            "x-amz-content-sha256": self.payload,
            "x-amz-date": self.time,
            "x-amz-decoded-content-length": str(len(WHOLE)),
        }
        if trailer:
            headers["x-amz-trailer"] = trailer
        names = ";".join(sorted(headers))
        canonical = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = "\n".join(["PUT", self.path, "", canonical, names, self.payload])
        self.seed = self.sign("AWS4-HMAC-SHA256", self.time, self.scope, hashlib.sha256(request.encode()).hexdigest())
        credential = f"Credential={self.access_key}/{self.scope}"
        headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={self.seed}"
        return headers

    def body(self, previous, trailer, spoil):
        """`spoil` names what is wrong: the signature of a chunk (by number), its bytes, or the trailer's signature."""
        out = b""
        for number, chunk in enumerate([*CHUNKS, b""]):
            hashed = hashlib.sha256(chunk).hexdigest()
            previous = self.sign("AWS4-HMAC-SHA256-PAYLOAD", self.time, self.scope, previous, EMPTY, hashed)
            shown = previous if spoil != number else ("0" if previous[0] != "0" else "1") + previous[1:]
            sent = b"!" + chunk[1:] if spoil == f"bytes {number}" else chunk
            out += f"{len(chunk):x};chunk-signature={shown}\r\n".encode() + sent
            if chunk or not trailer:
                out += b"\r\n"
        if trailer:
            line = f"{trailer}:{b64encode(zlib.crc32(WHOLE).to_bytes(4)).decode()}"
            hashed = hashlib.sha256(f"{line}\n".encode()).hexdigest()
            signature = self.sign("AWS4-HMAC-SHA256-TRAILER", self.time, self.scope, previous, hashed)
            if spoil == "trailer":
                signature = signature[::-1]
            out += f"{line}\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode()
        return out

    def put(self, spoil=None):
        trailer = "x-amz-checksum-crc32" if self.payload == TRAILER else None
        headers = self.head(trailer)
        connection = http.client.HTTPConnection("127.0.0.1", self.cloud.port, timeout=30)
        connection.request("PUT", self.path, self.body(self.seed, trailer, spoil), headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()


@pytest.mark.parametrize("payload", [SIGNED, TRAILER])
def test_right_signatures_make_an_object_of_the_bytes_alone(cloud, payload):
    status, text = Upload(cloud, "good", payload).put()
    assert status == 200, text
    got = cloud.client("s3").get_object(Bucket="chunked", Key="good")
    assert got["Body"].read() == WHOLE
    assert got.get("ContentEncoding", "") == "", "aws-chunked is how it came, not what it is"


@pytest.mark.parametrize("payload", [SIGNED, TRAILER])
@pytest.mark.parametrize("spoil", [0, 1, 3, "bytes 0", "bytes 2", "trailer"])
def test_one_wrong_signature_and_there_is_no_object(cloud, payload, spoil):
    if payload == SIGNED and spoil == "trailer":
        # There is no trailer in this kind: what is spoiled is its end instead.
        spoil = "bytes 1"
    status, text = Upload(cloud, "bad", payload).put(spoil)
    assert status == 403 and "SignatureDoesNotMatch" in text, (status, text)
    listed = cloud.client("s3").list_objects_v2(Bucket="chunked", Prefix="bad")
    assert listed["KeyCount"] == 0
