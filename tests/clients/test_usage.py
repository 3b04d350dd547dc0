"""What accounts and buckets hold, as `mallee usage` tells it; and the metrics of the object store."""

import json
import tempfile
import urllib.request

import pytest

from alone import Alone
from support import free_port


@pytest.fixture(scope="module")
def alone():
    with tempfile.TemporaryDirectory(prefix="mallee-usage-") as data:
        port = free_port()
        alone = Alone(data, "--metrics", f"127.0.0.1:{port}")
        alone.metrics = f"http://127.0.0.1:{port}/metrics"
        yield alone
        alone.stop()


def metrics(alone):
    """Each line's name with its labels, and its value."""
    with urllib.request.urlopen(alone.metrics, timeout=10) as reply:
        assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
        text = reply.read().decode()
    assert text.endswith("# EOF\n")
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def make(s3, name):
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})


def usage(alone, *arguments):
    return [json.loads(line) for line in alone.mallee("usage", "--json", *arguments).stdout.splitlines()]


def test_usage_by_account_bucket_and_class(alone):
    s3 = alone.client("s3")
    account = alone.client("sts").get_caller_identity()["Account"]
    key, secret = "NOPQRSTUVWXYZABCDEFG", "nopqrstuvwxyzabcdefghijklmnabcdefghijklm"
    alone.mallee("user", "other", "--access-key", key, "--secret-key", secret)
    other = alone.client("s3", key, secret)
    make(s3, "first")
    s3.put_bucket_versioning(Bucket="first", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="first", Key="k", Body=b"x" * 10)
    s3.put_object(Bucket="first", Key="k", Body=b"x" * 5, StorageClass="STANDARD_IA")
    upload = s3.create_multipart_upload(Bucket="first", Key="big")["UploadId"]
    s3.upload_part(Bucket="first", Key="big", UploadId=upload, PartNumber=1, Body=b"y" * 7)
    make(other, "others")

    [accounts] = usage(alone)
    mine = {row["account"]: row for row in accounts["accounts"]}[account]
    counts = {"objects": 1, "bytes": 5, "versions": 2, "version_bytes": 15, "part_bytes": 7}
    assert counts.items() <= mine.items() and mine["buckets"] == 1 and mine["account_name"] == "mallee"
    assert {row["account_name"] for row in accounts["accounts"]} == {"mallee", "other"}

    [buckets] = usage(alone, "--buckets")
    assert [row["bucket"] for row in buckets["buckets"]] == ["first", "others"] and buckets["next"] is None
    assert counts.items() <= buckets["buckets"][0].items()
    [buckets] = usage(alone, "--account", "other")
    assert [row["bucket"] for row in buckets["buckets"]] == ["others"]
    [classes] = usage(alone, "first")
    classes = {row["class"]: row for row in classes["classes"]}
    assert classes["STANDARD"]["versions"] == 1 and classes["STANDARD_IA"]["objects"] == 1

    table = alone.mallee("usage", "--buckets").stdout.splitlines()
    assert table[0].split()[:2] == ["ACCOUNT", "BUCKET"] and table[1].split()[:3] == [account, "first", "1"]
    assert alone.mallee("usage", "nobodys", check=False).returncode != 0
    assert alone.mallee("usage", "--account", "nobody", check=False).returncode != 0


def test_metrics_count_requests_bytes_and_what_is_there(alone):
    before = metrics(alone)
    s3 = alone.client("s3")
    make(s3, "counted")
    s3.put_object(Bucket="counted", Key="k", Body=b"z" * 300_000)
    assert len(s3.get_object(Bucket="counted", Key="k")["Body"].read()) == 300_000
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="counted", Key="none")
    after = metrics(alone)

    def grown(name):
        return after.get(name, 0) - before.get(name, 0)

    assert grown('mallee_s3_requests_total{operation="PutObject",status="2xx"}') == 1
    assert grown('mallee_s3_requests_total{operation="GetObject",status="4xx"}') == 1
    assert grown('mallee_s3_request_duration_seconds_count{operation="GetObject"}') == 2
    assert grown('mallee_s3_received_bytes_total{operation="PutObject"}') >= 300_000
    assert 300_000 <= grown('mallee_s3_sent_bytes_total{operation="GetObject"}') < 301_000
    assert after["mallee_s3_requests_running"] == 0 and after["mallee_s3_database_answers"] == 1
    assert after["mallee_s3_damaged_blobs"] == 0 and after["mallee_s3_scrub_pass"] >= 0
    assert not [name for name in after if "counted" in name], "no names of buckets"
