"""Roles, instance profiles, passwords, MFA devices and certificates, as boto3 uses them."""

import base64
import hashlib
import hmac
import json
import struct
import time

import pytest
from botocore.exceptions import ClientError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
QUICK = {"Delay": 0, "MaxAttempts": 5}


@pytest.fixture(scope="module")
def iam(cloud):
    return cloud.client("iam")


def code(seed, step):
    digest = hmac.new(base64.b32decode(seed), struct.pack(">q", step), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 1000000:06}"


def test_a_role_and_its_profile(iam):
    made = iam.create_role(RoleName="web", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    iam.get_waiter("role_exists").wait(RoleName="web", WaiterConfig=QUICK)
    assert iam.get_role(RoleName="web")["Role"]["AssumeRolePolicyDocument"] == TRUST
    iam.create_instance_profile(InstanceProfileName="web")
    iam.get_waiter("instance_profile_exists").wait(InstanceProfileName="web", WaiterConfig=QUICK)
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    profile = iam.get_instance_profile(InstanceProfileName="web")["InstanceProfile"]
    assert [role["Arn"] for role in profile["Roles"]] == [made["Arn"]]
    iam.put_role_policy(RoleName="web", PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}))
    assert iam.get_role_policy(RoleName="web", PolicyName="p")["PolicyDocument"]["Statement"]["Action"] == "s3:*"
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(RoleName="web")
    iam.remove_role_from_instance_profile(InstanceProfileName="web", RoleName="web")
    iam.delete_instance_profile(InstanceProfileName="web")
    iam.delete_role_policy(RoleName="web", PolicyName="p")
    iam.delete_role(RoleName="web")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="web")


def test_roles_are_paged(iam):
    names = [f"paged-{n}" for n in range(5)]
    for name in names:
        iam.create_role(RoleName=name, Path="/paged/", AssumeRolePolicyDocument=json.dumps(TRUST))
    pages = iam.get_paginator("list_roles").paginate(PathPrefix="/paged/", PaginationConfig={"PageSize": 2})
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == names
    for name in names:
        iam.delete_role(RoleName=name)


def test_service_linked_roles_and_saml_are_refused(iam):
    for call in (
        lambda: iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com"),
        lambda: iam.list_saml_providers(),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "UnsupportedOperation"


def test_a_device_takes_real_codes(iam):
    iam.create_user(UserName="dora")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="dora")["VirtualMFADevice"]
    assert device["QRCodePNG"].startswith(b"\x89PNG")
    seed, serial = device["Base32StringSeed"], device["SerialNumber"]
    now = int(time.time()) // 30
    with pytest.raises(ClientError):
        iam.enable_mfa_device(UserName="dora", SerialNumber=serial, AuthenticationCode1="000000",
                              AuthenticationCode2="000000")
    iam.enable_mfa_device(UserName="dora", SerialNumber=serial, AuthenticationCode1=code(seed, now - 1),
                          AuthenticationCode2=code(seed, now))
    assert iam.list_mfa_devices(UserName="dora")["MFADevices"][0]["SerialNumber"] == serial
    iam.generate_credential_report()
    report = iam.get_credential_report()["Content"].decode().splitlines()
    line = next(line for line in report if line.startswith("dora,")).split(",")
    assert dict(zip(report[0].split(","), line))["mfa_active"] == "true"
    iam.deactivate_mfa_device(UserName="dora", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    iam.delete_user(UserName="dora")
