"""S3 at the port of a Walrus of its own: whose policies hold, with every kind of key and signature."""

import json
import time
import urllib.error
import urllib.request

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from test_compute import refused
from tiers import Tiers, eventually, with_session

RETRIES = {"max_attempts": 1, "mode": "standard"}
V2 = Config(signature_version="s3", s3={"addressing_style": "path"}, retries=RETRIES)
V4 = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries=RETRIES)
# Keys and answers about them are kept for ten seconds.
KEPT_SECONDS = 25
ALLOW = {"Effect": "Allow", "Action": ["s3:*", "sts:*"], "Resource": "*"}
DENY = {"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::mixed/closed/*"]}
TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole", "sts:TagSession"]},
}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="module")
def tiers():
    tiers = Tiers("--allow-sigv2")
    yield tiers
    tiers.close()


@pytest.fixture(scope="module")
def ann(tiers):
    """Keys of a user who may all but in one folder."""
    iam = tiers.client("iam")
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document(ALLOW, DENY))
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    s3 = tiers.client("s3")
    s3.create_bucket(Bucket="mixed")
    for name in ("open/x", "closed/x"):
        s3.put_object(Bucket="mixed", Key=name, Body=name.encode())
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def direct(tiers, config, keys):
    return tiers.client("s3", endpoint_url=tiers.s3_endpoint, config=config, **keys)


def status(url, method="GET", data=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method, data=data), timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def judged(tiers, s3):
    """All but the folder that is closed, whatever the operation."""
    assert s3.get_object(Bucket="mixed", Key="open/x")["Body"].read() == b"open/x"
    s3.put_object(Bucket="mixed", Key="open/y", Body=b"y" * 70_000)
    assert s3.head_object(Bucket="mixed", Key="open/y")["ContentLength"] == 70_000
    where = {"Bucket": "mixed", "Key": "closed/x"}
    refused("AccessDenied", s3.get_object, **where)
    refused("AccessDenied", s3.put_object, **where, Body=b"changed")
    refused("AccessDenied", s3.delete_object, **where)
    refused("403", s3.head_object, **where)
    refused("AccessDenied", s3.copy_object, Bucket="mixed", Key="open/z", CopySource=where)
    refused("AccessDenied", s3.create_multipart_upload, **where)
    both = {"Objects": [{"Key": "open/y"}, {"Key": "closed/x"}]}
    batch = s3.delete_objects(Bucket="mixed", Delete=both)
    assert [row["Key"] for row in batch["Deleted"]] == ["open/y"]
    assert [(row["Key"], row["Code"]) for row in batch["Errors"]] == [("closed/x", "AccessDenied")]
    get = s3.generate_presigned_url("get_object", {"Bucket": "mixed", "Key": "open/x"})
    assert status(get) == (200, "open/x")
    code, text = status(s3.generate_presigned_url("get_object", where))
    assert code == 403 and "AccessDenied" in text
    code, text = status(s3.generate_presigned_url("delete_object", where), "DELETE")
    assert code == 403 and "AccessDenied" in text
    root = tiers.client("s3")
    assert root.get_object(**where)["Body"].read() == b"closed/x"
    refused("404", root.head_object, Bucket="mixed", Key="open/y")


@pytest.mark.parametrize("config", [V2, V4], ids=["v2", "v4"])
def test_a_users_keys(tiers, ann, config):
    judged(tiers, direct(tiers, config, ann))
    wrong = {**ann, "aws_secret_access_key": "no"}
    refused("SignatureDoesNotMatch", direct(tiers, config, wrong).get_object, Bucket="mixed", Key="open/x")
    unknown = {**ann, "aws_access_key_id": "AKIA0000000000000000"}
    refused("InvalidAccessKeyId", direct(tiers, config, unknown).get_object, Bucket="mixed", Key="open/x")
    odd = {**ann, "aws_session_token": "none of it"}
    refused("InvalidToken", direct(tiers, config, odd).get_object, Bucket="mixed", Key="open/x")


