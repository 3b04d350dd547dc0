"""Checksums of parts, addresses of what was completed, ranges of what has changed, and what a web site does when the store
fails, as boto3 and plain HTTP see them. `s3_parts.py URL SCRATCH DOMAIN SITES`; started by clients.rs."""

import http.client
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL, SCRATCH, DOMAIN, SITES = sys.argv[1:]
KEYS = ("AKIAWALRUSTEST000001", "walrus/test+secret")
BODY = b"0123456789" * 10
PART = 5 * 1024 * 1024


def client(**config):
    return boto3.client(
        "s3",
        endpoint_url=URL,
        region_name="us-east-1",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **config),
    )


S3 = client()
# Sends no checksum that nobody asked for.
QUIET = client(request_checksum_calculation="when_required")


def bucket(name):
    S3.create_bucket(Bucket=name)
    return name


def refused(code, call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return error.response["Error"]["Message"]
    raise AssertionError(f"not refused: {code}")


def asked(method, path, host=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(URL).port, timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={**sent, **({"Host": host} if host else {})})
    reply = connection.getresponse()
    return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()


def test_parts_without_checksums():
    name = bucket("parts")
    k = {"Bucket": name, "Key": "a b/c"}
    for algorithm in ("CRC32", "CRC64NVME"):
        upload = QUIET.create_multipart_upload(**k, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")["UploadId"]
        tags = [
            QUIET.upload_part(**k, UploadId=upload, PartNumber=n, Body=body)["ETag"]
            for n, body in enumerate((b"x" * PART, b"y"), 1)
        ]
        parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
        done = QUIET.complete_multipart_upload(**k, UploadId=upload, MultipartUpload={"Parts": parts})
        assert done["ChecksumType"] == "FULL_OBJECT" and done[f"Checksum{algorithm}"], done
        assert done["Location"] == f"{URL}/{name}/a%20b/c", done["Location"]
        # botocore compares what it reads.
        assert len(S3.get_object(**k, ChecksumMode="ENABLED")["Body"].read()) == PART + 1
    upload = QUIET.create_multipart_upload(**k, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")["UploadId"]
    text = refused("InvalidRequest", S3.upload_part, **k, UploadId=upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")
    assert "expected checksum Type: crc32, actual checksum Type: sha256" in text, text


def test_checksums_of_parts_are_the_clients():
    name = bucket("composite")
    k = {"Bucket": name, "Key": "k"}
    upload = QUIET.create_multipart_upload(**k, ChecksumAlgorithm="SHA256")["UploadId"]
    text = refused("InvalidRequest", QUIET.upload_part, **k, UploadId=upload, PartNumber=1, Body=b"x")
    assert text == "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: null", text
    put = S3.upload_part(**k, UploadId=upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")
    part = {"PartNumber": 1, "ETag": put["ETag"]}
    text = refused("InvalidRequest", S3.complete_multipart_upload, **k, UploadId=upload, MultipartUpload={"Parts": [part]})
    assert text == (
        "The upload was created using a sha256 checksum. The complete request must include the checksum for each part. "
        "It was missing for part 1 in the request."
    ), text
    part["ChecksumSHA256"] = put["ChecksumSHA256"]
    done = S3.complete_multipart_upload(**k, UploadId=upload, MultipartUpload={"Parts": [part]})
    assert done["ChecksumType"] == "COMPOSITE" and done["ChecksumSHA256"].endswith("-1"), done


def public(name):
    S3.delete_public_access_block(Bucket=name)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]}
    S3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def test_ranges_of_another_state():
    name = bucket("ranges")
    public(name)
    etag = S3.put_object(Bucket=name, Key="k", Body=BODY)["ETag"]
    S3.put_bucket_website(Bucket=name, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    written = asked("HEAD", f"/{name}/k")[1]["last-modified"]
    for where, host in [(f"/{name}/k", None), ("/k", f"{name}.{DOMAIN}"), ("/k", f"{name}.{SITES}")]:
        for method in ("GET", "HEAD"):
            for state, partial in [(etag, True), (written, True), ('"other"', False), (f"W/{etag}", False),
                                   ("Thu, 01 Jan 1970 00:00:00 GMT", False), ("nonsense", False)]:
                status, headers, body = asked(method, where, host, Range="bytes=2-5", If_Range=state)
                assert (status, headers["content-length"]) == ((206, "4") if partial else (200, "100")), (where, host, state, status)
                if method == "GET":
                    assert body == (b"2345" if partial else BODY), (state, body)
            # What would lie outside is not looked at either.
            assert asked(method, where, host, Range="bytes=500-", If_Range='"other"')[0] == 200
            assert asked(method, where, host, Range="bytes=500-", If_Range=etag)[0] == 416


def test_a_failing_store_follows_the_rules():
    name = bucket("failing")
    public(name)
    before = set(Path(SCRATCH).parent.glob("data/objects/**/*"))
    S3.put_object(Bucket=name, Key="a.html", Body=b"x" * PART)
    S3.put_object(Bucket=name, Key="error.html", Body=b"sorry")
    rules = [{"Condition": {"HttpErrorCodeReturnedEquals": "500"}, "Redirect": {"HostName": "elsewhere.test", "HttpRedirectCode": "302"}}]
    website = {"IndexDocument": {"Suffix": "i"}, "ErrorDocument": {"Key": "error.html"}}
    S3.put_bucket_website(Bucket=name, WebsiteConfiguration={**website, "RoutingRules": rules})
    large = [f for f in set(Path(SCRATCH).parent.glob("data/objects/**/*")) - before if f.is_file() and f.stat().st_size >= PART]
    assert large
    for file in large:
        file.unlink()
        file.symlink_to(file)
    site = f"{name}.{SITES}"
    status, headers, _ = asked("GET", "/a.html", site)
    assert (status, headers.get("location")) == (302, "http://elsewhere.test/a.html"), (status, headers)
    S3.put_bucket_website(Bucket=name, WebsiteConfiguration=website)
    status, _, body = asked("GET", "/a.html", site)
    assert status == 500 and b"sorry" not in body, (status, body)
    assert asked("GET", "/none", site)[2] == b"sorry"


for test in [value for name, value in list(globals().items()) if name.startswith("test_")]:
    test()
    print(f"{test.__name__}: ok", flush=True)
