"""Object lock, as boto3 sees it."""

import time
from datetime import datetime, timedelta, timezone

import pytest

from s3_objects import make, refused, remove, upload

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def locked(s3):
    """A bucket with object lock."""
    name = make(s3, "lock", ObjectLockEnabledForBucket=True)
    yield name
    for row in s3.list_object_versions(Bucket=name).get("Versions", []):
        s3.put_object_legal_hold(
            Bucket=name, Key=row["Key"], VersionId=row["VersionId"], LegalHold={"Status": "OFF"}
        )
    remove(s3, name)


@pytest.fixture
def plain(s3):
    name = make(s3, "plain")
    yield name
    remove(s3, name)


def after(delta):
    return (datetime.now(timezone.utc) + delta).replace(microsecond=0)


def retention(mode, until):
    return {"Mode": mode, "RetainUntilDate": until}


def rule(mode, **period):
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": mode, **period}}}


def test_a_bucket_has_object_lock_for_good(s3, locked, plain):
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    get = lambda bucket: s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    assert get(locked) == {"ObjectLockEnabled": "Enabled"}
    suspended = {"Bucket": locked, "VersioningConfiguration": {"Status": "Suspended"}}
    refused("InvalidBucketState", 409, s3.put_bucket_versioning, **suspended)
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=rule("COMPLIANCE", Years=1))
    assert get(locked) == rule("COMPLIANCE", Years=1)
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    assert get(locked) == {"ObjectLockEnabled": "Enabled"}

    refused("ObjectLockConfigurationNotFoundError", 404, s3.get_object_lock_configuration, Bucket=plain)
    put = {"Bucket": plain, "ObjectLockConfiguration": rule("GOVERNANCE", Days=1)}
    refused("InvalidBucketState", 409, s3.put_object_lock_configuration, **put)
    for status in ["Suspended", "Enabled"]:
        s3.put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": status})
        if status == "Suspended":
            refused("InvalidBucketState", 409, s3.put_object_lock_configuration, **put)
    s3.put_object_lock_configuration(**put)
    assert get(plain) == rule("GOVERNANCE", Days=1)


@pytest.mark.parametrize(
    "configuration, code",
    [
        (rule("GOVERNANCE", Days=1, Years=1), "MalformedXML"),
        (rule("governance", Days=1), "MalformedXML"),
        (rule("GOVERNANCE"), "MalformedXML"),
        ({**rule("GOVERNANCE", Days=1), "ObjectLockEnabled": "Disabled"}, "MalformedXML"),
        (rule("GOVERNANCE", Days=0), "InvalidRetentionPeriod"),
        (rule("GOVERNANCE", Years=-1), "InvalidRetentionPeriod"),
        (rule("GOVERNANCE", Days=36501), "InvalidRetentionPeriod"),
    ],
)
def test_configurations_that_cannot_be(s3, locked, configuration, code):
    refused(code, 400, s3.put_object_lock_configuration, Bucket=locked, ObjectLockConfiguration=configuration)


def test_a_retained_version_stays(s3, locked):
    until = after(DAY)
    version = s3.put_object(Bucket=locked, Key="k", Body=b"kept")["VersionId"]
    refused("NoSuchObjectLockConfiguration", 404, s3.get_object_retention, Bucket=locked, Key="k")
    s3.put_object_retention(Bucket=locked, Key="k", Retention=retention("GOVERNANCE", until))
    assert s3.get_object_retention(Bucket=locked, Key="k")["Retention"] == retention("GOVERNANCE", until)
    head = s3.head_object(Bucket=locked, Key="k")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until)
    assert "ObjectLockLegalHoldStatus" not in head

    # A delete marker is no deletion; the version is as it was.
    marker = s3.delete_object(Bucket=locked, Key="k")["VersionId"]
    one = {"Bucket": locked, "Key": "k", "VersionId": version}
    refused("AccessDenied", 403, s3.delete_object, **one)
    s3.delete_object(Bucket=locked, Key="k", VersionId=marker)
    assert s3.get_object(Bucket=locked, Key="k")["Body"].read() == b"kept"
    refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket=locked)

    other = s3.put_object(Bucket=locked, Key="free", Body=b"x")["VersionId"]
    both = [{"Key": "k", "VersionId": version}, {"Key": "free", "VersionId": other}]
    reply = s3.delete_objects(Bucket=locked, Delete={"Objects": both})
    assert [d["Key"] for d in reply["Deleted"]] == ["free"]
    assert [(e["Key"], e["VersionId"], e["Code"]) for e in reply["Errors"]] == [("k", version, "AccessDenied")]
    reply = s3.delete_objects(Bucket=locked, Delete={"Objects": both[:1]}, BypassGovernanceRetention=True)
    assert "Errors" not in reply and reply["Deleted"][0]["VersionId"] == version