@pytest.mark.parametrize("config", [V2, V4], ids=["v2", "v4"])
def test_temporary_keys(tiers, ann, config):
    sts = tiers.client("sts", **ann)
    judged(tiers, direct(tiers, config, with_session(sts.get_session_token()["Credentials"])))
    iam = tiers.client("iam")
    role = f"of-{config.signature_version}"
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=document(ALLOW, DENY))
    session = with_session(sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"])
    judged(tiers, direct(tiers, config, session))
    # A session policy takes away more.
    reads = document({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
    less = sts.assume_role(RoleArn=arn, RoleSessionName="session", Policy=reads)["Credentials"]
    reader = direct(tiers, config, with_session(less))
    assert reader.get_object(Bucket="mixed", Key="open/x")["Body"].read() == b"open/x"
    refused("AccessDenied", reader.put_object, Bucket="mixed", Key="open/x", Body=b"")
    for token in ("", "another"):
        stale = direct(tiers, config, {**session, "aws_session_token": token or None})
        with pytest.raises(ClientError) as error:
            stale.get_object(Bucket="mixed", Key="open/x")
        assert error.value.response["Error"]["Code"] in ("InvalidToken", "InvalidAccessKeyId")
    # Sessions that are revoked, as AWS's console does it: at once, for policies are asked each time.
    revoke = {**DENY, "Action": "*", "Resource": "*"}
    revoke["Condition"] = {"DateLessThan": {"aws:TokenIssueTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))}}
    iam.put_role_policy(RoleName=role, PolicyName="revoked", PolicyDocument=document(revoke))
    refused("AccessDenied", direct(tiers, config, session).get_object, Bucket="mixed", Key="open/x")
    # And of a role that is gone.
    for name in ("p", "revoked"):
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    iam.delete_role(RoleName=role)
    with pytest.raises(ClientError):
        direct(tiers, config, session).get_object(Bucket="mixed", Key="open/x")


def test_quotas_hold_at_its_own_port(tiers):
    iam = tiers.client("iam")
    iam.create_user(UserName="few")
    limit = {"Effect": "Limit", "Action": "s3:CreateBucket", "Resource": "*"}
    limit["Condition"] = {"NumericLessThanEquals": {"s3:quota-bucketnumber": "2"}}
    objects = {"Effect": "Limit", "Action": "s3:PutObject", "Resource": "*"}
    objects["Condition"] = {"NumericLessThanEquals": {"s3:quota-bucketobjectnumber": "1"}}
    iam.put_user_policy(UserName="few", PolicyName="p", PolicyDocument=document(ALLOW, limit, objects))
    key = iam.create_access_key(UserName="few")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    ways = [direct(tiers, V4, keys), direct(tiers, V2, keys), tiers.client("s3", **keys)]
    # What the front door sends, sent by somebody else: of no effect.
    forger = direct(tiers, V4, keys)

    def forge(request, **_):
        request.headers["x-mallee-limits"] = json.dumps({"creator": "somebody", "list": []})
        request.headers["x-mallee-pass"] = "00"

    forger.meta.events.register("before-send.s3.*", forge)
    forger.create_bucket(Bucket="few-forged")
    ways[0].create_bucket(Bucket="few-direct")
    for way in (*ways, forger):
        refused("TooManyBuckets", way.create_bucket, Bucket="few-more")
    ways[0].put_object(Bucket="few-direct", Key="one", Body=b"1")
    for way in (*ways, forger):
        refused("QuotaExceeded", way.put_object, Bucket="few-direct", Key="two", Body=b"2")
    ways[1].put_object(Bucket="few-direct", Key="one", Body=b"again")
    # An account's root has those of its account only.
    direct(tiers, V4, {}).put_object(Bucket="few-direct", Key="two", Body=b"2")


def test_a_key_that_is_switched_off(tiers, ann):
    iam = tiers.client("iam")
    iam.update_access_key(UserName="ann", AccessKeyId=ann["aws_access_key_id"], Status="Inactive")
    try:
        # Whether a policy allows it is asked each time, and then the key is looked at.
        for config in (V2, V4):
            with pytest.raises(ClientError) as error:
                direct(tiers, config, ann).get_object(Bucket="mixed", Key="open/x")
            assert error.value.response["Error"]["Code"] in ("AccessDenied", "InvalidAccessKeyId")
    finally:
        iam.update_access_key(UserName="ann", AccessKeyId=ann["aws_access_key_id"], Status="Active")
    for config in (V2, V4):
        eventually(lambda config=config: direct(tiers, config, ann).head_object(Bucket="mixed", Key="open/x"), KEPT_SECONDS)


def test_nobody_and_no_cloud(tiers, ann):
    code, text = status(f"{tiers.s3_endpoint}/mixed/open/x")
    assert code == 403 and "open/x" not in text.replace("<Resource>/mixed/open/x</Resource>", "")
    # What nobody can decide is not done: neither signatures nor policies are guessed.
    tiers.kill("cloud")
    try:
        for config in (V2, V4):
            with pytest.raises(ClientError) as error:
                direct(tiers, config, ann).put_object(Bucket="mixed", Key="open/late", Body=b"")
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    finally:
        tiers.start("cloud", *tiers.arguments["cloud"])
    eventually(lambda: direct(tiers, V4, ann).head_object(Bucket="mixed", Key="open/x"))
    refused("404", direct(tiers, V4, ann).head_object, Bucket="mixed", Key="open/late")


def test_sigv2_off(tiers, ann):
    arguments = [argument for argument in tiers.arguments["cloud"] if argument != "--allow-sigv2"]
    tiers.kill("cloud")
    tiers.start("cloud", *arguments)
    eventually(lambda: direct(tiers, V4, ann).head_object(Bucket="mixed", Key="open/x"))
    s3 = direct(tiers, V2, ann)
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="mixed", Key="open/x")
    assert error.value.response["Error"]["Code"] == "InvalidRequest"
    assert "--allow-sigv2" in error.value.response["Error"]["Message"]
    code, text = status(s3.generate_presigned_url("get_object", {"Bucket": "mixed", "Key": "open/x"}))
    assert code == 400 and "--allow-sigv2" in text
    judged(tiers, direct(tiers, V4, ann))
