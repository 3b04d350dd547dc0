"""Policies of callers and of buckets together, over real HTTP at each door: other accounts, their users, and nobody. What
lists and policies of buckets mean by themselves is in storage-walrus/tests/s3_access.py."""

import json
import time
import uuid
from types import SimpleNamespace

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from test_iam import euare
from test_s3_rights import door, tiers  # noqa: F401 (fixtures)

CLOSED = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
OPEN = dict.fromkeys(CLOSED, False)
SECONDS_MAX = 20


def client(door, keys=None, token=None):
    signed = {} if keys else {"signature_version": UNSIGNED}
    config = Config(retries={"max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"}, **signed)
    key, secret = keys or ("x", "x")
    return boto3.client("s3", endpoint_url=door.s3, region_name=door.environment["AWS_DEFAULT_REGION"], config=config,
                        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)


def iam(door, keys, service="iam"):
    return boto3.client(service, endpoint_url=door.iam.meta.endpoint_url, aws_access_key_id=keys[0],
                        aws_secret_access_key=keys[1], region_name=door.environment["AWS_DEFAULT_REGION"])


@pytest.fixture(scope="module")
def tenant(door):  # noqa: F811
    """An account of its own: its number, its administrator's keys, and a user without rights."""
    cloud = SimpleNamespace(endpoint=door.iam.meta.endpoint_url, environment=door.environment)
    made = euare(cloud, "CreateAccount", AccountName=f"tenant-{uuid.uuid4().hex[:8]}").text
    text = lambda element: made.split(f"<{element}>")[1].split(f"</{element}>")[0]
    keys = (text("AccessKeyId"), text("SecretAccessKey"))
    users = iam(door, keys)
    users.create_user(UserName="ann")
    key = users.create_access_key(UserName="ann")["AccessKey"]
    return SimpleNamespace(id=text("AccountId"), keys=keys, iam=users, ann=(key["AccessKeyId"], key["SecretAccessKey"]))


@pytest.fixture
def bucket(door):  # noqa: F811
    name = f"access-{uuid.uuid4().hex[:10]}"
    door.root.create_bucket(Bucket=name)
    door.root.put_object(Bucket=name, Key="k", Body=b"kept")
    yield name
    door.root.delete_bucket_policy(Bucket=name)
    for item in door.root.list_objects_v2(Bucket=name).get("Contents", []):
        door.root.delete_object(Bucket=name, Key=item["Key"])
    door.root.delete_bucket(Bucket=name)


def policy(door, name, *statements):  # noqa: F811
    made = []
    for effect, principal, action, resource, *condition in statements:
        one = {"Effect": effect, "Principal": principal, "Action": action, "Resource": f"arn:aws:s3:::{name}{resource}"}
        made.append({**one, **({"Condition": condition[0]} if condition else {})})
    door.root.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": made}))


def refused(call, code="AccessDenied", **options):
    with pytest.raises(ClientError) as caught:
        call(**options)
    assert caught.value.response["Error"]["Code"] == code, caught.value.response
    return caught.value.response["Error"]["Message"]


def read(who, name, key="k"):
    return who.get_object(Bucket=name, Key=key)["Body"].read()


def test_another_account_needs_both_sides(door, tenant, bucket):  # noqa: F811
    boss, ann = client(door, tenant.keys), client(door, tenant.ann)
    for who in (boss, ann, client(door)):
        assert refused(who.get_object, Bucket=bucket, Key="k") == "Access Denied"
    policy(door, bucket, ("Allow", {"AWS": tenant.id}, "s3:GetObject", "/*"))
    assert read(boss, bucket) == b"kept"
    refused(ann.get_object, Bucket=bucket, Key="k")
    document = {"Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/k"}]}
    tenant.iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=json.dumps(document))
    try:
        assert read(ann, bucket) == b"kept"
        refused(ann.put_object, Bucket=bucket, Key="k", Body=b"")
        policy(door, bucket, ("Allow", {"AWS": f"arn:aws:iam::{tenant.id}:user/ann"}, "s3:GetObject", "/*"))
        assert read(ann, bucket) == b"kept"
        refused(boss.get_object, Bucket=bucket, Key="k")
        # A user that is not there cannot be named.
        nobody = {"AWS": f"arn:aws:iam::{tenant.id}:user/nobody"}
        with pytest.raises(ClientError, match="Invalid principal in policy"):
            policy(door, bucket, ("Allow", nobody, "s3:GetObject", "/*"))
    finally:
        tenant.iam.delete_user_policy(UserName="ann", PolicyName="p")
    refused(ann.get_object, Bucket=bucket, Key="k")


