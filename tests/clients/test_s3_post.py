"""Uploads by forms, as boto3 prepares them and browsers send them."""

import base64
import datetime
import hashlib
import hmac
import json
import re
import uuid

import pytest
import requests
from botocore.config import Config


@pytest.fixture
def s3(cloud):
    # Presigned by version 4 wherever the region is.
    return cloud.client("s3", config=Config(signature_version="s3v4", retries={"max_attempts": 1}))


@pytest.fixture
def bucket(s3):
    name = f"forms-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    yield name
    for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


def send(url, fields, data=b"data", filename="a.txt", redirects=False):
    return requests.post(
        url, data=fields, files={"file": (filename, data)}, timeout=30, allow_redirects=redirects
    )


def code(reply):
    found = re.search(r"<Code>(.*?)</Code>", reply.text)
    return reply.status_code, found.group(1) if found else None


def read(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)


def test_what_boto3_prepares(s3, bucket):
    form = s3.generate_presigned_post(bucket, "up/${filename}")
    reply = send(form["url"], form["fields"], b"x" * 300_000)
    assert reply.status_code == 204 and reply.content == b"", reply.text
    found = read(s3, bucket, "up/a.txt")
    assert found["Body"].read() == b"x" * 300_000 and found["ETag"] == reply.headers["ETag"]
    assert reply.headers["Location"] == f"{form['url'].rstrip('/')}/up/a.txt"

    fields = {"Content-Type": "image/png", "x-amz-meta-colour": "blue", "Cache-Control": "no-cache"}
    conditions = [
        {"Content-Type": "image/png"},
        ["starts-with", "$x-amz-meta-colour", ""],
        {"Cache-Control": "no-cache"},
        ["content-length-range", 2, 10],
    ]
    form = s3.generate_presigned_post(bucket, "typed", Fields=fields, Conditions=conditions)
    assert send(form["url"], form["fields"]).status_code == 204
    found = read(s3, bucket, "typed")
    assert (found["ContentType"], found["CacheControl"], found["Metadata"]) == (
        "image/png",
        "no-cache",
        {"colour": "blue"},
    )
    assert code(send(form["url"], form["fields"], b"x" * 11)) == (400, "EntityTooLarge")
    assert code(send(form["url"], form["fields"], b"x")) == (400, "EntityTooSmall")
    assert read(s3, bucket, "typed")["Body"].read() == b"data", "what was refused changed nothing"
    changed = {**form["fields"], "x-amz-meta-colour": "red"}
    assert send(form["url"], changed).status_code == 204, "any value of it is allowed"


def test_refusals(s3, bucket):
    form = s3.generate_presigned_post(bucket, "only/this")
    url, fields = form["url"], form["fields"]
    for change, expected, text in [
        ({"key": "other"}, (403, "AccessDenied"), "Policy Condition failed: [&quot;eq&quot;, &quot;$key&quot;"),
        ({"x-amz-meta-a": "1"}, (403, "AccessDenied"), "Extra input fields: x-amz-meta-a"),
        ({"acl": "public-read"}, (403, "AccessDenied"), "Extra input fields: acl"),
        ({"x-amz-signature": "0" * 64}, (403, "SignatureDoesNotMatch"), ""),
        ({"policy": fields["policy"][:-4]}, (403, "SignatureDoesNotMatch"), ""),
        ({"x-ignore-this": "1"}, (204, None), ""),
    ]:
        reply = send(url, {**fields, **change})
        assert code(reply) == expected, (change, reply.text)
        assert text.replace("&quot;", '"') in reply.text.replace("&quot;", '"'), reply.text
    for missing, expected in [
        ("key", (400, "InvalidArgument")),
        ("x-amz-signature", (400, "InvalidArgument")),
        ("x-amz-credential", (400, "InvalidArgument")),
        ("policy", (400, "InvalidArgument")),
    ]:
        assert code(send(url, {k: v for k, v in fields.items() if k != missing})) == expected, missing
    unknown = fields["x-amz-credential"].split("/")
    unknown[0] = "AKIANOBODY0000000000"
    assert code(send(url, {**fields, "x-amz-credential": "/".join(unknown)})) == (403, "InvalidAccessKeyId")
    reply = requests.post(url, data=b"x", headers={"Content-Type": "text/plain"}, timeout=10)
    assert code(reply) == (412, "PreconditionFailed")
    reply = requests.post(url, data=fields, files={"other": b"x"}, timeout=10)
    assert code(reply) == (400, "InvalidArgument") and "exactly one file" in reply.text
    reply = send(url, {**fields, "x-ignore-big": "x" * 21_000})
    assert code(reply) == (400, "MaxPostPreDataLengthExceededError")
    late = s3.generate_presigned_post(bucket, "only/this", ExpiresIn=-1)
    reply = send(late["url"], late["fields"])
    assert code(reply) == (403, "AccessDenied") and "Policy expired." in reply.text
    # Nobody signed, and nobody is allowed to.
    assert code(send(url, {"key": "only/this"})) == (403, "AccessDenied")
    # A form for one bucket is none for another.
    other = s3.generate_presigned_post(f"other-{bucket}", "only/this")
    assert code(send(url, other["fields"])) == (403, "AccessDenied")


