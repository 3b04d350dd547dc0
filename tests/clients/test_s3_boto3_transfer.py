"""boto3's transfer manager, paginators, waiters and resources."""

import io
import threading
import urllib.error
import urllib.request
from base64 import b64encode

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from s3_tools import MIB, keys, noise, nothing_unfinished

PARTS = TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=5 * MIB, max_concurrency=8)
# Of reflected CRCs: polynomial and bytes.
CRC = {"CRC32C": (0x82F63B78, 4), "CRC64NVME": (0x9A6C9329AC4BC9B5, 8)}


@pytest.fixture
def resource(cloud, s3_bucket):
    known = cloud.environment
    s3 = boto3.resource(
        "s3",
        endpoint_url=cloud.endpoint,
        aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
        region_name=known["AWS_DEFAULT_REGION"],
    )
    return s3.Bucket(s3_bucket)


class Unseekable(io.RawIOBase):
    """A source that knows neither its length nor its past; it may break off."""

    def __init__(self, data, breaks_at=None):
        self.inner, self.breaks_at = io.BytesIO(data), breaks_at

    def readable(self):
        return True

    def read(self, size=-1):
        if self.breaks_at is not None and self.inner.tell() >= self.breaks_at:
            raise OSError("the source broke off")
        return self.inner.read(size)


def test_files_in_parts_there_and_back(s3, s3_bucket, tmp_path):
    source, back, data = tmp_path / "source", tmp_path / "back", noise(23 * MIB + 5)
    source.write_bytes(data)
    seen, lock = [], threading.Lock()

    def progress(count):
        with lock:
            seen.append(count)

    extra = {"ContentType": "image/png", "Metadata": {"mine": "yes"}, "CacheControl": "no-store"}
    s3.upload_file(str(source), s3_bucket, "large", Config=PARTS, Callback=progress, ExtraArgs=extra)
    assert sum(seen) == len(data)
    head = s3.head_object(Bucket=s3_bucket, Key="large")
    assert head["ETag"].endswith('-5"') and head["ContentType"] == "image/png" and head["Metadata"] == {"mine": "yes"}
    assert s3.head_object(Bucket=s3_bucket, Key="large", PartNumber=5)["ContentLength"] == 3 * MIB + 5
    s3.download_file(s3_bucket, "large", str(back), Config=PARTS)
    assert back.read_bytes() == data
    out = io.BytesIO()
    s3.download_fileobj(s3_bucket, "large", out, Config=PARTS)
    assert out.getvalue() == data
    assert b"".join(s3.get_object(Bucket=s3_bucket, Key="large")["Body"].iter_chunks(70_001)) == data
    for range_, part in [("bytes=0-0", data[:1]), ("bytes=-9", data[-9:]), (f"bytes={5 * MIB - 3}-{5 * MIB + 3}", data[5 * MIB - 3 : 5 * MIB + 4])]:
        assert s3.get_object(Bucket=s3_bucket, Key="large", Range=range_)["Body"].read() == part
    s3.copy({"Bucket": s3_bucket, "Key": "large"}, s3_bucket, "copy", Config=PARTS)
    s3.upload_fileobj(Unseekable(data), s3_bucket, "stream", Config=PARTS)
    for key in ("copy", "stream"):
        out = io.BytesIO()
        s3.download_fileobj(s3_bucket, key, out, Config=PARTS)
        assert out.getvalue() == data, key
    nothing_unfinished(s3, s3_bucket)


def test_an_upload_that_breaks_off_leaves_nothing(s3, s3_bucket):
    with pytest.raises(OSError, match="broke off"):
        s3.upload_fileobj(Unseekable(noise(20 * MIB), breaks_at=11 * MIB), s3_bucket, "broken", Config=PARTS)
    assert keys(s3, s3_bucket) == {}
    nothing_unfinished(s3, s3_bucket)