def test_a_policy_locks_nobody_out_for_ever(door, bucket):  # noqa: F811
    everything = ("Deny", "*", "s3:*", "")
    policy(door, bucket, everything)
    refused(door.root.list_objects_v2, Bucket=bucket)
    # Whoever administers the account reads, replaces and removes it nevertheless.
    assert "Deny" in door.root.get_bucket_policy(Bucket=bucket)["Policy"]
    policy(door, bucket, everything, ("Deny", "*", "s3:*", "/*"))
    door.root.delete_bucket_policy(Bucket=bucket)
    assert read(door.root, bucket) == b"kept"


def test_a_user_of_the_account_and_a_denial(door, bucket):  # noqa: F811
    name = f"user-{uuid.uuid4().hex[:8]}"
    arn = door.iam.create_user(UserName=name)["User"]["Arn"]
    key = door.iam.create_access_key(UserName=name)["AccessKey"]
    user = client(door, (key["AccessKeyId"], key["SecretAccessKey"]))
    try:
        told = refused(user.get_object, Bucket=bucket, Key="k")
        assert told.startswith(f"User: {arn} is not authorized to perform: s3:GetObject on resource:"), told
        # Within one account the bucket's policy is enough.
        policy(door, bucket, ("Allow", {"AWS": arn}, "s3:GetObject", "/*"))
        assert read(user, bucket) == b"kept"
        refused(user.list_objects_v2, Bucket=bucket)
        policy(door, bucket, ("Allow", {"AWS": arn}, "s3:*", "/*"), ("Deny", "*", "s3:GetObject", "/k"))
        assert "explicit deny in a resource-based policy" in refused(user.get_object, Bucket=bucket, Key="k")
        refused(door.root.get_object, Bucket=bucket, Key="k")
        door.root.delete_bucket_policy(Bucket=bucket)
        assert read(door.root, bucket) == b"kept"
        refused(user.get_object, Bucket=bucket, Key="k")
    finally:
        door.iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        door.iam.delete_user(UserName=name)


def test_nobody_and_where_from(door, bucket):  # noqa: F811
    nobody = client(door)
    here = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
    policy(door, bucket, ("Allow", "*", "s3:GetObject", "/k", here))
    assert read(nobody, bucket) == b"kept"
    refused(nobody.get_object, Bucket=bucket, Key="absent")
    refused(nobody.put_object, Bucket=bucket, Key="k", Body=b"")
    policy(door, bucket, ("Allow", "*", "s3:GetObject", "/k", {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}))
    refused(nobody.get_object, Bucket=bucket, Key="k")
    refused(nobody.list_buckets)
    refused(nobody.create_bucket, Bucket=f"{bucket}-2")
    # A public policy is refused, and where it is there it is cut down to the account.
    everybody = ("Allow", "*", "s3:GetObject", "/*")
    with pytest.raises(ClientError, match="BlockPublicPolicy"):
        policy(door, bucket, everybody)
    door.root.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    policy(door, bucket, everybody)
    assert read(nobody, bucket) == b"kept"
    door.root.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=CLOSED)
    refused(nobody.get_object, Bucket=bucket, Key="k")
    assert read(door.root, bucket) == b"kept"


def test_lists(door, tenant, bucket):  # noqa: F811
    other, nobody = client(door, tenant.keys), client(door)
    canonical = other.list_buckets()["Owner"]["ID"]
    door.root.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    door.root.put_object_acl(Bucket=bucket, Key="k", GrantRead=f"id={canonical}")
    assert read(other, bucket) == b"kept"
    refused(nobody.get_object, Bucket=bucket, Key="k")
    # The account lets its user only as far as its own policies do.
    refused(client(door, tenant.ann).get_object, Bucket=bucket, Key="k")
    refused(door.root.put_object_acl, Bucket=bucket, Key="k", ACL="public-read")
    door.root.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    door.root.put_object_acl(Bucket=bucket, Key="k", ACL="authenticated-read")
    refused(nobody.get_object, Bucket=bucket, Key="k")
    assert read(other, bucket) == b"kept"
    door.root.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    assert read(nobody, bucket) == b"kept"


def test_a_session_is_bound_by_its_policy(door, bucket):  # noqa: F811
    sts = iam(door, (door.environment["AWS_ACCESS_KEY_ID"], door.environment["AWS_SECRET_ACCESS_KEY"]), "sts")
    allowed = {"Version": "2012-10-17",
               "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/k"}]}
    made = sts.get_federation_token(Name="guest", Policy=json.dumps(allowed))["Credentials"]
    guest = client(door, (made["AccessKeyId"], made["SecretAccessKey"]), made["SessionToken"])
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            assert read(guest, bucket) == b"kept"
            break
        except ClientError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    refused(guest.put_object, Bucket=bucket, Key="k", Body=b"")
    refused(guest.list_objects_v2, Bucket=bucket)
    refused(guest.delete_object, Bucket=bucket, Key="k")
