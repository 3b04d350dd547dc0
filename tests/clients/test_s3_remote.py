"""Two object stores over one PostgreSQL, whose bytes are in another S3: Ceph's radosgw."""

import os
import threading
import time

import pytest
from botocore.exceptions import ClientError

from alone import Alone
from postgres import Postgres
from radosgw import RadosGateway
from s3_tools import MIB, noise

SHARED = "blobs"


@pytest.fixture(scope="module")
def gateway():
    gateway = RadosGateway()
    gateway.client().create_bucket(Bucket=SHARED)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def database():
    database = Postgres()
    database.make()
    database.start()
    yield database
    database.close()


@pytest.fixture(scope="module")
def fronts(gateway, database, tmp_path_factory):
    """Both processes; the second one has the keys of the first."""
    place = f"s3://{SHARED}/walrus?endpoint={gateway.endpoint}&region=default"
    secrets = {"MALLEE_BLOBS_ACCESS_KEY_ID": gateway.access_key, "MALLEE_BLOBS_SECRET_ACCESS_KEY": gateway.secret_key}
    seal = tmp_path_factory.mktemp("seal") / "seal.key"
    more = ["--database", database.url, "--blobs", place, "--seal-key", seal]
    first = Alone(tmp_path_factory.mktemp("first"), *more, **secrets)
    second = Alone(tmp_path_factory.mktemp("second"), *more, **secrets)
    yield first, second
    for front in (first, second):
        front.stop()


@pytest.fixture
def clients(fronts):
    first, second = fronts
    root = first.environment["AWS_ACCESS_KEY_ID"], first.environment["AWS_SECRET_ACCESS_KEY"]
    return first.client("s3"), second.client("s3", *root)


@pytest.fixture
def bucket(clients):
    name = f"shared-{os.urandom(6).hex()}"
    one, _ = clients
    one.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": one.meta.region_name})
    return name


def stored(gateway):
    pages = gateway.client().get_paginator("list_objects_v2").paginate(Bucket=SHARED, Prefix="walrus/blobs/")
    return {row["Key"]: row["Size"] for page in pages for row in page.get("Contents", [])}


def test_what_one_writes_the_other_has(gateway, clients, bucket):
    one, two = clients
    before = stored(gateway)
    for size in (0, 10, 200_000, 9 * MIB + 1):
        one.put_object(Bucket=bucket, Key=f"k{size}", Body=noise(size))
        assert two.get_object(Bucket=bucket, Key=f"k{size}")["Body"].read() == noise(size)
    part = two.get_object(Bucket=bucket, Key=f"k{9 * MIB + 1}", Range="bytes=131000-140000")["Body"].read()
    assert part == noise(9 * MIB + 1)[131000:140001]
    assert len(stored(gateway)) == len(before) + 2, "small objects are in the database"
    upload = two.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    parts = [noise(5 * MIB, seed=1), noise(100, seed=2)]
    tags = [
        (one, two)[n % 2].upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=n + 1, Body=body)["ETag"]
        for n, body in enumerate(parts)
    ]
    named = {"Parts": [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]}
    one.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=named)
    assert two.get_object(Bucket=bucket, Key="parts")["Body"].read() == b"".join(parts)
    assert [row["Key"] for row in two.list_objects_v2(Bucket=bucket)["Contents"]] == sorted(
        ["k0", "k10", "k200000", f"k{9 * MIB + 1}", "parts"]
    )
    two.delete_object(Bucket=bucket, Key="parts")
    with pytest.raises(ClientError) as caught:
        one.get_object(Bucket=bucket, Key="parts")
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"


def test_reads_and_lists_follow_writes_at_either(clients, bucket):
    """Writers at both; whatever was acknowledged is what the other one reads next, and lists."""
    wrong = []

    def work(writer, reader, name):
        for n in range(12):
            body = noise(7000 + n, seed=hash(name) % 1000)
            key = f"{name}-{n % 3}"
            writer.put_object(Bucket=bucket, Key=key, Body=body)
            if reader.get_object(Bucket=bucket, Key=key)["Body"].read() != body:
                wrong.append(("read", key, n))
            if key not in [row["Key"] for row in reader.list_objects_v2(Bucket=bucket).get("Contents", [])]:
                wrong.append(("list", key, n))
            if n % 4 == 3:
                writer.delete_object(Bucket=bucket, Key=key)
                if key in [row["Key"] for row in reader.list_objects_v2(Bucket=bucket).get("Contents", [])]:
                    wrong.append(("deleted", key, n))

    one, two = clients
    threads = [threading.Thread(target=work, args=[*pair, name]) for pair, name in (((one, two), "a"), ((two, one), "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_bytes_that_the_other_store_lost_are_an_error(gateway, clients, bucket):
    one, two = clients
    before = stored(gateway)
    one.put_object(Bucket=bucket, Key="k", Body=noise(300_000))
    (blob,) = set(stored(gateway)) - set(before)
    whole = gateway.client().get_object(Bucket=SHARED, Key=blob)["Body"].read()
    gateway.client().put_object(Bucket=SHARED, Key=blob, Body=whole[:1000] + b"\0" + whole[1001:])
    with pytest.raises(ClientError) as caught:
        two.get_object(Bucket=bucket, Key="k")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    gateway.client().put_object(Bucket=SHARED, Key=blob, Body=whole)
    assert two.get_object(Bucket=bucket, Key="k")["Body"].read() == noise(300_000)


def test_a_front_that_is_killed_loses_nothing(gateway, fronts, clients, bucket):
    first, second = fronts
    _, two = clients
    kept = noise(400_000)
    two.put_object(Bucket=bucket, Key="kept", Body=kept)
    upload = threading.Thread(target=lambda: attempt(two, bucket))
    upload.start()
    time.sleep(0.3)
    second.process.kill()
    second.process.wait()
    upload.join()
    second.start()
    one = clients[0]
    assert one.get_object(Bucket=bucket, Key="kept")["Body"].read() == kept
    root = first.environment["AWS_ACCESS_KEY_ID"], first.environment["AWS_SECRET_ACCESS_KEY"]
    again = second.client("s3", *root)
    keys = [row["Key"] for row in again.list_objects_v2(Bucket=bucket)["Contents"]]
    for key in keys:
        assert len(again.get_object(Bucket=bucket, Key=key)["Body"].read()) in (400_000, 30 * MIB), key


def attempt(client, bucket):
    try:
        client.put_object(Bucket=bucket, Key="torn", Body=noise(30 * MIB))
    except Exception:
        pass


def test_a_place_is_of_one_database(gateway, fronts, tmp_path):
    place = f"s3://{SHARED}/walrus?endpoint={gateway.endpoint}&region=default"
    secrets = {"MALLEE_BLOBS_ACCESS_KEY_ID": gateway.access_key, "MALLEE_BLOBS_SECRET_ACCESS_KEY": gateway.secret_key}
    with pytest.raises(AssertionError, match="another database"):
        Alone(tmp_path, "--blobs", place, **secrets)
