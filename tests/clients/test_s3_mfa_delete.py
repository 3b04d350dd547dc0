"""Versions that are deleted only with a second factor, through boto3."""

import json
import time
import uuid

import pytest

from test_iam_roles import code
from test_quotas import Tenant
from test_s3_versions import refused, status


class Device:
    """A virtual device of a user; each code once. Its clock is some steps behind: each code brings it a step nearer."""

    def __init__(self, iam, user, codes=6):
        made = iam.create_virtual_mfa_device(VirtualMFADeviceName=f"device-{uuid.uuid4().hex[:8]}")["VirtualMFADevice"]
        self.serial, seed = made["SerialNumber"], made["Base32StringSeed"]
        step = int(time.time()) // 30
        iam.enable_mfa_device(
            UserName=user,
            SerialNumber=self.serial,
            AuthenticationCode1=code(seed, step - codes - 2),
            AuthenticationCode2=code(seed, step - codes - 1),
        )
        self.codes = (code(seed, step - n) for n in range(codes, 0, -1))

    def factor(self):
        return f"{self.serial} {next(self.codes)}"


@pytest.fixture(scope="module")
def iam(cloud):
    return cloud.client("iam")


@pytest.fixture
def versioned(cloud):
    s3 = cloud.client("s3")
    name = f"mfa-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    status(s3, name, "Enabled")
    return name


def user_client(cloud, iam, name):
    """An IAM user of the account that may everything."""
    iam.create_user(UserName=name)
    allow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(allow))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return cloud.client("s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def test_a_version_is_deleted_with_a_second_factor(cloud, iam, versioned):
    s3 = cloud.client("s3")
    root = iam.get_user()["User"]["UserName"]
    device = Device(iam, root)
    guarded = {"Status": "Enabled", "MFADelete": "Enabled"}
    setting = {"Bucket": versioned, "VersioningConfiguration": guarded}
    refused("AccessDenied", 403, s3.put_bucket_versioning, **setting)
    refused("AccessDenied", 403, s3.put_bucket_versioning, **setting, MFA=f"{device.serial} 000000")
    refused("InvalidArgument", 400, s3.put_bucket_versioning, **setting, MFA="123456")
    # A user of the account may everything, but not this.
    name = f"user-{uuid.uuid4().hex[:8]}"
    user = user_client(cloud, iam, name)
    own = Device(iam, name)
    refused("AccessDenied", 403, user.put_bucket_versioning, **setting, MFA=f"{own.serial} 123456")
    assert "MFADelete" not in s3.get_bucket_versioning(Bucket=versioned)
    s3.put_bucket_versioning(**setting, MFA=device.factor())
    assert s3.get_bucket_versioning(Bucket=versioned)["MFADelete"] == "Enabled"

    one = s3.put_object(Bucket=versioned, Key="k", Body=b"one")["VersionId"]
    two = s3.put_object(Bucket=versioned, Key="k", Body=b"two")["VersionId"]
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for version in [one, marker]:
        refused("AccessDenied", 403, s3.delete_object, Bucket=versioned, Key="k", VersionId=version)
    batch = {"Objects": [{"Key": "k", "VersionId": one}, {"Key": "other"}]}
    refused("AccessDenied", 403, s3.delete_objects, Bucket=versioned, Delete=batch)
    assert len(s3.list_object_versions(Bucket=versioned)["Versions"]) == 2
    # Another's device is nobody's.
    refused("AccessDenied", 403, user.delete_object, Bucket=versioned, Key="k", VersionId=one, MFA=f"{device.serial} 123456")
    s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "other"}]})

    spent = device.factor()
    s3.delete_object(Bucket=versioned, Key="k", VersionId=marker, MFA=spent)
    assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"two"
    refused("AccessDenied", 403, s3.delete_object, Bucket=versioned, Key="k", VersionId=one, MFA=spent)
    user.delete_object(Bucket=versioned, Key="k", VersionId=one, MFA=own.factor())
    assert [row["VersionId"] for row in s3.list_object_versions(Bucket=versioned)["Versions"]] == [two]

    # Nor is the guard taken away without, nor by rules that would delete.
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    rules = {"Rules": [rule]}
    refused("InvalidBucketState", 409, s3.put_bucket_lifecycle_configuration, Bucket=versioned, LifecycleConfiguration=rules)
    for to in [{"Status": "Suspended"}, {"Status": "Enabled", "MFADelete": "Disabled"}]:
        refused("AccessDenied", 403, s3.put_bucket_versioning, Bucket=versioned, VersioningConfiguration=to)
    free = {"Status": "Enabled", "MFADelete": "Disabled"}
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration=free, MFA=device.factor())
    assert s3.get_bucket_versioning(Bucket=versioned).get("MFADelete", "Disabled") == "Disabled"
    s3.delete_object(Bucket=versioned, Key="k", VersionId=two)
    s3.put_bucket_lifecycle_configuration(Bucket=versioned, LifecycleConfiguration=rules)
    refused("InvalidBucketState", 409, s3.put_bucket_versioning, **setting, MFA=device.factor())


def test_a_caller_of_another_account_proves_its_own_device(cloud, iam, versioned):
    s3 = cloud.client("s3")
    tenant = Tenant(cloud)
    theirs, boss = tenant.client("s3"), tenant.client("iam")
    owners = Device(iam, iam.get_user()["User"]["UserName"])
    device = Device(boss, boss.get_user()["User"]["UserName"])
    allow = {"Effect": "Allow", "Principal": {"AWS": tenant.id}, "Action": "s3:DeleteObjectVersion"}
    statement = {**allow, "Resource": f"arn:aws:s3:::{versioned}/k"}
    s3.put_bucket_policy(Bucket=versioned, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    version = s3.put_object(Bucket=versioned, Key="k", Body=b"one")["VersionId"]
    guarded = {"Status": "Enabled", "MFADelete": "Enabled"}
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration=guarded, MFA=owners.factor())
    # What it may not delete it is refused as ever: nothing is said of devices.
    other = s3.put_object(Bucket=versioned, Key="other", Body=b"two")["VersionId"]
    batch = {"Objects": [{"Key": "other", "VersionId": other}]}
    reply = theirs.delete_objects(Bucket=versioned, Delete=batch)
    assert [(error["Code"], error["Message"]) for error in reply["Errors"]] == [("AccessDenied", "Access Denied")]
    one = {"Bucket": versioned, "Key": "k", "VersionId": version}
    refused("AccessDenied", 403, theirs.delete_object, **one)
    refused("AccessDenied", 403, theirs.delete_object, **one, MFA=owners.factor())
    theirs.delete_object(**one, MFA=device.factor())
    assert [row["VersionId"] for row in s3.list_object_versions(Bucket=versioned)["Versions"]] == [other]
