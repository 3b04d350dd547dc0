"""GetObjectAttributes, as boto3 sees it."""

import base64
import hashlib

import pytest

from s3_objects import make, refused, remove, upload

MIB = 1024 * 1024
ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def bucket(s3):
    name = make(s3, "attributes")
    yield name
    remove(s3, name)


def sha256(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def test_what_is_told_of_an_object(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"abc", ChecksumAlgorithm="SHA256")
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=ALL)
    assert told["ETag"] == put["ETag"].strip('"')
    assert told["Checksum"] == {"ChecksumSHA256": sha256(b"abc"), "ChecksumType": "FULL_OBJECT"}
    assert (told["StorageClass"], told["ObjectSize"]) == ("STANDARD", 3)
    assert "ObjectParts" not in told and "VersionId" not in told
    assert told["LastModified"] == s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    size = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
    assert size["ObjectSize"] == 3 and not {"ETag", "Checksum", "StorageClass"} & set(size)


def test_parts_are_told_page_by_page(s3, bucket):
    parts = [(2, b"a" * 5 * MIB), (3, b"b" * 5 * MIB), (7, b"c" * 10)]
    whole = upload(s3, bucket, "k", parts, ChecksumAlgorithm="SHA256")
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=ALL)
    assert told["Checksum"] == {"ChecksumSHA256": whole["ChecksumSHA256"], "ChecksumType": "COMPOSITE"}
    listed = told["ObjectParts"]
    assert (listed["TotalPartsCount"], listed["IsTruncated"], listed["PartNumberMarker"]) == (3, False, 0)
    assert [(p["PartNumber"], p["Size"], p["ChecksumSHA256"]) for p in listed["Parts"]] == [
        (number, len(data), sha256(data)) for number, data in parts
    ]
    page = lambda **o: s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts"], **o)["ObjectParts"]
    first = page(MaxParts=2)
    assert ([p["PartNumber"] for p in first["Parts"]], first["IsTruncated"], first["MaxParts"]) == ([2, 3], True, 2)
    rest = page(MaxParts=2, PartNumberMarker=first["NextPartNumberMarker"])
    assert ([p["PartNumber"] for p in rest["Parts"]], rest["IsTruncated"]) == ([7], False)
    assert "Parts" not in page(PartNumberMarker=7)


def test_a_part_is_read_with_its_own_checksum(s3, bucket):
    parts = [(1, b"a" * 5 * MIB), (2, b"b" * 5 * MIB), (3, b"c" * 10)]
    upload(s3, bucket, "k", parts, ChecksumAlgorithm="SHA256")
    asked = {"Bucket": bucket, "Key": "k", "ChecksumMode": "ENABLED"}
    for number, data in parts:
        for read in [s3.get_object, s3.head_object]:
            told = read(**asked, PartNumber=number)
            assert (told["ChecksumSHA256"], told["ChecksumType"]) == (sha256(data), "COMPOSITE")
            assert (told["PartsCount"], told["ContentLength"]) == (3, len(data))
        assert s3.get_object(**asked, PartNumber=number)["Body"].read() == data
    exact = s3.get_object(**asked, Range=f"bytes={5 * MIB}-{10 * MIB - 1}")
    assert exact["ChecksumSHA256"] == sha256(parts[1][1]) and exact["Body"].read() == parts[1][1]
    for other in [f"bytes=0-{10 * MIB - 1}", "bytes=1-5", f"bytes={5 * MIB}-{5 * MIB}"]:
        assert "ChecksumSHA256" not in s3.get_object(**asked, Range=other)


def test_versions_and_what_is_not_there(s3, bucket):
    one = {"Bucket": bucket, "Key": "k", "ObjectAttributes": ["ObjectSize"]}
    refused("NoSuchKey", 404, s3.get_object_attributes, **one)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"22")
    told = s3.get_object_attributes(**one, VersionId=old)
    assert (told["ObjectSize"], told["VersionId"]) == (1, old)
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    reply = refused("NoSuchKey", 404, s3.get_object_attributes, **one)
    assert reply["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    refused("MethodNotAllowed", 405, s3.get_object_attributes, **one, VersionId=marker)
    refused("InvalidArgument", 400, s3.get_object_attributes, **{**one, "ObjectAttributes": ["Etag"]})
    refused("InvalidRequest", 400, s3.get_object_attributes, **{**one, "ObjectAttributes": []})
