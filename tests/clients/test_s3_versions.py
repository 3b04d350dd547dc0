"""Versioning of objects, as boto3 sees it."""

import uuid

import pytest
from botocore.exceptions import ClientError

MIB = 1024 * 1024


@pytest.fixture(scope="session")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def bucket(s3):
    """An empty bucket; whatever is in it afterwards goes, version by version."""
    name = f"versions-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    yield name
    empty(s3, name)
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def versioned(s3, bucket):
    status(s3, bucket, "Enabled")
    return bucket


def status(s3, bucket, to):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": to})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == to


def empty(s3, bucket):
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        rows = page.get("Versions", []) + page.get("DeleteMarkers", [])
        if rows:
            objects = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
            reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
            assert "Errors" not in reply and len(reply["Deleted"]) == len(objects), reply


def refused(code, http, call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    reply = caught.value.response
    assert (reply["Error"]["Code"], reply["ResponseMetadata"]["HTTPStatusCode"]) == (code, http), reply
    return reply


def put(s3, bucket, key, body):
    return s3.put_object(Bucket=bucket, Key=key, Body=body).get("VersionId")


def body(s3, bucket, key, **options):
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def history(s3, bucket, key):
    """(id, latest, body or None for a marker), as listed."""
    reply = s3.list_object_versions(Bucket=bucket, Prefix=key)
    rows = [(r, body(s3, bucket, key, VersionId=r["VersionId"])) for r in reply.get("Versions", [])]
    rows += [(r, None) for r in reply.get("DeleteMarkers", [])]
    rows.sort(key=lambda row: row[0]["LastModified"], reverse=True)
    return {(r["VersionId"], r["IsLatest"], data) for r, data in rows if r["Key"] == key}


def test_a_bucket_says_whether_it_is_versioned(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    status(s3, bucket, "Suspended")
    status(s3, bucket, "Enabled")
    for configuration, code, http in [
        ({}, "IllegalVersioningConfigurationException", 400),
        ({"Status": "enabled"}, "MalformedXML", 400),
        ({"Status": "Enabled", "MFADelete": "Enabled"}, "AccessDenied", 403),
    ]:
        refused(code, http, s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=configuration)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended", "MFADelete": "Disabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"
    absent = f"absent-{uuid.uuid4().hex}"
    refused("NoSuchBucket", 404, s3.get_bucket_versioning, Bucket=absent)
    refused("NoSuchBucket", 404, s3.list_object_versions, Bucket=absent)


def test_without_versioning_there_is_only_null(s3, bucket):
    assert put(s3, bucket, "k", b"1") is None
    assert put(s3, bucket, "k", b"2") is None
    got = s3.get_object(Bucket=bucket, Key="k", VersionId="null")
    assert got["Body"].read() == b"2" and "VersionId" not in got
    assert history(s3, bucket, "k") == {("null", True, b"2")}
    for wrong in ("x", "0" * 32, "EXAMPLE3L4kqtJlcpXroDTDmJrmSpXd3"):
        told = refused("InvalidArgument", 400, s3.get_object, Bucket=bucket, Key="k", VersionId=wrong)
        assert told["Error"]["Message"] == "Invalid version id specified", told
        assert told["Error"]["ArgumentName"] == "versionId" and told["Error"]["ArgumentValue"] == wrong, told
        refused("InvalidArgument", 400, s3.delete_object, Bucket=bucket, Key="k", VersionId=wrong)
        refused("400", 400, s3.head_object, Bucket=bucket, Key="k", VersionId=wrong)
    reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": "x"}]})
    assert reply["Errors"][0]["Code"] == "NoSuchVersion" and reply["Errors"][0]["VersionId"] == "x", reply
    gone = s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert "VersionId" not in gone and "DeleteMarker" not in gone, gone
    refused("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="k", VersionId="null")
    assert "VersionId" not in s3.delete_object(Bucket=bucket, Key="k")


def test_versions_markers_and_what_brings_them_back(s3, versioned):
    one, two = put(s3, versioned, "k", b"one"), put(s3, versioned, "k", b"two" * 3000)
    assert one != two and "null" not in (one, two)
    assert body(s3, versioned, "k") == b"two" * 3000
    got = s3.get_object(Bucket=versioned, Key="k", VersionId=one)
    assert (got["Body"].read(), got["VersionId"]) == (b"one", one)
    assert s3.head_object(Bucket=versioned, Key="k")["VersionId"] == two
    assert s3.get_object(Bucket=versioned, Key="k", VersionId=two, Range="bytes=0-2")["Body"].read() == b"two"

    gone = s3.delete_object(Bucket=versioned, Key="k")
    marker = gone["VersionId"]
    assert gone["DeleteMarker"] is True and marker not in (one, two)
    told = refused("NoSuchKey", 404, s3.get_object, Bucket=versioned, Key="k")
    headers = told["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-delete-marker"] == "true" and headers["x-amz-version-id"] == marker, headers
    told = refused("404", 404, s3.head_object, Bucket=versioned, Key="k")
    assert told["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    told = refused("MethodNotAllowed", 405, s3.get_object, Bucket=versioned, Key="k", VersionId=marker)
    headers = told["ResponseMetadata"]["HTTPHeaders"]
    assert headers["allow"] == "DELETE" and headers["x-amz-delete-marker"] == "true" and headers["last-modified"]
    assert told["Error"]["ResourceType"] == "DeleteMarker", told
    refused("405", 405, s3.head_object, Bucket=versioned, Key="k", VersionId=marker)
    assert body(s3, versioned, "k", VersionId=two) == b"two" * 3000
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    assert history(s3, versioned, "k") == {(marker, True, None), (two, False, b"two" * 3000), (one, False, b"one")}
    refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket=versioned)

    # The marker goes, the key is back.
    gone = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, marker), gone
    assert s3.list_objects_v2(Bucket=versioned)["Contents"][0]["Size"] == 9000
    gone = s3.delete_object(Bucket=versioned, Key="k", VersionId=two)
    assert gone["VersionId"] == two and "DeleteMarker" not in gone, gone
    assert body(s3, versioned, "k") == b"one"
    refused("NoSuchVersion", 404, s3.get_object, Bucket=versioned, Key="k", VersionId=two)
    refused("404", 404, s3.head_object, Bucket=versioned, Key="k", VersionId=two)
    refused("NoSuchVersion", 404, s3.get_object, Bucket=versioned, Key="k", VersionId="null")
    assert s3.delete_object(Bucket=versioned, Key="k", VersionId=two)["VersionId"] == two, "twice is no error"
    for wrong in ("x", "K" * 32):
        told = refused("InvalidArgument", 400, s3.get_object, Bucket=versioned, Key="k", VersionId=wrong)
        assert told["Error"]["Message"] == "Invalid version id specified", told


def test_objects_from_before_are_null_versions(s3, bucket):
    put(s3, bucket, "k", b"before")
    status(s3, bucket, "Enabled")
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    new = put(s3, bucket, "k", b"after")
    assert history(s3, bucket, "k") == {(new, True, b"after"), ("null", False, b"before")}
    status(s3, bucket, "Suspended")
    assert put(s3, bucket, "k", b"suspended") == "null"
    assert history(s3, bucket, "k") == {("null", True, b"suspended"), (new, False, b"after")}
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null"), gone
    assert history(s3, bucket, "k") == {("null", True, None), (new, False, b"after")}
    gone = s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null"), gone
    assert body(s3, bucket, "k") == b"after"
    assert s3.delete_object(Bucket=bucket, Key="k", VersionId="null")["VersionId"] == "null"


def test_copies_of_versions(s3, versioned):
    one, two = put(s3, versioned, "k", b"one"), put(s3, versioned, "k", b"two")
    source = {"Bucket": versioned, "Key": "k"}
    copied = s3.copy_object(Bucket=versioned, Key="c", CopySource=source)
    assert copied["CopySourceVersionId"] == two and copied["VersionId"] not in (one, two), copied
    refused("InvalidRequest", 400, s3.copy_object, Bucket=versioned, Key="k", CopySource=source)
    back = s3.copy_object(Bucket=versioned, Key="k", CopySource={**source, "VersionId": one})
    assert back["CopySourceVersionId"] == one
    assert body(s3, versioned, "k") == b"one", "an older version is the newest again"
    assert len(history(s3, versioned, "k")) == 3
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    told = refused("NoSuchKey", 404, s3.copy_object, Bucket=versioned, Key="d", CopySource=source)
    assert "x-amz-delete-marker" not in told["ResponseMetadata"]["HTTPHeaders"]
    refused("InvalidRequest", 400, s3.copy_object, Bucket=versioned, Key="d", CopySource={**source, "VersionId": marker})
    refused("InvalidArgument", 400, s3.copy_object, Bucket=versioned, Key="d", CopySource={**source, "VersionId": "x"})
    unknown = {**source, "VersionId": "f" * 16 + "1" * 16}
    refused("NoSuchVersion", 404, s3.copy_object, Bucket=versioned, Key="d", CopySource=unknown)


def test_uploads_in_parts_make_versions(s3, versioned):
    old = put(s3, versioned, "big", b"x" * (6 * MIB))
    put(s3, versioned, "big", b"newer")
    upload = s3.create_multipart_upload(Bucket=versioned, Key="big")["UploadId"]
    named = {"Bucket": versioned, "Key": "big", "UploadId": upload}
    source = {"Bucket": versioned, "Key": "big", "VersionId": old}
    first = s3.upload_part_copy(**named, PartNumber=1, CopySource=source)
    assert first["CopySourceVersionId"] == old
    second = s3.upload_part(**named, PartNumber=2, Body=b"end")
    etags = [first["CopyPartResult"]["ETag"], second["ETag"]]
    parts = {"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]}
    done = s3.complete_multipart_upload(**named, MultipartUpload=parts)
    assert s3.head_object(Bucket=versioned, Key="big")["VersionId"] == done["VersionId"]
    later = put(s3, versioned, "big", b"later")
    again = s3.complete_multipart_upload(**named, MultipartUpload=parts)
    assert (again["VersionId"], again["ETag"]) == (done["VersionId"], done["ETag"]), "also when it is the newest no more"
    assert body(s3, versioned, "big") == b"later"
    assert body(s3, versioned, "big", VersionId=done["VersionId"]) == b"x" * (6 * MIB) + b"end"
    assert s3.get_object(Bucket=versioned, Key="big", VersionId=done["VersionId"], PartNumber=2)["PartsCount"] == 2
    assert later != done["VersionId"]


def test_batches_tell_what_became_of_each(s3, versioned):
    ids = {key: put(s3, versioned, key, key.encode()) for key in ("a", "b", "c")}
    objects = [
        {"Key": "a"},
        {"Key": "b", "VersionId": ids["b"]},
        {"Key": "absent"},
        {"Key": "c", "VersionId": "no-id"},
        {"Key": "c", "VersionId": "0" * 15 + "1" * 17},
    ]
    reply = s3.delete_objects(Bucket=versioned, Delete={"Objects": objects})
    done = {(d["Key"], d.get("VersionId")): d for d in reply["Deleted"]}
    marker = done["a", None]
    assert marker["DeleteMarker"] is True and marker["DeleteMarkerVersionId"] not in ids.values()
    assert done["b", ids["b"]] == {"Key": "b", "VersionId": ids["b"]}
    assert done["absent", None]["DeleteMarker"] is True, "a marker also where there is nothing"
    assert ("c", "0" * 15 + "1" * 17) in done
    assert [(e["Key"], e["Code"], e["VersionId"]) for e in reply["Errors"]] == [("c", "NoSuchVersion", "no-id")]
    gone = [{"Key": "a", "VersionId": marker["DeleteMarkerVersionId"]}]
    reply = s3.delete_objects(Bucket=versioned, Delete={"Objects": gone})
    assert reply["Deleted"] == [
        {
            "Key": "a",
            "VersionId": gone[0]["VersionId"],
            "DeleteMarker": True,
            "DeleteMarkerVersionId": gone[0]["VersionId"],
        }
    ]
    assert body(s3, versioned, "a") == b"a"
    quiet = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "a"}], "Quiet": True})
    assert "Deleted" not in quiet


