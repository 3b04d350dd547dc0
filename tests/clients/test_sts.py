"""STS through boto3: temporary credentials that work, and that stop working."""

import json

import pytest

from test_compute import refused


@pytest.fixture
def sts(cloud):
    return cloud.client("sts")


@pytest.fixture
def iam(cloud):
    return cloud.client("iam")


def as_session(cloud, service, credentials, **changed):
    keys = {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }
    return cloud.client(service, **{**keys, **changed})


@pytest.fixture
def role(iam, sts):
    account = sts.get_caller_identity()["Account"]
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": account},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {"sts:ExternalId": "agreed"}},
        },
    }
    name = "sts-client-test"
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    yield arn
    try:
        iam.delete_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        pass


def test_a_session_of_a_role(cloud, sts, iam, role):
    refused("AccessDenied", sts.assume_role, RoleArn=role, RoleSessionName="me")
    reply = sts.assume_role(RoleArn=role, RoleSessionName="me", ExternalId="agreed", DurationSeconds=900)
    credentials = reply["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert reply["AssumedRoleUser"]["Arn"].endswith(":assumed-role/sts-client-test/me")
    session = as_session(cloud, "sts", credentials)
    assert session.get_caller_identity()["Arn"] == reply["AssumedRoleUser"]["Arn"]
    assert session.get_caller_identity()["UserId"] == reply["AssumedRoleUser"]["AssumedRoleId"]
    refused("AccessDenied", session.get_session_token)
    wrong = as_session(cloud, "sts", credentials, aws_session_token="nonsense")
    refused("InvalidClientTokenId", wrong.get_caller_identity)
    missing = as_session(cloud, "sts", credentials, aws_session_token=None)
    refused("InvalidClientTokenId", missing.get_caller_identity)
    refused("ValidationError", sts.assume_role, RoleArn="no-arn-of-a-role-at-all", RoleSessionName="me")


def test_sessions_of_users(cloud, sts):
    credentials = sts.get_session_token(DurationSeconds=900)["Credentials"]
    session = as_session(cloud, "sts", credentials)
    assert session.get_caller_identity()["Arn"] == sts.get_caller_identity()["Arn"]
    account = sts.get_caller_identity()["Account"]
    assert sts.get_access_key_info(AccessKeyId=credentials["AccessKeyId"])["Account"] == account
    named = sts.get_federation_token(Name="fred")
    assert named["FederatedUser"]["Arn"] == f"arn:aws:sts::{account}:federated-user/fred"
    fred = as_session(cloud, "sts", named["Credentials"])
    assert fred.get_caller_identity()["UserId"] == f"{account}:fred"
    refused("InvalidAuthorizationMessageException", sts.decode_authorization_message, EncodedMessage="bm8")
