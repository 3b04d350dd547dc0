"""An object store without a cloud: `mallee walrus --data DIR`, with users and policies of its own."""

import json
import tempfile

import pytest
from botocore.exceptions import ClientError

from alone import Alone
from test_audit import look_up


@pytest.fixture(scope="module")
def alone():
    with tempfile.TemporaryDirectory(prefix="mallee-alone-") as data:
        alone = Alone(data)
        yield alone
        alone.stop()


def refused(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def test_objects_outlive_a_restart(alone):
    s3 = alone.client("s3")
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    s3.put_object(Bucket="kept", Key="k", Body=b"x" * 1_000_000)
    key = alone.environment["AWS_ACCESS_KEY_ID"]
    alone.stop()
    alone.start()
    assert alone.environment["AWS_ACCESS_KEY_ID"] == key
    assert len(alone.client("s3").get_object(Bucket="kept", Key="k")["Body"].read()) == 1_000_000


def test_users_policies_and_sessions(alone):
    iam, s3 = alone.client("iam"), alone.client("s3")
    s3.create_bucket(Bucket="shared", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    s3.put_object(Bucket="shared", Key="k", Body=b"data")
    iam.create_user(UserName="reader")
    pair = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = alone.client("s3", pair["AccessKeyId"], pair["SecretAccessKey"])
    assert refused(reader.get_object, Bucket="shared", Key="k") == "AccessDenied"
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=document)
    assert reader.get_object(Bucket="shared", Key="k")["Body"].read() == b"data"
    assert refused(reader.put_object, Bucket="shared", Key="k", Body=b"") == "AccessDenied"
    identity = alone.client("sts", pair["AccessKeyId"], pair["SecretAccessKey"]).get_caller_identity()
    assert identity["Arn"].endswith(":user/reader")


def test_there_are_no_instances(alone):
    with pytest.raises(ClientError, match="object store alone"):
        alone.client("ec2").describe_instances()


def test_users_with_the_keys_that_they_had(alone):
    key, secret = "NOPQRSTUVWXYZABCDEFG", "nopqrstuvwxyzabcdefghijklmnabcdefghijklm"
    canonical = "56789abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234"
    names = ["--canonical-id", canonical, "--display-name", "john.doe", "--email", "alt@example.com"]
    pair = ["--access-key", key, "--secret-key", secret]
    made = alone.mallee("user", "alt", *pair, *names).stdout.split()
    assert alone.mallee("user", "alt", *pair, *names).stdout.split() == made, "what is known stays"
    s3 = alone.client("s3", key, secret)
    owner = s3.list_buckets()["Owner"]
    assert owner["ID"] == canonical and owner.get("DisplayName", "john.doe") == "john.doe"
    s3.create_bucket(Bucket="alts", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    identity = alone.client("sts", key, secret).get_caller_identity()
    assert identity["Account"] == made[0]
    for bad in [
        ["other", *pair],
        ["other", "--canonical-id", canonical],
        ["alt", "--canonical-id", "another"],
        ["alt", "--access-key", "short", "--secret-key", secret],
    ]:
        assert alone.mallee("user", *bad, check=False).returncode != 0, bad


def test_what_s3_asks_of_kms_is_in_the_trail(alone):
    s3, trail = alone.client("s3"), alone.client("cloudtrail")
    s3.create_bucket(Bucket="sealed", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    s3.put_object(Bucket="sealed", Key="k", Body=b"data", ServerSideEncryption="aws:kms")
    assert s3.get_object(Bucket="sealed", Key="k")["Body"].read() == b"data"
    for name in ("GenerateDataKey", "Decrypt"):
        record = json.loads(look_up(trail, "EventName", name, len)[0]["CloudTrailEvent"])
        assert record["eventSource"] == "kms.amazonaws.com" and "errorCode" not in record
        caller = record["userIdentity"]
        assert caller["invokedBy"] == record["sourceIPAddress"] == "s3.amazonaws.com"
        assert caller["accessKeyId"] == alone.environment["AWS_ACCESS_KEY_ID"]
        context = record["requestParameters"]["encryptionContext"]
        assert context == {"aws:s3:arn": "arn:aws:s3:::sealed/k"}, context
    with pytest.raises(ClientError):
        s3.put_object(Bucket="sealed", Key="k", Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId="none")
    refused = look_up(trail, "EventName", "GenerateDataKey", lambda events: len(events) > 1)
    [record] = [r for r in (json.loads(e["CloudTrailEvent"]) for e in refused) if "errorCode" in r]
    assert record["requestParameters"]["keyId"] == "none"
