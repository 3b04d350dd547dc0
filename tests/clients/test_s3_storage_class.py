"""Storage classes and what goes with them in copies and listings, as boto3 sees them."""

import pytest

from s3_objects import make, refused, remove, upload

CLASSES = ["REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"]


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def bucket(s3):
    name = make(s3, "class")
    yield name
    remove(s3, name)


def test_classes_are_kept_and_told(s3, bucket):
    s3.put_object(Bucket=bucket, Key="STANDARD", Body=b"x", StorageClass="STANDARD")
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="STANDARD")
    for name in CLASSES:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x", StorageClass=name)
        assert s3.get_object(Bucket=bucket, Key=name)["StorageClass"] == name
        told = s3.get_object_attributes(Bucket=bucket, Key=name, ObjectAttributes=["StorageClass"])
        assert told["StorageClass"] == name
    for rows in [
        s3.list_objects(Bucket=bucket)["Contents"],
        s3.list_objects_v2(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])["Contents"],
        s3.list_object_versions(Bucket=bucket)["Versions"],
    ]:
        assert [row["StorageClass"] for row in rows] == [row["Key"] for row in rows]
        assert not any("RestoreStatus" in row for row in rows)
    id = s3.create_multipart_upload(Bucket=bucket, Key="parts", StorageClass="GLACIER_IR")["UploadId"]
    assert s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["StorageClass"] == "GLACIER_IR"
    assert s3.list_parts(Bucket=bucket, Key="parts", UploadId=id)["StorageClass"] == "GLACIER_IR"
    s3.abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=id)
    upload(s3, bucket, "parts", [(1, b"x")], StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key="parts")["StorageClass"] == "STANDARD_IA"


def test_what_would_need_a_restore_is_refused(s3, bucket):
    put = lambda name: {"Bucket": bucket, "Key": "k", "Body": b"x", "StorageClass": name}
    for name in ["GLACIER", "DEEP_ARCHIVE"]:
        reply = refused("NotImplemented", 501, s3.put_object, **put(name))
        assert name in reply["Error"]["Message"]
    refused("InvalidStorageClass", 400, s3.put_object, **put("COLD"))
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.put_object(**put("GLACIER_IR"))
    restore = {"Bucket": bucket, "Key": "k", "RestoreRequest": {"Days": 1}}
    refused("InvalidObjectState", 403, s3.restore_object, **restore)
    refused("NoSuchKey", 404, s3.restore_object, **{**restore, "Key": "none"})
    refused("NotImplemented", 501, s3.get_object_torrent, Bucket=bucket, Key="k")
    select = {"CSV": {}}
    refused(
        "MethodNotAllowed", 405, s3.select_object_content, Bucket=bucket, Key="k", ExpressionType="SQL",
        Expression="select * from s3object", InputSerialization=select, OutputSerialization=select,
    )


def test_a_copy_says_all_anew(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="k", Body=b"x", StorageClass="STANDARD_IA", WebsiteRedirectLocation="/old",
        Metadata={"m": "1"}, ContentType="text/plain", Tagging="t=1",
    )
    assert s3.head_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == "/old"
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["ContentType"], head["Metadata"], head["TagCount"] if "TagCount" in head else 1) == ("text/plain", {"m": "1"}, 1)
    assert "StorageClass" not in head and "WebsiteRedirectLocation" not in head
    s3.copy_object(
        Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="REPLACE", ContentType="text/html",
        Metadata={"n": "2"}, TaggingDirective="REPLACE", Tagging="u=2", StorageClass="GLACIER_IR",
        WebsiteRedirectLocation="https://example.org/",
    )
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["ContentType"], head["Metadata"], head["StorageClass"]) == ("text/html", {"n": "2"}, "GLACIER_IR")
    assert head["WebsiteRedirectLocation"] == "https://example.org/"
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "u", "Value": "2"}]


def test_a_copy_onto_itself_changes_something(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    onto = {"Bucket": bucket, "Key": "k", "CopySource": {"Bucket": bucket, "Key": "k"}}
    refused("InvalidRequest", 400, s3.copy_object, **onto)
    refused("InvalidRedirectLocation", 400, s3.copy_object, **onto, WebsiteRedirectLocation="elsewhere")
    for change in [{"StorageClass": "STANDARD_IA"}, {"WebsiteRedirectLocation": "/x"}, {"MetadataDirective": "REPLACE"}]:
        s3.copy_object(**onto, **change)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_listings_tell_owners_when_asked(s3, bucket):
    for key in ["a b", "a+b/c", "é/1"]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    owner = s3.list_buckets()["Owner"]["ID"]
    v1 = s3.list_objects(Bucket=bucket)["Contents"]
    assert [row["Owner"]["ID"] for row in v1] == [owner] * 3
    assert not any("Owner" in row for row in s3.list_objects_v2(Bucket=bucket)["Contents"])
    assert all(row["Owner"]["ID"] == owner for row in s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"])
    assert all(row["Owner"]["ID"] == owner for row in s3.list_object_versions(Bucket=bucket)["Versions"])
    encoded = s3.list_objects_v2(Bucket=bucket, EncodingType="url", Delimiter="/")
    assert [row["Key"] for row in encoded["Contents"]] == ["a%20b"]
    assert [row["Prefix"] for row in encoded["CommonPrefixes"]] == ["a%2Bb/", "%C3%A9/"]
    wrong = {"Bucket": bucket, "OptionalObjectAttributes": ["Weight"]}
    for call in [s3.list_objects, s3.list_objects_v2, s3.list_object_versions]:
        refused("InvalidArgument", 400, call, **wrong)


def test_uploads_of_a_key_are_listed_as_they_began(s3, bucket):
    ids = []
    for key in ["b", "a", "b", "b", "a"]:
        ids.append((key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]))
    wanted = [pair for key in "ab" for pair in ids if pair[0] == key]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [(u["Key"], u["UploadId"]) for page in pages for u in page["Uploads"]] == wanted
    for key, id in ids:
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=id)