def test_retentions_grow_and_end(s3, locked):
    s3.put_object(Bucket=locked, Key="k", Body=b"x")
    put = lambda mode, until, **o: {"Bucket": locked, "Key": "k", "Retention": retention(mode, until), **o}
    near, far = after(DAY), after(2 * DAY)
    s3.put_object_retention(**put("GOVERNANCE", near))
    s3.put_object_retention(**put("GOVERNANCE", far))
    refused("AccessDenied", 403, s3.put_object_retention, **put("GOVERNANCE", near))
    refused("AccessDenied", 403, s3.put_object_retention, **put("COMPLIANCE", far))
    refused("AccessDenied", 403, s3.put_object_retention, Bucket=locked, Key="k", Retention={})
    s3.put_object_retention(**put("GOVERNANCE", near, BypassGovernanceRetention=True))
    s3.put_object_retention(Bucket=locked, Key="k", Retention={}, BypassGovernanceRetention=True)
    refused("NoSuchObjectLockConfiguration", 404, s3.get_object_retention, Bucket=locked, Key="k")

    soon = after(timedelta(seconds=4))
    s3.put_object_retention(**put("COMPLIANCE", soon))
    version = s3.head_object(Bucket=locked, Key="k")["VersionId"]
    for wrong in [put("COMPLIANCE", soon - timedelta(seconds=1)), put("GOVERNANCE", far)]:
        refused("AccessDenied", 403, s3.put_object_retention, **wrong, BypassGovernanceRetention=True)
    delete = {"Bucket": locked, "Key": "k", "VersionId": version, "BypassGovernanceRetention": True}
    refused("AccessDenied", 403, s3.delete_object, **delete)
    time.sleep(5)
    s3.delete_object(**delete)
    refused("NoSuchVersion", 404, s3.get_object, Bucket=locked, Key="k", VersionId=version)


