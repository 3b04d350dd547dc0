"""`mallee walrus check`: the objects of a store of its own, whole, damaged and mended, as the operator sees it."""

import sqlite3

import pytest
from botocore.exceptions import ClientError

from alone import Alone

BODY = bytes(range(256)) * 1200


@pytest.fixture
def store(tmp_path):
    store = Alone(tmp_path)
    yield store
    if store.process.poll() is None:
        store.stop()


def blob(store):
    """The file of the only blob."""
    files = [path for path in (store.data / "walrus" / "blobs").rglob("*") if path.is_file()]
    assert len(files) == 1, files
    return files[0]


def test_check_and_repair(store):
    s3 = store.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="a/large", Body=BODY)
    s3.put_object(Bucket="kept", Key="small", Body=b"x")
    refused = store.mallee("walrus", "check", check=False)
    assert refused.returncode != 0, "a store that runs is not checked"
    store.stop()
    assert "the object store is sound" in store.mallee("walrus", "check", "--every-byte").stdout

    with sqlite3.connect(store.data / "walrus.db") as database:
        database.execute("UPDATE s3_usage SET bytes = 0")
        database.execute("UPDATE s3_blobs SET refs = 2")
    database.close()
    found = store.mallee("walrus", "check", check=False)
    assert found.returncode == 1 and "--repair" in found.stderr
    assert "wrong: the counters of bucket kept are not what it holds" in found.stdout
    assert "says 2 references, and has 1" in found.stdout
    assert "2 of 2 findings mended" in store.mallee("walrus", "check", "--repair").stdout
    assert "sound" in store.mallee("walrus", "check").stdout

    path = blob(store)
    whole = path.read_bytes()
    path.write_bytes(whole[:50_000] + bytes([whole[50_000] ^ 1]) + whole[50_001:])
    found = store.mallee("walrus", "check", "--every-byte", "--repair", check=False)
    assert found.returncode == 1 and "1 are losses" in found.stderr
    assert "lost: blob" in found.stdout and "it holds bytes of kept/a/large" in found.stdout
    store.start()
    with pytest.raises(ClientError) as error:
        store.client("s3").get_object(Bucket="kept", Key="a/large")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert store.client("s3").get_object(Bucket="kept", Key="small")["Body"].read() == b"x"
    store.stop()
    path.write_bytes(whole)
    assert "is not any more" in store.mallee("walrus", "check", "--every-byte", "--repair").stdout
    store.start()
    assert store.client("s3").get_object(Bucket="kept", Key="a/large")["Body"].read() == BODY