def test_many_at_once(s3, s3_bucket):
    bodies = {f"n/{n:03}": noise(1 + n * 997, n) for n in range(100)}
    threads = [
        threading.Thread(target=s3.upload_fileobj, args=[io.BytesIO(body), s3_bucket, key]) for key, body in bodies.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keys(s3, s3_bucket) == {key: len(body) for key, body in bodies.items()}
    for key, body in bodies.items():
        assert s3.get_object(Bucket=s3_bucket, Key=key)["Body"].read() == body


def reflected(body, name):
    polynomial, size = CRC[name]
    every = (1 << 8 * size) - 1
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    crc = every
    for byte in body:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return b64encode((crc ^ every).to_bytes(size)).decode()


@pytest.mark.parametrize("name", ["CRC32", "SHA1", "SHA256", "CRC32C", "CRC64NVME"])
def test_checksums(s3, s3_bucket, tmp_path, name):
    small = noise(10_000)
    if name in CRC:
        # boto3 computes these with a package of its own only; the value is handed to it.
        s3.put_object(Bucket=s3_bucket, Key="small", Body=small, **{f"Checksum{name}": reflected(small, name)})
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket=s3_bucket, Key="wrong", Body=small[1:], **{f"Checksum{name}": reflected(small, name)})
        assert error.value.response["Error"]["Code"] == "BadDigest"
        assert s3.head_object(Bucket=s3_bucket, Key="small", ChecksumMode="ENABLED")[f"Checksum{name}"] == reflected(small, name)
        assert set(keys(s3, s3_bucket)) == {"small"}
        return
    source = tmp_path / "source"
    source.write_bytes(noise(11 * MIB))
    s3.upload_file(str(source), s3_bucket, "large", Config=PARTS, ExtraArgs={"ChecksumAlgorithm": name})
    head = s3.head_object(Bucket=s3_bucket, Key="large", ChecksumMode="ENABLED")
    assert head[f"Checksum{name}"], head
    s3.put_object(Bucket=s3_bucket, Key="small", Body=small, ChecksumAlgorithm=name)
    # botocore checks what it reads against what the reply says.
    got = s3.get_object(Bucket=s3_bucket, Key="small", ChecksumMode="ENABLED")
    assert got[f"Checksum{name}"] and got["Body"].read() == small
    out = io.BytesIO()
    s3.download_fileobj(s3_bucket, "large", out, Config=PARTS, ExtraArgs={"ChecksumMode": "ENABLED"})
    assert out.getvalue() == source.read_bytes()


def test_pages_are_whole_while_others_write(s3, s3_bucket):
    stay = {f"stay/{n:04}" for n in range(300)}
    for key in sorted(stay):
        s3.put_object(Bucket=s3_bucket, Key=key, Body=b"")
    done = threading.Event()

    def meddle():
        n = 0
        while not done.is_set():
            s3.put_object(Bucket=s3_bucket, Key=f"stay/{n % 300:04}-more", Body=b"x")
            s3.delete_object(Bucket=s3_bucket, Key=f"stay/{(n - 3) % 300:04}-more")
            n += 7

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        for operation in ("list_objects", "list_objects_v2", "list_object_versions"):
            for size in (7, 50):
                seen = []
                for page in s3.get_paginator(operation).paginate(Bucket=s3_bucket, PaginationConfig={"PageSize": size}):
                    rows = page.get("Contents", []) + page.get("Versions", [])
                    assert len(rows) <= size
                    seen += [row["Key"] for row in rows]
                assert seen == sorted(seen) and len(seen) == len(set(seen)), operation
                assert stay <= set(seen), operation
    finally:
        done.set()
        meddler.join()


def test_waiters_and_presigned_writes(s3, s3_bucket):
    quick = {"Delay": 1, "MaxAttempts": 5}
    s3.get_waiter("bucket_exists").wait(Bucket=s3_bucket, WaiterConfig=quick)
    url = s3.generate_presigned_url("put_object", {"Bucket": s3_bucket, "Key": "p", "ContentType": "text/x"}, ExpiresIn=60)

    def put(kind):
        request = urllib.request.Request(url, method="PUT", data=b"by a browser", headers={"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status

    with pytest.raises(urllib.error.HTTPError) as error:
        put("text/other")
    assert error.value.code == 403 and keys(s3, s3_bucket) == {}
    assert put("text/x") == 200
    s3.get_waiter("object_exists").wait(Bucket=s3_bucket, Key="p", WaiterConfig=quick)
    assert s3.get_object(Bucket=s3_bucket, Key="p")["ContentType"] == "text/x"
    s3.delete_object(Bucket=s3_bucket, Key="p")
    s3.get_waiter("object_not_exists").wait(Bucket=s3_bucket, Key="p", WaiterConfig=quick)


def test_resources(s3, resource):
    for n in range(5):
        resource.put_object(Key=f"r/{n}", Body=b"x" * n)
    assert [(o.key, o.size) for o in resource.objects.filter(Prefix="r/").page_size(2)] == [(f"r/{n}", n) for n in range(5)]
    copy = resource.Object("copy")
    copy.copy_from(CopySource={"Bucket": resource.name, "Key": "r/4"}, MetadataDirective="REPLACE", Metadata={"a": "b"})
    copy.wait_until_exists()
    assert copy.metadata == {"a": "b"} and copy.content_length == 4
    upload = resource.Object("parts").initiate_multipart_upload()
    part = upload.Part(1).upload(Body=b"only")
    assert [p.size for p in upload.parts.all()] == [4]
    upload.complete(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert resource.Object("parts").get()["Body"].read() == b"only"
    assert resource.creation_date
    deleted = resource.objects.all().delete()
    assert sum(len(reply["Deleted"]) for reply in deleted) == 7
    assert list(resource.objects.all()) == []
