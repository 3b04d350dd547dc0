"""A second factor with STS, and what sessions of users may not call, through boto3."""

import json
import time

import pytest

from test_compute import refused
from test_iam_roles import code
from test_sts import as_session


@pytest.fixture(scope="module")
def iam(cloud):
    return cloud.client("iam")


@pytest.fixture(scope="module")
def user(cloud, iam):
    """A user that may everything, with a device that shows codes; each code once."""
    iam.create_user(UserName="factor")
    allow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    iam.put_user_policy(UserName="factor", PolicyName="all", PolicyDocument=json.dumps(allow))
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="factor")["VirtualMFADevice"]
    seed, serial = device["Base32StringSeed"], device["SerialNumber"]
    step = int(time.time()) // 30
    iam.enable_mfa_device(
        UserName="factor",
        SerialNumber=serial,
        AuthenticationCode1=code(seed, step - 4),
        AuthenticationCode2=code(seed, step - 3),
    )
    key = iam.create_access_key(UserName="factor")["AccessKey"]
    names = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    # The device's clock is three steps behind: each code brings it a step nearer.
    return {"keys": names, "serial": serial, "codes": (code(seed, step - n) for n in (2, 1))}


def test_a_second_factor(cloud, iam, user):
    sts = cloud.client("sts", **user["keys"])
    account = sts.get_caller_identity()["Account"]
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": account},
            "Action": "sts:AssumeRole",
            "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}, "NumericLessThan": {"aws:MultiFactorAuthAge": "60"}},
        },
    }
    role = iam.create_role(RoleName="with-factor", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    asked = {"RoleArn": role, "RoleSessionName": "me"}
    refused("AccessDenied", sts.assume_role, **asked)
    wrong = refused("AccessDenied", sts.assume_role, **asked, SerialNumber=user["serial"], TokenCode="000000")
    assert "MultiFactorAuthentication failed" in str(wrong)
    refused("ValidationError", sts.assume_role, **asked, SerialNumber=user["serial"])
    once = next(user["codes"])
    sts.assume_role(**asked, SerialNumber=user["serial"], TokenCode=once)
    refused("AccessDenied", sts.assume_role, **asked, SerialNumber=user["serial"], TokenCode=once)
    # Another's device is nobody's.
    refused("AccessDenied", cloud.client("sts").get_session_token, SerialNumber=user["serial"], TokenCode="123456")

    # A session with a factor: it may assume the role without another code, and call IAM.
    session = sts.get_session_token(SerialNumber=user["serial"], TokenCode=next(user["codes"]))["Credentials"]
    as_session(cloud, "sts", session).assume_role(**asked)
    as_session(cloud, "iam", session).list_users()
    # Without: neither.
    plain = sts.get_session_token()["Credentials"]
    refused("AccessDenied", as_session(cloud, "sts", plain).assume_role, **asked)
    refused("InvalidClientTokenId", as_session(cloud, "iam", plain).list_users)
    as_session(cloud, "ec2", plain).describe_instances()
    # Whatever the factor, of STS only AssumeRole and GetCallerIdentity.
    for of in [plain, session]:
        client = as_session(cloud, "sts", of)
        client.get_caller_identity()
        refused("AccessDenied", client.get_session_token)
        refused("AccessDenied", client.get_federation_token, Name="fred")
        refused("AccessDenied", client.get_access_key_info, AccessKeyId=of["AccessKeyId"])
    iam.delete_role(RoleName="with-factor")
    # Six digits are not guessed: after ten wrong codes even the right one has to wait, and only this caller.
    for n in range(10):
        refused("AccessDenied", sts.get_session_token, SerialNumber=user["serial"], TokenCode=f"{n:06}")
    late = refused("AccessDenied", sts.get_session_token, SerialNumber=user["serial"], TokenCode="999999")
    assert "too many codes" in str(late)
    sts.get_session_token()


def test_awss_own_policies_as_session_policies(cloud, iam):
    keys = cloud.client("iam")
    account = cloud.client("sts").get_caller_identity()["Account"]
    keys.create_user(UserName="limited")
    allow = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    keys.put_user_policy(UserName="limited", PolicyName="all", PolicyDocument=json.dumps(allow))
    key = keys.create_access_key(UserName="limited")["AccessKey"]
    sts = cloud.client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    arns = [{"arn": "arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"}]
    reply = sts.get_federation_token(Name="fred", PolicyArns=arns)
    assert 0 < reply["PackedPolicySize"] <= 2, "only its name counts"
    ec2 = as_session(cloud, "ec2", reply["Credentials"])
    ec2.describe_instances()
    refused("UnauthorizedOperation", ec2.create_key_pair, KeyName="k")
    trust = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}}
    role = iam.create_role(RoleName="mighty", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.attach_role_policy(RoleName="mighty", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    session = sts.assume_role(RoleArn=role, RoleSessionName="me", PolicyArns=arns)["Credentials"]
    as_session(cloud, "ec2", session).describe_instances()
    refused("AccessDenied", as_session(cloud, "iam", session).list_users)
    nothing = [{"arn": "arn:aws:iam::aws:policy/NoSuchPolicyAtAll"}]
    refused("ValidationError", sts.assume_role, RoleArn=role, RoleSessionName="me", PolicyArns=nothing)
    iam.detach_role_policy(RoleName="mighty", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.delete_role(RoleName="mighty")
