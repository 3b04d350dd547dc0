"""Lifecycle rules, as boto3 sees them, in a store whose day has two seconds."""

import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from s3_jobs import bucket, eventually, refused, s3, store  # noqa: F401 (fixtures)


def rules(s3, bucket, *rules):
    given = [{"Status": "Enabled", "Filter": {}, **rule} for rule in rules]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": given})


def keys(s3, bucket):
    return sorted(o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", []))


def history(s3, bucket):
    reply = s3.list_object_versions(Bucket=bucket)
    return reply.get("Versions", []), reply.get("DeleteMarkers", [])


def test_rules_read_back(s3, bucket):
    refused("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    given = [
        {"ID": "old", "Prefix": "a/", "Status": "Enabled", "Expiration": {"Days": 3}},
        {
            "ID": "new",
            "Status": "Disabled",
            "Filter": {
                "And": {"Prefix": "b/", "Tags": [{"Key": "k", "Value": "v"}], "ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 50}
            },
            "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 60, "StorageClass": "GLACIER_IR"}],
            "Expiration": {"Days": 90},
            "NoncurrentVersionTransitions": [{"NoncurrentDays": 30, "StorageClass": "ONEZONE_IA"}],
            "NoncurrentVersionExpiration": {"NoncurrentDays": 31, "NewerNoncurrentVersions": 3},
        },
        {"ID": "abort", "Status": "Enabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
        {"ID": "marker", "Status": "Enabled", "Filter": {}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
        {"ID": "date", "Status": "Enabled", "Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Expiration": {"Date": datetime(2100, 1, 1, tzinfo=timezone.utc)}},
    ]
    reply = s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": given})
    assert reply["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert found["Rules"] == given
    assert found["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    varies = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": given}, **varies)
    found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert found["Rules"] == given and found["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    s3.delete_bucket_lifecycle(Bucket=bucket)
    refused("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    rules(s3, bucket, {"Expiration": {"Days": 1}})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]["ID"]


@pytest.mark.parametrize(
    "code, status, rule",
    [
        ("InvalidArgument", 400, {"Expiration": {"Days": 0}}),
        ("InvalidArgument", 400, {"ID": "x" * 256, "Expiration": {"Days": 1}}),
        ("InvalidArgument", 400, {"Expiration": {"Date": datetime(2030, 1, 1, 5, tzinfo=timezone.utc)}}),
        ("MalformedXML", 400, {"Status": "enabled", "Expiration": {"Days": 1}}),
        ("MalformedXML", 400, {"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}),
        ("InvalidRequest", 400, {}),
        ("InvalidRequest", 400, {"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}),
        ("InvalidRequest", 400, {"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Expiration": {"ExpiredObjectDeleteMarker": True}}),
        ("InvalidRequest", 400, {"Filter": {"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}}, "Expiration": {"Days": 1}}),
        ("InvalidArgument", 400, {"Transitions": [{"Days": 29, "StorageClass": "STANDARD_IA"}]}),
        ("InvalidArgument", 400, {"Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}], "Expiration": {"Days": 30}}),
        ("MalformedXML", 400, {"Transitions": [{"Days": 1, "StorageClass": "COLD"}]}),
        ("NotImplemented", 501, {"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}),
        ("InvalidArgument", 400, {"Transitions": [{"Date": datetime(2030, 1, 1, 5, tzinfo=timezone.utc), "StorageClass": "GLACIER"}]}),
        ("InvalidArgument", 400, {"NoncurrentVersionTransitions": [{"NoncurrentDays": -1, "StorageClass": "GLACIER"}]}),
        ("InvalidArgument", 400, {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 101}}),
    ],
)
def test_bad_rules(s3, bucket, code, status, rule):
    given = {"ID": "r", "Status": "Enabled", "Filter": {}, **rule}
    refused(code, status, s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration={"Rules": [given]})


def test_ids_are_unique_and_rules_at_most_a_thousand(s3, bucket):
    def put(ids):
        given = [{"ID": i, "Status": "Enabled", "Filter": {"Prefix": i}, "Expiration": {"Days": 1}} for i in ids]
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": given})

    refused("InvalidArgument", 400, lambda: put(["a", "a"]))
    put([str(n) for n in range(1000)])
    refused("MalformedXML", 400, lambda: put([str(n) for n in range(1001)]))


def test_objects_expire_by_prefix_tag_and_size(s3, bucket):
    for key, size in [("keep", 9), ("tmp/a", 9), ("tmp/b", 9), ("large", 2000)]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * size)
    rules(
        s3,
        bucket,
        {"ID": "tmp", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}},
        {"ID": "large", "Filter": {"ObjectSizeGreaterThan": 1000}, "Expiration": {"Days": 1}},
        {"ID": "later", "Filter": {"Prefix": "keep"}, "Expiration": {"Days": 4000}},
    )
    eventually(lambda: keys(s3, bucket) == ["keep"])
    time.sleep(1)
    assert keys(s3, bucket) == ["keep"]


def test_replies_tell_when(s3, bucket):
    rules(s3, bucket, {"ID": "a rule", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 1000}}, {"ID": "gone", "Filter": {"Prefix": "up"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1000}})
    for reply in [s3.put_object(Bucket=bucket, Key="x", Body=b""), s3.head_object(Bucket=bucket, Key="x"), s3.get_object(Bucket=bucket, Key="x")]:
        found = re.fullmatch(r'expiry-date="(.*) GMT", rule-id="a%20rule"', reply["Expiration"])
        at = datetime.strptime(found[1], "%a, %d %b %Y %H:%M:%S").replace(tzinfo=timezone.utc)
        # A thousand days of two seconds.
        assert timedelta(seconds=1990) < at - datetime.now(timezone.utc) < timedelta(seconds=2010)
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="y", Body=b"")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="up")
    assert upload["AbortRuleId"] == "gone" and upload["AbortDate"] > datetime.now(timezone.utc)
    assert s3.list_parts(Bucket=bucket, Key="up", UploadId=upload["UploadId"])["AbortRuleId"] == "gone"


def test_versions_go_but_the_newest(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for n in range(5):
        s3.put_object(Bucket=bucket, Key="k", Body=str(n).encode())
    rules(s3, bucket, {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}})
    eventually(lambda: len(history(s3, bucket)[0]) == 3)
    time.sleep(2)
    assert len(history(s3, bucket)[0]) == 3
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"4"


def test_expired_versions_get_a_marker_that_goes_last(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    rules(s3, bucket, {"ID": "e", "Expiration": {"Days": 1}})
    eventually(lambda: not keys(s3, bucket))
    versions, markers = history(s3, bucket)
    assert len(versions) == 1 and len(markers) == 1 and markers[0]["IsLatest"]
    rules(s3, bucket, {"ID": "n", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}, {"ID": "m", "Expiration": {"ExpiredObjectDeleteMarker": True}})
    eventually(lambda: history(s3, bucket) == ([], []))


def test_uploads_are_given_up(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload["UploadId"], PartNumber=1, Body=b"1")
    kept = s3.create_multipart_upload(Bucket=bucket, Key="other")
    rules(s3, bucket, {"Filter": {"Prefix": "k"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    ids = lambda: [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
    eventually(lambda: ids() == [kept["UploadId"]])


def test_classes_change(s3, bucket):
    s3.put_object(Bucket=bucket, Key="small", Body=b"x")
    s3.put_object(Bucket=bucket, Key="large", Body=b"x" * 200_000)
    rules(s3, bucket, {"Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]})
    eventually(lambda: s3.head_object(Bucket=bucket, Key="large").get("StorageClass") == "GLACIER_IR")
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="small")
    shown = {o["Key"]: o["StorageClass"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert shown == {"large": "GLACIER_IR", "small": "STANDARD"}
    assert len(s3.get_object(Bucket=bucket, Key="large")["Body"].read()) == 200_000
