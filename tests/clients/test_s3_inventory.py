"""Inventories, as boto3 sees them, in a store whose day has two seconds."""

import csv
import gzip
import hashlib
import io
import json
import urllib.parse

import pytest

from s3_jobs import bucket, eventually, lets, make, refused, s3, store  # noqa: F401 (fixtures)

SERVICE = "s3.amazonaws.com"
FIELDS = [
    "Size", "LastModifiedDate", "ETag", "StorageClass", "IsMultipartUploaded", "ReplicationStatus", "EncryptionStatus",
    "ObjectLockRetainUntilDate", "ObjectLockMode", "ObjectLockLegalHoldStatus", "BucketKeyStatus", "ChecksumAlgorithm",
    "ObjectOwner",
]  # fmt: skip


def configuration(id, to, fields=(), versions="Current", frequency="Daily", prefix=None, only=None, **more):
    place = {"Bucket": f"arn:aws:s3:::{to}", "Format": "CSV", **({"Prefix": prefix} if prefix else {})}
    return {
        "Id": id,
        "IsEnabled": True,
        "Destination": {"S3BucketDestination": {**place, **more}},
        "IncludedObjectVersions": versions,
        "Schedule": {"Frequency": frequency},
        **({"OptionalFields": list(fields)} if fields else {}),
        **({"Filter": {"Prefix": only}} if only else {}),
    }


def put(s3, bucket, given):
    s3.put_bucket_inventory_configuration(Bucket=bucket, Id=given["Id"], InventoryConfiguration=given)


def read(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def newest(s3, to, place):
    """The newest list below a place: its manifest and its rows."""
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=to, Prefix=place).get("Contents", [])]
    sums = [key for key in keys if key.endswith("manifest.checksum")]
    if not sums:
        return None
    text = read(s3, to, sums[-1].replace(".checksum", ".json"))
    if hashlib.md5(text).hexdigest() != read(s3, to, sums[-1]).decode():
        return None  # The next list is on its way.
    manifest = json.loads(text)
    columns, rows = manifest["fileSchema"].split(", "), []
    for file in manifest["files"]:
        data = read(s3, to, file["key"])
        assert (len(data), hashlib.md5(data).hexdigest()) == (file["size"], file["MD5checksum"])
        for row in csv.reader(io.StringIO(gzip.decompress(data).decode())):
            assert len(row) == len(columns), row
            rows.append(dict(zip(columns, row)))
    return manifest, rows


def test_configurations_read_back(s3, bucket):
    to = make(s3)
    refused("NoSuchConfiguration", 404, s3.get_bucket_inventory_configuration, Bucket=bucket, Id="a")
    refused("NoSuchConfiguration", 404, s3.delete_bucket_inventory_configuration, Bucket=bucket, Id="a")
    given = configuration("a", to, FIELDS, "All", "Weekly", "p", "in/", Encryption={"SSES3": {}})
    put(s3, bucket, given)
    assert s3.get_bucket_inventory_configuration(Bucket=bucket, Id="a")["InventoryConfiguration"] == given
    assert s3.list_bucket_inventory_configurations(Bucket=bucket)["InventoryConfigurationList"] == [given]
    s3.delete_bucket_inventory_configuration(Bucket=bucket, Id="a")
    reply = s3.list_bucket_inventory_configurations(Bucket=bucket)
    assert not reply["IsTruncated"] and "InventoryConfigurationList" not in reply


def test_pages(s3, bucket):
    to = make(s3)
    ids = [f"i{n:03}" for n in range(103)]
    for id in ids:
        put(s3, bucket, {**configuration(id, to), "IsEnabled": False})
    first = s3.list_bucket_inventory_configurations(Bucket=bucket)
    assert first["IsTruncated"] and len(first["InventoryConfigurationList"]) == 100
    token = first["NextContinuationToken"]
    second = s3.list_bucket_inventory_configurations(Bucket=bucket, ContinuationToken=token)
    assert not second["IsTruncated"] and second["ContinuationToken"] == token
    both = first["InventoryConfigurationList"] + second["InventoryConfigurationList"]
    assert [one["Id"] for one in both] == ids
    refused("InvalidArgument", 400, s3.list_bucket_inventory_configurations, Bucket=bucket, ContinuationToken="!")


def test_what_is_refused(store, s3, bucket):
    to = make(s3)
    theirs, account = store.other()

    def refuses(code, status, given):
        refused(code, status, s3.put_bucket_inventory_configuration, Bucket=bucket, Id="a", InventoryConfiguration=given)

    refuses("InvalidArgument", 400, configuration("b", to))
    refuses("InvalidS3DestinationBucket", 400, configuration("a", "not-there-at-all"))
    refuses("InvalidS3DestinationBucket", 400, configuration("a", to, AccountId=account))
    refuses("NotImplemented", 501, configuration("a", to, Format="ORC"))
    refuses("NotImplemented", 501, configuration("a", to, ["ObjectAccessControlList"]))
    refuses("NotImplemented", 501, configuration("a", to, Encryption={"SSEKMS": {"KeyId": "k"}}))
    refused("AccessDenied", 403, theirs.list_bucket_inventory_configurations, Bucket=bucket)


