"""IAM through boto3, unmodified, against a simulated cloud: what a user notices."""

import json
import time
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import requests
from botocore.exceptions import ClientError

ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}]}
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def fresh(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def iam(cloud):
    return cloud.client("iam")


@pytest.fixture
def user(iam):
    name = fresh("user")
    iam.create_user(UserName=name, Tags=[{"Key": "Team", "Value": "a"}])
    yield name
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=policy)
    for policy in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
        iam.detach_user_policy(UserName=name, PolicyArn=policy["PolicyArn"])
    for group in iam.list_groups_for_user(UserName=name)["Groups"]:
        iam.remove_user_from_group(UserName=name, GroupName=group["GroupName"])
    iam.delete_user(UserName=name)


def test_a_user_is_there_for_the_waiter(iam, user):
    iam.get_waiter("user_exists").wait(UserName=user, WaiterConfig={"Delay": 0, "MaxAttempts": 1})
    found = iam.get_user(UserName=user)["User"]
    assert found["Tags"] == [{"Key": "Team", "Value": "a"}]
    assert found["Arn"].endswith(f":user/{user}")
    assert found["UserId"].startswith("AIDA")
    assert iam.get_user()["User"]["UserName"] == "admin"
    assert refused("NoSuchEntity", iam.get_user, UserName="nobody") == "The user with name nobody cannot be found."
    assert refused("EntityAlreadyExists", iam.create_user, UserName=user.upper())


def test_paginators_see_everything_once(iam):
    path = f"/{fresh('p')}/"
    names = [fresh(f"u{n}") for n in range(7)]
    for name in names:
        iam.create_user(UserName=name, Path=path)
    pages = iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 3})
    listed = [[user["UserName"] for user in page["Users"]] for page in pages]
    assert [len(page) for page in listed] == [3, 3, 1]
    assert sorted(sum(listed, [])) == sorted(names)
    for name in names:
        iam.delete_user(UserName=name)
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS", PaginationConfig={"PageSize": 5})
    arns = [policy["Arn"] for page in pages for policy in page["Policies"]]
    assert "arn:aws:iam::aws:policy/AdministratorAccess" in arns
    assert "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess" in arns
    assert len(arns) == len(set(arns)) > 20


def test_a_new_key_signs_and_a_disabled_one_does_not(cloud, iam, user):
    key = iam.create_access_key(UserName=user)["AccessKey"]
    pair = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    never = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]
    assert never["ServiceName"] == "N/A" and "LastUsedDate" not in never
    arn = cloud.client("sts", **pair).get_caller_identity()["Arn"]
    assert arn == iam.get_user(UserName=user)["User"]["Arn"]
    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert used["UserName"] == user
    assert used["AccessKeyLastUsed"]["ServiceName"] == "sts"
    assert used["AccessKeyLastUsed"]["LastUsedDate"]
    refused("AccessDenied", cloud.client("iam", **pair).create_user, UserName=fresh("x"))
    iam.update_access_key(UserName=user, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    deadline = time.monotonic() + 6
    while True:
        try:
            cloud.client("sts", **pair).get_caller_identity()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidClientTokenId"
            break
        assert time.monotonic() < deadline, "a disabled key works for more than five seconds"
        time.sleep(0.2)


def test_policies_have_versions_and_are_attached(iam, user):
    name = fresh("policy")
    arn = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(ALLOW), Description="d")["Policy"]["Arn"]
    iam.get_waiter("policy_exists").wait(PolicyArn=arn, WaiterConfig={"Delay": 0, "MaxAttempts": 1})
    second = {**ALLOW, "Statement": [{**ALLOW["Statement"][0], "Effect": "Deny"}]}
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(second), SetAsDefault=True)
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (policy["DefaultVersionId"], policy["Description"]) == ("v2", "d")
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == ALLOW
    iam.attach_user_policy(UserName=user, PolicyArn=arn)
    iam.attach_user_policy(UserName=user, PolicyArn=READ_ONLY)
    attached = iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]
    assert [p["PolicyName"] for p in attached] == [name, "ReadOnlyAccess"]
    assert iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"][0]["UserName"] == user
    refused("DeleteConflict", iam.delete_policy, PolicyArn=arn)
    iam.detach_user_policy(UserName=user, PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
    refused("NoSuchEntity", iam.get_policy, PolicyArn=arn)
    refused("MalformedPolicyDocument", iam.create_policy, PolicyName=name, PolicyDocument="{")


def test_inline_policies_and_groups(iam, user):
    group = fresh("group")
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=user)
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    assert iam.get_user_policy(UserName=user, PolicyName="p")["PolicyDocument"] == ALLOW
    assert iam.get_group_policy(GroupName=group, PolicyName="p")["PolicyDocument"] == ALLOW
    assert [u["UserName"] for u in iam.get_group(GroupName=group)["Users"]] == [user]
    details = iam.get_account_authorization_details(Filter=["User", "Group"])
    mine = next(u for u in details["UserDetailList"] if u["UserName"] == user)
    assert mine["GroupList"] == [group]
    assert mine["UserPolicyList"] == [{"PolicyName": "p", "PolicyDocument": ALLOW}]
    message = refused("DeleteConflict", iam.delete_group, GroupName=group)
    assert message == "Cannot delete entity, must remove users from group first."
    iam.remove_user_from_group(GroupName=group, UserName=user)
    iam.delete_group_policy(GroupName=group, PolicyName="p")
    iam.delete_group(GroupName=group)
    assert iam.get_account_summary()["SummaryMap"]["AccessKeysPerUserQuota"] == 2


