"""Signature version 2 as botocore signs it: off by default, and with the operator's switch."""

import json
import time
import urllib.error
import urllib.request

import botocore.auth
import pytest
from botocore.config import Config

from support import Cloud
from test_compute import refused

# S3's name of it is "s3"; the Query services' is "v2".
QUERY = Config(signature_version="v2", retries={"max_attempts": 1, "mode": "standard"})
S3 = Config(signature_version="s3", s3={"addressing_style": "path"}, retries={"max_attempts": 1, "mode": "standard"})


@pytest.fixture(scope="module")
def old():
    cloud = Cloud("--simulate", "1", "--allow-sigv2")
    yield cloud
    cloud.stop()


def with_session(credentials):
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }


def test_query_services(old):
    ec2 = old.client("ec2", config=QUERY)
    assert ec2.describe_availability_zones()["AvailabilityZones"]
    name = "a name + % ~ * ( ä"
    key = ec2.create_key_pair(
        KeyName="old", TagSpecifications=[{"ResourceType": "key-pair", "Tags": [{"Key": "Name", "Value": name}]}]
    )
    assert key["Tags"] == [{"Key": "Name", "Value": name}]
    assert old.client("iam", config=QUERY).get_user()["User"]["Arn"].endswith(":user/admin")
    sts = old.client("sts", config=QUERY)
    account = sts.get_caller_identity()["Account"]
    session = sts.get_session_token()["Credentials"]
    known = old.client("sts", config=QUERY, **with_session(session)).get_caller_identity()
    assert known["Account"] == account
    stale = {**with_session(session), "aws_session_token": "nonsense"}
    refused("InvalidClientTokenId", old.client("sts", config=QUERY, **stale).get_caller_identity)
    refused("AuthFailure", old.client("ec2", config=QUERY, aws_secret_access_key="no").delete_key_pair, KeyName="old")
    assert len(ec2.describe_key_pairs(KeyNames=["old"])["KeyPairs"]) == 1


def test_policies_hold(old):
    iam = old.client("iam")
    iam.create_user(UserName="aged")
    allow = {"Effect": "Allow", "Action": "ec2:DescribeKeyPairs", "Resource": "*"}
    new_only = {
        "Effect": "Allow",
        "Action": "s3:ListAllMyBuckets",
        "Resource": "*",
        "Condition": {"StringEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow, new_only]})
    iam.put_user_policy(UserName="aged", PolicyName="p", PolicyDocument=document)
    made = iam.create_access_key(UserName="aged")["AccessKey"]
    keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    ec2 = old.client("ec2", config=QUERY, **keys)
    ec2.describe_key_pairs()
    refused("UnauthorizedOperation", ec2.create_key_pair, KeyName="more")
    refused("AccessDenied", old.client("s3", config=S3, **keys).list_buckets)
    old.client("s3", **keys).list_buckets()
    iam.update_access_key(UserName="aged", AccessKeyId=made["AccessKeyId"], Status="Inactive")
    refused("AuthFailure", ec2.describe_key_pairs)
    trail = old.client("cloudtrail")
    wanted = [{"AttributeKey": "EventName", "AttributeValue": "CreateKeyPair"}]
    for _ in range(100):
        events = [event["CloudTrailEvent"] for event in trail.lookup_events(LookupAttributes=wanted)["Events"]]
        denied = [event for event in events if "UnauthorizedOperation" in event]
        if denied:
            break
        time.sleep(0.1)
    assert json.loads(denied[0])["userIdentity"]["userName"] == "aged"
    assert not any("Signature" in event for event in events)


def fetch(url, **options):
    with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=10) as reply:
        return reply.read()


def status(url, **options):
    with pytest.raises(urllib.error.HTTPError) as error:
        fetch(url, **options)
    return error.value.code, error.value.read().decode()


def test_s3(old):
    s3 = old.client("s3", config=S3)
    s3.create_bucket(Bucket="aged-bucket")
    key, body = "a b/+%~ä", b"x" * 100_000
    s3.put_object(Bucket="aged-bucket", Key=key, Body=body, ContentType="text/plain", Metadata={"who": "me"})
    got = s3.get_object(Bucket="aged-bucket", Key=key)
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (body, "text/plain", {"who": "me"})
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="aged-bucket", Prefix="a ")["Contents"]] == [key]
    assert s3.head_object(Bucket="aged-bucket", Key=key)["ContentLength"] == len(body)
    upload = s3.create_multipart_upload(Bucket="aged-bucket", Key="parts")["UploadId"]
    part = s3.upload_part(Bucket="aged-bucket", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket="aged-bucket", Key="parts", UploadId=upload, MultipartUpload=parts)
    session = old.client("s3", config=S3, **with_session(old.client("sts").get_session_token()["Credentials"]))
    assert session.get_object(Bucket="aged-bucket", Key="parts")["Body"].read() == b"part"
    s3.delete_objects(Bucket="aged-bucket", Delete={"Objects": [{"Key": "parts"}]})
    refused("NoSuchKey", s3.get_object, Bucket="aged-bucket", Key="parts")
    wrong = old.client("s3", config=S3, aws_secret_access_key="no")
    refused("SignatureDoesNotMatch", wrong.delete_object, Bucket="aged-bucket", Key=key)
    assert s3.head_object(Bucket="aged-bucket", Key=key)


