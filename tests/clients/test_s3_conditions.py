"""Conditions of deletions, as boto3 sees them. (Those of reads, writes and copies are tested with what they are of.)"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from s3_objects import make, refused, remove


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture(params=["", "Enabled"])
def bucket(s3, request):
    name = make(s3, "conditions")
    if request.param:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": request.param})
    yield name
    remove(s3, name)


def there(s3, bucket, key):
    return [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])] == [key]


def test_a_deletion_takes_what_it_means(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"abc")["ETag"]
    written = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    k = {"Bucket": bucket, "Key": "k"}
    for wrong in [
        {"IfMatch": '"other"'},
        {"IfMatchLastModifiedTime": written - timedelta(seconds=1)},
        {"IfMatchSize": 4},
        {"IfMatch": etag, "IfMatchSize": 4},
    ]:
        refused("PreconditionFailed", 412, s3.delete_object, **k, **wrong)
        assert there(s3, bucket, "k"), wrong
    s3.delete_object(**k, IfMatch=etag, IfMatchLastModifiedTime=written, IfMatchSize=3)
    assert not there(s3, bucket, "k")


def test_of_what_is_not_there_nothing_is_asked(s3, bucket):
    for condition in [{"IfMatch": "*"}, {"IfMatch": "x"}, {"IfMatchSize": 1}]:
        reply = s3.delete_object(Bucket=bucket, Key="none", **condition)
        assert reply["ResponseMetadata"]["HTTPStatusCode"] == 204 and "DeleteMarker" not in reply
    assert "DeleteMarkers" not in s3.list_object_versions(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch="*")
    assert not there(s3, bucket, "k")


def test_a_batch_has_a_condition_for_each_key(s3, bucket):
    tags = {key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"] for key in "abcd"}
    written = s3.head_object(Bucket=bucket, Key="c")["LastModified"]
    objects = [
        {"Key": "a", "ETag": tags["a"], "Size": 1},
        {"Key": "b", "ETag": tags["a"]},
        {"Key": "c", "LastModifiedTime": written},
        {"Key": "d", "Size": 2},
        {"Key": "none", "ETag": "x"},
    ]
    reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [d["Key"] for d in reply["Deleted"]] == ["a", "c", "none"]
    assert [(e["Key"], e["Code"]) for e in reply["Errors"]] == [("b", "PreconditionFailed"), ("d", "PreconditionFailed")]
    assert [there(s3, bucket, key) for key in "abcd"] == [False, True, False, True]


def test_of_many_deletions_of_one_state_one_wins(cloud, s3, bucket):
    """Each writer replaces what it has seen: nobody deletes what another has written meanwhile."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0")["ETag"]
    clients = [cloud.client("s3") for _ in range(6)]

    def act(n):
        try:
            if n % 2:
                return ("delete", clients[n].delete_object(Bucket=bucket, Key="k", IfMatch=etag)) and "deleted"
            return clients[n].put_object(Bucket=bucket, Key="k", Body=bytes([65 + n]), IfMatch=etag) and "written"
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(act, range(6)))
    assert all(d in ("deleted", "written", "PreconditionFailed", "NoSuchKey") for d in done), done
    assert done.count("written") <= 1
    # Once somebody has written, what was written stays: no deletion meant it.
    assert there(s3, bucket, "k") == ("written" in done), done