def test_what_browsers_are_told_afterwards(s3, bucket):
    def form(**fields):
        conditions = [{name: value} for name, value in fields.items()]
        return s3.generate_presigned_post(bucket, "a key", Fields=fields, Conditions=conditions)

    for wanted, status in [("200", 200), ("201", 201), ("204", 204), ("404", 204)]:
        prepared = form(success_action_status=wanted)
        reply = send(prepared["url"], prepared["fields"])
        assert reply.status_code == status
        if status == 201:
            assert f"<Bucket>{bucket}</Bucket><Key>a key</Key>" in reply.text
            assert f"<Location>{prepared['url'].rstrip('/')}/a%20key</Location>" in reply.text
        else:
            assert reply.content == b""
    prepared = form(success_action_redirect="http://example.com/done?x=1")
    reply = send(prepared["url"], prepared["fields"])
    etag = reply.headers["ETag"].strip('"')
    assert reply.status_code == 303
    assert reply.headers["Location"] == f"http://example.com/done?x=1&bucket={bucket}&key=a%20key&etag=%22{etag}%22"
    prepared = form(success_action_redirect="javascript:alert(1)")
    assert send(prepared["url"], prepared["fields"]).status_code == 204


def policy_of(document):
    return base64.b64encode(json.dumps(document).encode()).decode()


def signed(cloud, document):
    """Fields as a web application's own code would make them."""
    policy = policy_of(document)
    day = datetime.datetime.now(datetime.timezone.utc)
    scope = [day.strftime("%Y%m%d"), "us-east-1", "s3", "aws4_request"]
    key = b"AWS4" + cloud.environment["AWS_SECRET_ACCESS_KEY"].encode()
    for word in scope:
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return {
        "policy": policy,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": "/".join([cloud.environment["AWS_ACCESS_KEY_ID"], *scope]),
        "x-amz-date": day.strftime("%Y%m%dT000000Z"),
        "x-amz-signature": hmac.new(key, policy.encode(), hashlib.sha256).hexdigest(),
    }


def test_policies_that_are_none(cloud, s3, bucket):
    until = "2099-01-01T00:00:00Z"
    names = ("key", "x-amz-algorithm", "x-amz-credential", "x-amz-date")
    anywhere = [["starts-with", f"${name}", ""] for name in names]
    every = [{"bucket": bucket}, *anywhere]
    good = {"expiration": until, "conditions": every}
    url = f"{cloud.endpoint}/{bucket}"
    assert send(url, {"key": "k", **signed(cloud, good)}).status_code == 204
    # One that names no bucket would be good for all of them.
    reply = send(url, {"key": "k", **signed(cloud, {"expiration": until, "conditions": anywhere})})
    assert code(reply) == (403, "AccessDenied") and "bucket" in reply.text, reply.text
    for document in [
        {"conditions": every},
        {"expiration": until},
        {"EXPIRATION": until, "conditions": every},
        {"expiration": "soon", "conditions": every},
        {"expiration": until, "conditions": [{}]},
        {"expiration": until, "conditions": [*every, ["content-length-range", 0]]},
        {"expiration": until, "conditions": [*every, ["content-length-range", -1, 0]]},
        [],
    ]:
        reply = send(url, {"key": "k", **signed(cloud, document)})
        assert code(reply) == (400, "InvalidPolicyDocument"), (document, reply.text)


def test_version_2_is_off_by_itself(cloud, s3, bucket):
    policy = policy_of({"expiration": "2099-01-01T00:00:00Z", "conditions": [["starts-with", "$key", ""]]})
    secret = cloud.environment["AWS_SECRET_ACCESS_KEY"].encode()
    signature = base64.b64encode(hmac.new(secret, policy.encode(), hashlib.sha1).digest()).decode()
    fields = {"key": "k", "AWSAccessKeyId": cloud.environment["AWS_ACCESS_KEY_ID"], "policy": policy}
    reply = send(f"{cloud.endpoint}/{bucket}", {**fields, "signature": signature})
    assert code(reply) == (400, "InvalidRequest") and "--allow-sigv2" in reply.text


def test_anybody_where_anybody_may(cloud, s3, bucket):
    s3.delete_public_access_block(Bucket=bucket)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/in/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    url = f"{cloud.endpoint}/{bucket}"
    assert send(url, {"key": "in/${filename}"}, filename="C:\\pictures\\b.txt").status_code == 204
    assert s3.head_object(Bucket=bucket, Key="in/b.txt")["ContentLength"] == 4
    assert code(send(url, {"key": "out/x"})) == (403, "AccessDenied")