def test_presigned_s3(old):
    s3 = old.client("s3", config=S3)
    s3.create_bucket(Bucket="signed-bucket")
    where = {"Bucket": "signed-bucket", "Key": "k"}
    put = s3.generate_presigned_url("put_object", {**where, "ContentType": "text/x-old"})
    assert "AWSAccessKeyId=" in put
    fetch(put, method="PUT", data=b"old", headers={"Content-Type": "text/x-old"})
    get = s3.generate_presigned_url("get_object", {**where, "ResponseContentType": "text/html; a=b&c"})
    assert fetch(get) == b"old"
    token = old.client("s3", config=S3, **with_session(old.client("sts").get_session_token()["Credentials"]))
    assert fetch(token.generate_presigned_url("get_object", where)) == b"old"
    delete = s3.generate_presigned_url("delete_object", where, ExpiresIn=1)
    assert status(get, method="DELETE")[0] == 403
    assert status(get + "&uploadId=1")[0] == 403
    time.sleep(2)
    code, text = status(delete, method="DELETE")
    assert code == 403 and "Request has expired" in text
    assert fetch(get) == b"old"


def test_a_clock_that_is_late(old, monkeypatch):
    clock = time.gmtime
    monkeypatch.setattr(botocore.auth.time, "gmtime", lambda *a: clock(time.time() - 16 * 60))
    ec2 = old.client("ec2", config=QUERY)
    refused("RequestExpired", ec2.create_key_pair, KeyName="late")
    monkeypatch.undo()
    refused("InvalidKeyPair.NotFound", ec2.describe_key_pairs, KeyNames=["late"])


def test_off_by_default(cloud):
    for service, code in [("ec2", "IncompleteSignature"), ("iam", "IncompleteSignature"), ("sts", "IncompleteSignature")]:
        client = cloud.client(service, config=QUERY)
        call = {"ec2": "describe_instances", "iam": "list_users", "sts": "get_caller_identity"}[service]
        with pytest.raises(client.exceptions.ClientError) as error:
            getattr(client, call)()
        assert error.value.response["Error"]["Code"] == code
        assert "--allow-sigv2" in error.value.response["Error"]["Message"]
    s3 = cloud.client("s3", config=S3)
    with pytest.raises(s3.exceptions.ClientError) as error:
        s3.create_bucket(Bucket="never-made")
    assert error.value.response["Error"]["Code"] == "InvalidRequest"
    assert "--allow-sigv2" in error.value.response["Error"]["Message"]
    code, text = status(s3.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"}))
    assert code == 400 and "--allow-sigv2" in text
    assert "never-made" not in [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]]