def test_lists(s3, bucket):
    to = make(s3)
    lets(s3, to, SERVICE, bucket)
    keys = ["in/a b", 'in/"c",d\u00e9', "out"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345", StorageClass="STANDARD_IA")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="in/parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="in/parts", UploadId=upload, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="in/parts", UploadId=upload, MultipartUpload=parts)
    put(s3, bucket, configuration("all", to, FIELDS, prefix="lists"))
    put(s3, bucket, configuration("some", to, only="in/", Encryption={"SSES3": {}}))
    manifest, rows = eventually(lambda: newest(s3, to, f"lists/{bucket}/all/"))
    assert manifest["sourceBucket"] == bucket and manifest["destinationBucket"] == f"arn:aws:s3:::{to}"
    assert manifest["fileFormat"] == "CSV" and manifest["fileSchema"] == ", ".join(["Bucket", "Key", *FIELDS])
    assert [urllib.parse.unquote(row["Key"]) for row in rows] == sorted([*keys, "in/parts"])
    by_key = {urllib.parse.unquote(row["Key"]): row for row in rows}
    head = s3.head_object(Bucket=bucket, Key="out")
    out = by_key["out"]
    assert (out["Bucket"], out["Size"], out["ETag"]) == (bucket, "5", head["ETag"].strip('"'))
    assert (out["StorageClass"], out["IsMultipartUploaded"], out["EncryptionStatus"]) == ("STANDARD_IA", "false", "NOT-SSE")
    assert (out["ObjectLockLegalHoldStatus"], out["BucketKeyStatus"]) == ("OFF", "DISABLED")
    assert out["LastModifiedDate"].startswith(head["LastModified"].strftime("%Y-%m-%dT%H:%M:%S."))
    assert out["ObjectOwner"] == s3.get_bucket_acl(Bucket=bucket)["Owner"]["ID"]
    assert by_key["in/parts"]["IsMultipartUploaded"] == "true"
    # The filtered one, encrypted; and what Hive reads.
    _, rows = eventually(lambda: newest(s3, to, f"{bucket}/some/"))
    assert [urllib.parse.unquote(row["Key"]) for row in rows] == sorted([*keys[:2], "in/parts"])
    hive = s3.list_objects_v2(Bucket=to, Prefix=f"{bucket}/some/hive/dt=")["Contents"][-1]["Key"]
    assert hive.endswith("/symlink.txt")
    data = read(s3, to, hive).decode().strip().removeprefix(f"s3://{to}/")
    assert data.endswith(".csv.gz") and s3.head_object(Bucket=to, Key=data)["ServerSideEncryption"] == "AES256"


def test_versions(s3, bucket):
    to = make(s3)
    lets(s3, to, SERVICE, bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    put(s3, bucket, configuration("v", to, ["Size"], "All"))
    put(s3, bucket, configuration("now", to))
    manifest, rows = eventually(lambda: newest(s3, to, f"{bucket}/v/"))
    assert manifest["fileSchema"] == "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size"
    told = [(row["VersionId"], row["IsLatest"], row["IsDeleteMarker"], row["Size"]) for row in rows]
    assert told == [(marker, "true", "true", ""), (second, "false", "false", "3"), ("", "false", "false", "4")]
    _, rows = eventually(lambda: newest(s3, to, f"{bucket}/now/"))
    assert rows == []


def test_disabled_weekly_and_without_leave(s3, bucket):
    to, closed = make(s3), make(s3)
    lets(s3, to, SERVICE, bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    put(s3, bucket, {**configuration("off", to), "IsEnabled": False})
    put(s3, bucket, configuration("closed", closed))
    put(s3, bucket, configuration("week", to, frequency="Weekly"))
    # A week of these days has 14 seconds.
    eventually(lambda: newest(s3, to, f"{bucket}/week/"), 30)
    assert s3.list_objects_v2(Bucket=to, Prefix=f"{bucket}/off/")["KeyCount"] == 0
    assert s3.list_objects_v2(Bucket=closed)["KeyCount"] == 0


def test_configurations_that_there_are_not(s3, bucket):
    """Of what no bucket can have, reading tells that there is none, and writing is refused by name."""
    assert not s3.list_bucket_metrics_configurations(Bucket=bucket)["IsTruncated"]
    assert not s3.list_bucket_analytics_configurations(Bucket=bucket)["IsTruncated"]
    assert not s3.list_bucket_intelligent_tiering_configurations(Bucket=bucket)["IsTruncated"]
    for get in (
        s3.get_bucket_metrics_configuration,
        s3.get_bucket_analytics_configuration,
        s3.get_bucket_intelligent_tiering_configuration,
    ):
        refused("NoSuchConfiguration", 404, get, Bucket=bucket, Id="x")
    metrics = {"Bucket": bucket, "Id": "x", "MetricsConfiguration": {"Id": "x"}}
    refused("NotImplemented", 501, s3.put_bucket_metrics_configuration, **metrics)
    analytics = {"Id": "x", "StorageClassAnalysis": {}}
    refused("NotImplemented", 501, s3.put_bucket_analytics_configuration, Bucket=bucket, Id="x", AnalyticsConfiguration=analytics)
    tiering = {"Id": "x", "Status": "Enabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]}
    refused(
        "NotImplemented", 501, s3.put_bucket_intelligent_tiering_configuration,
        Bucket=bucket, Id="x", IntelligentTieringConfiguration=tiering,
    )  # fmt: skip
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    accelerate = {"Bucket": bucket, "AccelerateConfiguration": {"Status": "Enabled"}}
    refused("MethodNotAllowed", 405, s3.put_bucket_accelerate_configuration, **accelerate)