def test_a_legal_hold_has_no_end(s3, locked):
    version = s3.put_object(Bucket=locked, Key="k", Body=b"x")["VersionId"]
    one = {"Bucket": locked, "Key": "k", "VersionId": version}
    refused("NoSuchObjectLockConfiguration", 404, s3.get_object_legal_hold, **one)
    s3.put_object_legal_hold(**one, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(**one)["LegalHold"] == {"Status": "ON"}
    assert s3.get_object(**one)["ObjectLockLegalHoldStatus"] == "ON"
    refused("AccessDenied", 403, s3.delete_object, **one, BypassGovernanceRetention=True)
    refused("MalformedXML", 400, s3.put_object_legal_hold, **one, LegalHold={"Status": "abc"})
    s3.put_object_legal_hold(**one, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(**one)["LegalHold"] == {"Status": "OFF"}
    s3.delete_object(**one)


def test_objects_are_locked_as_they_are_written(s3, locked):
    until = after(DAY)
    lock = {
        "ObjectLockMode": "GOVERNANCE",
        "ObjectLockRetainUntilDate": until,
        "ObjectLockLegalHoldStatus": "ON",
    }
    s3.put_object(Bucket=locked, Key="put", Body=b"x", **lock)
    upload(s3, locked, "upload", [(1, b"x")], **lock)
    s3.copy_object(Bucket=locked, Key="copy", CopySource={"Bucket": locked, "Key": "put"}, **lock)
    for key in ["put", "upload", "copy"]:
        head = s3.head_object(Bucket=locked, Key=key)
        assert {name: head[name] for name in lock} == lock, key
    # A lock is not copied.
    s3.copy_object(Bucket=locked, Key="bare", CopySource={"Bucket": locked, "Key": "put"})
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="bare")


def test_a_bucket_locks_what_says_nothing(s3, locked):
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=rule("GOVERNANCE", Days=2))
    s3.put_object(Bucket=locked, Key="put", Body=b"x")
    upload(s3, locked, "upload", [(1, b"x")])
    s3.copy_object(Bucket=locked, Key="copy", CopySource={"Bucket": locked, "Key": "put"})
    for key in ["put", "upload", "copy"]:
        head = s3.head_object(Bucket=locked, Key=key)
        assert head["ObjectLockMode"] == "GOVERNANCE", key
        assert abs(head["ObjectLockRetainUntilDate"] - head["LastModified"] - 2 * DAY) < timedelta(seconds=10), key
    until = after(DAY)
    s3.put_object(Bucket=locked, Key="own", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    assert s3.head_object(Bucket=locked, Key="own")["ObjectLockRetainUntilDate"] == until
    # Nothing of it for a delete marker.
    marker = s3.delete_object(Bucket=locked, Key="own")["VersionId"]
    s3.delete_object(Bucket=locked, Key="own", VersionId=marker)


def test_locks_that_cannot_be(s3, locked, plain):
    until = after(DAY)
    for bucket in [locked, plain]:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    k = {"Bucket": plain, "Key": "k"}
    put = {"Body": b"x", "ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    for call, more in [
        (s3.put_object_retention, {"Retention": retention("GOVERNANCE", until)}),
        (s3.get_object_retention, {}),
        (s3.put_object_legal_hold, {"LegalHold": {"Status": "ON"}}),
        (s3.get_object_legal_hold, {}),
        (s3.put_object, put),
        (s3.put_object, {"Body": b"x", "ObjectLockLegalHoldStatus": "OFF"}),
    ]:
        refused("InvalidRequest", 400, call, **k, **more)
    k = {"Bucket": locked, "Key": "k"}
    past = after(-DAY)
    for code, call, more in [
        ("InvalidArgument", s3.put_object_retention, {"Retention": retention("GOVERNANCE", past)}),
        ("MalformedXML", s3.put_object_retention, {"Retention": retention("governance", until)}),
        ("MalformedXML", s3.put_object_retention, {"Retention": {"Mode": "GOVERNANCE"}}),
        ("InvalidArgument", s3.put_object, {**put, "ObjectLockRetainUntilDate": past}),
        ("InvalidArgument", s3.put_object, {**put, "ObjectLockMode": "abc"}),
        ("InvalidArgument", s3.put_object, {"Body": b"x", "ObjectLockMode": "GOVERNANCE"}),
        ("InvalidArgument", s3.put_object, {"Body": b"x", "ObjectLockRetainUntilDate": until}),
        ("InvalidArgument", s3.put_object, {"Body": b"x", "ObjectLockLegalHoldStatus": "on"}),
    ]:
        refused(code, 400, call, **k, **more)
    none = {"Bucket": locked, "Key": "none"}
    refused("NoSuchKey", 404, s3.put_object_retention, **none, Retention=retention("GOVERNANCE", until))
    refused("NoSuchKey", 404, s3.get_object_legal_hold, **none)
    assert len(s3.list_object_versions(Bucket=locked)["Versions"]) == 1


def test_a_locked_put_comes_with_a_hash(cloud, locked):
    from botocore.config import Config

    s3 = cloud.client("s3", config=Config(request_checksum_calculation="when_required", retries={"max_attempts": 1}))
    # Such a client leaves out the checksum that AWS asks for; botocore adds one to most, so that it is taken away.
    drop = lambda request, **_: [request.headers.__delitem__(n) for n in list(request.headers) if n.lower() in (
        "content-md5", "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm")]
    s3.meta.events.register("before-sign.s3.PutObject", drop)
    reply = refused("InvalidRequest", 400, s3.put_object, Bucket=locked, Key="k", Body=b"x", ObjectLockLegalHoldStatus="ON")
    assert "Content-MD5 OR x-amz-checksum-" in reply["Error"]["Message"]
    s3.put_object(Bucket=locked, Key="k", Body=b"x")