def test_simulation(iam, user):
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    arn = iam.get_user(UserName=user)["User"]["Arn"]
    told = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["ec2:DescribeVpcs", "ec2:RunInstances"])
    decisions = {r["EvalActionName"]: r["EvalDecision"] for r in told["EvaluationResults"]}
    assert decisions == {"ec2:DescribeVpcs": "allowed", "ec2:RunInstances": "implicitDeny"}
    matched = told["EvaluationResults"][0]["MatchedStatements"][0]
    assert matched["StartPosition"]["Line"] == 1
    assert matched["SourcePolicyId"] == f"user_{user}_p"


def euare(cloud, action, **parameters):
    """Eucalyptus' operations are in no model of botocore: signed by hand."""
    environment = cloud.environment
    keys = botocore.credentials.Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    data = {"Action": action, "Version": "2010-05-08", **parameters}
    request = botocore.awsrequest.AWSRequest("POST", cloud.endpoint + "/services/Euare", data=data)
    botocore.auth.SigV4Auth(keys, "iam", environment["AWS_DEFAULT_REGION"]).add_auth(request)
    prepared = request.prepare()
    return requests.post(prepared.url, data=prepared.body, headers=dict(prepared.headers), timeout=10)


def test_accounts(cloud, iam):
    name = fresh("tenant")
    made = euare(cloud, "CreateAccount", AccountName=name)
    assert made.status_code == 200, made.text

    def text(element, body=made.text):
        return body.split(f"<{element}>")[1].split(f"</{element}>")[0]

    pair = {"aws_access_key_id": text("AccessKeyId"), "aws_secret_access_key": text("SecretAccessKey")}
    tenant = cloud.client("iam", **pair)
    assert tenant.get_user()["User"]["Arn"] == f"arn:aws:iam::{text('AccountId')}:user/admin"
    assert tenant.list_account_aliases()["AccountAliases"] == [name]
    vpcs = cloud.client("ec2", **pair).describe_vpcs()["Vpcs"]
    assert [v["IsDefault"] for v in vpcs] == [True]
    assert vpcs[0]["VpcId"] not in [v["VpcId"] for v in cloud.client("ec2").describe_vpcs()["Vpcs"]]
    assert f"<AccountName>{name}</AccountName>" in euare(cloud, "ListAccounts").text
    assert euare(cloud, "CreateUser", UserName="u", DelegateAccount=name).status_code == 200
    assert [u["UserName"] for u in tenant.list_users()["Users"]] == ["admin", "u"]
    refusal = euare(cloud, "DeleteAccount", AccountName=name)
    assert refusal.status_code == 409 and "DeleteConflict" in refusal.text
    assert euare(cloud, "DeleteAccount", AccountName=name, Recursive="true").status_code == 200
    assert name not in euare(cloud, "ListAccounts").text
