"""What tests of objects and buckets have in common."""

import uuid

import pytest
from botocore.exceptions import ClientError


def make(s3, kind, **options):
    """A new bucket."""
    name = f"{kind}-{uuid.uuid4().hex[:12]}"
    configuration = {"LocationConstraint": s3.meta.region_name, **options.pop("configuration", {})}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=configuration, **options)
    return name


def remove(s3, bucket):
    """Deletes a bucket with all versions that nobody else keeps."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        rows = page.get("Versions", []) + page.get("DeleteMarkers", [])
        if rows:
            objects = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
            reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects}, BypassGovernanceRetention=True)
            assert "Errors" not in reply, reply
    s3.delete_bucket(Bucket=bucket)


def refused(code, http, call, **parameters):
    """The answer to a call that must fail so."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    reply = caught.value.response
    assert (reply["Error"]["Code"], reply["ResponseMetadata"]["HTTPStatusCode"]) == (code, http), reply
    return reply


def upload(s3, bucket, key, parts, **options):
    """Uploads an object in parts; the reply to its completion."""
    id = s3.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"]
    done = []
    for number, body in parts:
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=id, PartNumber=number, Body=body)
        checksums = {name: value for name, value in part.items() if name in ("ChecksumSHA256", "ChecksumCRC32")}
        done.append({"ETag": part["ETag"], "PartNumber": number, **checksums})
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=id, MultipartUpload={"Parts": done})