def test_conditions_see_the_newest_version(s3, versioned):
    put(s3, versioned, "k", b"1")
    refused("PreconditionFailed", 412, s3.put_object, Bucket=versioned, Key="k", Body=b"2", IfNoneMatch="*")
    etag = s3.head_object(Bucket=versioned, Key="k")["ETag"]
    s3.delete_object(Bucket=versioned, Key="k")
    refused("NoSuchKey", 404, s3.put_object, Bucket=versioned, Key="k", Body=b"2", IfMatch=etag)
    s3.put_object(Bucket=versioned, Key="k", Body=b"2", IfNoneMatch="*")
    assert len(history(s3, versioned, "k")) == 3


def test_lists_of_versions_go_on_page_by_page(s3, versioned):
    for key in ("a", "d/1", "d/2", "k", "z"):
        for n in range(3):
            put(s3, versioned, key, f"{key}{n}".encode())
    s3.delete_object(Bucket=versioned, Key="k")

    def pages(size, **options):
        rows, prefixes = [], []
        paginator = s3.get_paginator("list_object_versions")
        for page in paginator.paginate(Bucket=versioned, PaginationConfig={"PageSize": size}, **options):
            both = page.get("Versions", []) + page.get("DeleteMarkers", [])
            assert len(both) + len(page.get("CommonPrefixes", [])) <= size
            assert page["Name"] == versioned and page["MaxKeys"] == size
            rows += [(r["Key"], r["VersionId"], r["IsLatest"], "ETag" in r) for r in both]
            prefixes += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        return sorted(rows), prefixes

    whole, _ = pages(1000)
    assert len(whole) == 16 and sum(latest for _, _, latest, _ in whole) == 5
    assert [(key, latest) for key, _, latest, data in whole if not data] == [("k", True)]
    for size in (1, 2, 3, 7):
        assert pages(size) == (whole, []), size
        rows, prefixes = pages(size, Delimiter="/")
        assert (rows, prefixes) == ([row for row in whole if "/" not in row[0]], ["d/"]), size
        assert pages(size, Prefix="d/")[0] == [row for row in whole if row[0].startswith("d/")]
    first = s3.list_object_versions(Bucket=versioned, MaxKeys=2)
    assert first["IsTruncated"] and first["NextKeyMarker"] == "a"
    assert first["NextVersionIdMarker"] == first["Versions"][1]["VersionId"]
    after_key = s3.list_object_versions(Bucket=versioned, KeyMarker="d/2")
    assert {r["Key"] for r in after_key["Versions"]} == {"k", "z"}, "without a version the key is passed"
    assert s3.list_object_versions(Bucket=versioned, MaxKeys=0)["IsTruncated"] is False
    refused("InvalidArgument", 400, s3.list_object_versions, Bucket=versioned, VersionIdMarker="x")
    refused("InvalidArgument", 400, s3.list_object_versions, Bucket=versioned, KeyMarker="a", VersionIdMarker="x")
    # What a page ended on may go meanwhile.
    s3.delete_object(Bucket=versioned, Key="a", VersionId=first["NextVersionIdMarker"])
    markers = {"KeyMarker": "a", "VersionIdMarker": first["NextVersionIdMarker"]}
    rest = s3.list_object_versions(Bucket=versioned, **markers)
    assert [r["Key"] for r in rest["Versions"]][:2] == ["a", "d/1"], rest
