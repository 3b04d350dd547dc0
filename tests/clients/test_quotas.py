"""Quotas: Service Quotas through boto3, the administrator's CLI, Limit policies, and what a tenant is told at the edge."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from support import ROOT, run, wait
from test_iam import euare, fresh, refused

VCPUS = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
CREATES = 40


class Tenant:
    """An account of its own, and clients of its administrator."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.name = fresh("tenant")
        made = euare(cloud, "CreateAccount", AccountName=self.name).text

        def text(element):
            return made.split(f"<{element}>")[1].split(f"</{element}>")[0]

        self.id = text("AccountId")
        self.keys = {"aws_access_key_id": text("AccessKeyId"), "aws_secret_access_key": text("SecretAccessKey")}

    def client(self, service, **options):
        return self.cloud.client(service, **{**self.keys, **options})

    def limit(self, action, **keys):
        """A policy of the account: Eucalyptus' effect Limit."""
        conditions = {key.replace("__", ":quota-"): str(most) for key, most in keys.items()}
        statement = {"Effect": "Limit", "Action": action, "Resource": "*"}
        statement["Condition"] = {"NumericLessThanEquals": conditions}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        reply = euare(
            self.cloud, "PutAccountPolicy", AccountName=self.name, PolicyName=fresh("few"), PolicyDocument=document
        )
        assert reply.status_code == 200, reply.text


@pytest.fixture
def tenant(cloud):
    tenant = Tenant(cloud)
    yield tenant
    euare(cloud, "DeleteAccount", AccountName=tenant.name, Recursive="true")


def test_quotas_are_listed_and_read(tenant):
    quotas = tenant.client("service-quotas")
    services = [s["ServiceCode"] for p in quotas.get_paginator("list_services").paginate() for s in p["Services"]]
    assert services == ["ec2", "iam", "s3", "vpc"]
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="ec2", PaginationConfig={"PageSize": 3})
    listed = {q["QuotaCode"]: q for page in pages for q in page["Quotas"]}
    assert len(listed) > 5 and list(listed) == sorted(listed)
    vcpus = quotas.get_service_quota(**VCPUS)["Quota"]
    assert vcpus == listed["L-1216C47A"]
    assert vcpus["QuotaArn"].endswith(f":{tenant.id}:ec2/L-1216C47A") and vcpus["Adjustable"] is True
    assert quotas.get_aws_default_service_quota(**VCPUS)["Quota"]["Value"] == vcpus["Value"]
    defaults = quotas.get_paginator("list_aws_default_service_quotas").paginate(ServiceCode="iam")
    values = {q["QuotaCode"]: q["Value"] for page in defaults for q in page["Quotas"]}
    assert (values["L-F55AF5E4"], values["L-F4A5425F"], values["L-FE177D64"]) == (5000, 300, 1000)
    refused("NoSuchResourceException", quotas.get_service_quota, ServiceCode="ec2", QuotaCode="L-00000000")
    refused("NoSuchResourceException", quotas.list_service_quotas, ServiceCode="lambda")
    refused("InvalidPaginationTokenException", quotas.list_services, NextToken="a")


def test_an_increase_is_asked_for_and_granted(cloud, tenant):
    quotas, iam = tenant.client("service-quotas"), tenant.client("iam")
    users = {"ServiceCode": "iam", "QuotaCode": "L-F55AF5E4"}
    made = quotas.request_service_quota_increase(**users, DesiredValue=6000)["RequestedQuota"]
    assert (made["Status"], made["DesiredValue"]) == ("PENDING", 6000)
    assert json.loads(made["Requester"])["accountId"] == tenant.id
    refused("ResourceAlreadyExistsException", quotas.request_service_quota_increase, **users, DesiredValue=7000)
    refused("IllegalArgumentException", quotas.request_service_quota_increase, **VCPUS, DesiredValue=1)
    shown = json.loads(cloud.mallee("quota", "requests", "--json").stdout)["requests"]
    assert [r["desired"] for r in shown if r["id"] == made["Id"]] == [6000]
    assert "APPROVED" in cloud.mallee("quota", "grant", made["Id"]).stdout
    assert quotas.get_service_quota(**users)["Quota"]["Value"] == 6000
    assert quotas.get_aws_default_service_quota(**users)["Quota"]["Value"] == 5000
    assert iam.get_account_summary()["SummaryMap"]["UsersQuota"] == 6000
    again = quotas.get_requested_service_quota_change(RequestId=made["Id"])["RequestedQuota"]
    assert again["Status"] == "APPROVED"
    assert cloud.mallee("quota", "deny", made["Id"], check=False).returncode != 0
    other = quotas.request_service_quota_increase(**VCPUS, DesiredValue=200_000)["RequestedQuota"]
    cloud.mallee("quota", "deny", other["Id"])
    history = quotas.list_requested_service_quota_change_history(Status="DENIED")["RequestedQuotas"]
    assert [r["Id"] for r in history] == [other["Id"]]
    of_quota = quotas.list_requested_service_quota_change_history_by_quota(**users)["RequestedQuotas"]
    assert [r["Id"] for r in of_quota] == [made["Id"]]
    stranger = cloud.client("service-quotas")
    refused("NoSuchResourceException", stranger.get_requested_service_quota_change, RequestId=made["Id"])


def test_parallel_creates_stop_at_the_quota(cloud, tenant):
    cloud.mallee("quota", "set", tenant.name, "ec2/mallee-key-pairs", "7")
    ec2 = tenant.client("ec2", config=Config(max_pool_connections=CREATES, retries={"max_attempts": 1}))

    def create(n):
        try:
            return ec2.create_key_pair(KeyName=f"k{n}", KeyType="ed25519")["KeyName"]
        except ClientError as error:
            assert error.response["Error"]["Code"] == "KeyPairLimitExceeded", error
            assert "mallee-key-pairs: 7, set by the administrator" in error.response["Error"]["Message"]
            return None

    with ThreadPoolExecutor(CREATES) as threads:
        made = [name for name in threads.map(create, range(CREATES)) if name]
    assert len(made) == 7
    assert sorted(p["KeyName"] for p in ec2.describe_key_pairs()["KeyPairs"]) == sorted(made)
    ec2.delete_key_pair(KeyName=made[0])
    ec2.create_key_pair(KeyName=made[0], KeyType="ed25519")
    listed = json.loads(cloud.mallee("quota", "list", tenant.name, "--json").stdout)["quotas"]
    [keys] = [q for q in listed if q["code"] == "mallee-key-pairs"]
    assert (keys["value"], keys["used"], keys["default"], keys["is_set"]) == (7, 7, 5000, True)
    cloud.mallee("quota", "set", tenant.name, "ec2/mallee-key-pairs", "--default")
    ec2.create_key_pair(KeyName="one-more", KeyType="ed25519")


def test_instances_and_their_virtual_cpus(cloud, ec2, launch):
    account = cloud.client("sts").get_caller_identity()["Account"]
    running = cloud.client("service-quotas")
    listed = json.loads(cloud.mallee("quota", "list", account, "--json").stdout)["quotas"]
    used = {q["code"]: q["used"] for q in listed}
    try:
        cloud.mallee("quota", "set", account, "ec2/L-1216C47A", str(used["L-1216C47A"] + 4))
        with pytest.raises(ClientError) as error:
            launch(MinCount=3, MaxCount=3)
        told = error.value.response["Error"]
        assert told["Code"] == "VcpuLimitExceeded" and "Quota ec2/L-1216C47A" in told["Message"]
        ids = [i["InstanceId"] for i in launch(MinCount=2, MaxCount=2)["Instances"]]
        wait(ec2, "instance_running", ids)
        ec2.stop_instances(InstanceIds=ids)
        wait(ec2, "instance_stopped", ids)
        # What is stopped takes no virtual CPU: another may run in its place, and then it cannot be started.
        launch()
        refused("VcpuLimitExceeded", ec2.start_instances, InstanceIds=ids)
        states = [r["Instances"][0]["State"]["Name"] for r in ec2.describe_instances(InstanceIds=ids)["Reservations"]]
        assert set(states) == {"stopped"}
        ec2.start_instances(InstanceIds=ids[:1])
        cloud.mallee("quota", "set", account, "ec2/mallee-instances", str(used["mallee-instances"] + 3))
        assert "more instances (1)" in refused("InstanceLimitExceeded", launch)
        attributes = ec2.describe_account_attributes(AttributeNames=["max-instances"])["AccountAttributes"]
        value = running.get_service_quota(ServiceCode="ec2", QuotaCode="mallee-instances")["Quota"]["Value"]
        assert attributes[0]["AttributeValues"][0]["AttributeValue"] == str(int(value))
    finally:
        for code in ("L-1216C47A", "mallee-instances"):
            cloud.mallee("quota", "set", account, f"ec2/{code}", "--default")


def test_a_limit_policy_binds_its_user_and_counts_its_own(tenant):
    iam, ec2 = tenant.client("iam"), tenant.client("ec2")
    ec2.create_security_group(GroupName="of-the-admin", Description="d")
    allow = {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}
    limit = {"Effect": "Limit", "Action": "ec2:CreateSecurityGroup", "Resource": "*"}
    limit["Condition"] = {"NumericLessThanEquals": {"ec2:quota-securitygroupnumber": "1"}}
    users = []
    for name in ("ann", "bob"):
        iam.create_user(UserName=name)
        document = json.dumps({"Version": "2012-10-17", "Statement": [allow, limit]})
        iam.put_user_policy(UserName=name, PolicyName="few", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        pair = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        users.append(tenant.cloud.client("ec2", **pair))
    for n, user in enumerate(users):
        group = user.create_security_group(GroupName=f"g{n}", Description="d")["GroupId"]
        text = refused(
            "SecurityGroupLimitExceeded", user.create_security_group, GroupName=f"h{n}", Description="d"
        )
        assert "inline policy few of the user" in text
    users[1].delete_security_group(GroupId=group)
    users[1].create_security_group(GroupName="again", Description="d")
    # A Limit grants nothing, and one of a key that is none is refused.
    limits = json.dumps({"Version": "2012-10-17", "Statement": [limit]})
    iam.put_user_policy(UserName="ann", PolicyName="few", PolicyDocument=limits)
    refused("UnauthorizedOperation", users[0].create_security_group, GroupName="i", Description="d")
    refused(
        "MalformedPolicyDocument",
        iam.put_user_policy,
        UserName="ann",
        PolicyName="few",
        PolicyDocument=limits.replace("securitygroupnumber", "securitygroups"),
    )


def test_a_limit_policy_binds_its_account(tenant):
    iam, s3 = tenant.client("iam"), tenant.client("s3")
    tenant.limit("iam:CreateRole", iam__rolenumber=1)
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}]}
    trust["Statement"][0]["Action"] = "sts:AssumeRole"
    iam.create_role(RoleName="one", AssumeRolePolicyDocument=json.dumps(trust))
    text = refused("LimitExceeded", iam.create_role, RoleName="two", AssumeRolePolicyDocument=json.dumps(trust))
    assert text.startswith("Cannot exceed quota for RolesPerAccount: 1") and "of the account" in text
    iam.delete_role(RoleName="one")
    tenant.limit("s3:CreateBucket", s3__bucketnumber=2)
    tenant.limit("s3:PutObject", s3__bucketsize=1, s3__bucketobjectnumber=2)
    names = [fresh("bucket") for _ in range(3)]
    for name in names[:2]:
        s3.create_bucket(Bucket=name)
    text = refused("TooManyBuckets", s3.create_bucket, Bucket=names[2])
    assert "s3/L-DC2B2D3D: 2, policy" in text
    s3.put_object(Bucket=names[0], Key="half", Body=b"x" * (600 * 1024))
    assert "s3:quota-bucketsize: 1" in refused(
        "QuotaExceeded", s3.put_object, Bucket=names[0], Key="more", Body=b"x" * (600 * 1024)
    )
    s3.put_object(Bucket=names[0], Key="half", Body=b"y" * (700 * 1024))
    s3.put_object(Bucket=names[0], Key="small", Body=b"z")
    refused("QuotaExceeded", s3.put_object, Bucket=names[0], Key="third", Body=b"z")
    assert s3.list_objects_v2(Bucket=names[0])["KeyCount"] == 2
    s3.put_object(Bucket=names[1], Key="other", Body=b"x" * (600 * 1024))
    for name, keys in ((names[0], ["half", "small"]), (names[1], ["other"])):
        for key in keys:
            s3.delete_object(Bucket=name, Key=key)
        s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=names[2])
    s3.delete_bucket(Bucket=names[2])


def test_who_writes_from_outside_takes_the_room_of_the_bucket_s_account(cloud, tenant):
    s3, bucket = tenant.client("s3"), fresh("bucket")
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    stranger = Tenant(cloud)
    nobody = boto3.client(
        "s3", endpoint_url=cloud.endpoint, region_name="us-east-1", config=Config(signature_version=UNSIGNED)
    )
    try:
        tenant.limit("s3:PutObject", s3__bucketsize=1)
        for client in (nobody, stranger.client("s3"), s3):
            client.put_object(Bucket=bucket, Key="small", Body=b"x" * 1024)
            text = refused("QuotaExceeded", client.put_object, Bucket=bucket, Key="large", Body=b"x" * (1100 * 1024))
            assert "s3:quota-bucketsize: 1" in text
        # The stranger's own quotas are about the stranger's own buckets.
        stranger.limit("s3:PutObject", s3__bucketobjectnumber=0)
        stranger.client("s3").put_object(Bucket=bucket, Key="another", Body=b"x")
    finally:
        euare(cloud, "DeleteAccount", AccountName=stranger.name, Recursive="true")
        for key in ("small", "another"):
            s3.delete_object(Bucket=bucket, Key=key)
        s3.delete_bucket(Bucket=bucket)


def test_the_aws_command_line(cloud, tenant):
    environment = {**cloud.environment, "AWS_ACCESS_KEY_ID": tenant.keys["aws_access_key_id"]}
    environment["AWS_SECRET_ACCESS_KEY"] = tenant.keys["aws_secret_access_key"]
    aws = ROOT / ".venv" / "bin" / "aws"
    told = run(aws, "service-quotas", "get-service-quota", "--service-code", "vpc", "--quota-code", "L-E79EC296",
               "--query", "Quota.Value", "--output", "text", env=environment)
    assert float(told.stdout) == 10_000
    listed = cloud.mallee("quota", "list", tenant.name).stdout
    assert "vpc/L-E79EC296" in listed and "VPC security groups per Region" in listed


def test_a_users_own_limit_binds_what_is_launched_for_it_later(cloud):
    iam = cloud.client("iam")
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {
            "Effect": "Limit",
            "Action": "ec2:RunInstances",
            "Resource": "*",
            "Condition": {"NumericLessThanEquals": {"ec2:quota-vminstancenumber": "2"}},
        },
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    name = fresh("few")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="few", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    user, admin = cloud.client("ec2", **keys), cloud.client("ec2")
    image = admin.describe_images(Owners=["self"])["Images"][0]["ImageId"]
    user.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": image, "InstanceType": "t3.nano"}
    )
    template = {"LaunchTemplateName": name, "Version": "$Latest"}
    target = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
    fleets, instances = [], []
    for wanted in ([], [], ["InstanceLimitExceeded"]):
        fleet = user.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[{"LaunchTemplateSpecification": template}],
            TargetCapacitySpecification=target,
        )
        fleets.append(fleet["FleetId"])
        assert [error["ErrorCode"] for error in fleet["Errors"]] == wanted
        instances += [id for made in fleet["Instances"] for id in made["InstanceIds"]]
    assert len(instances) == 2
    launch = {"ImageId": image, "InstanceType": "t3.nano"}
    asked = user.request_spot_instances(InstanceCount=1, LaunchSpecification=launch)["SpotInstanceRequests"][0]
    requests = [asked["SpotInstanceRequestId"]]

    def request():
        return admin.describe_spot_instance_requests(SpotInstanceRequestIds=requests)["SpotInstanceRequests"][0]

    def until(reached):
        for _ in range(600):
            if reached(request()):
                return
            time.sleep(0.1)
        raise AssertionError(request())

    until(lambda seen: seen["Status"]["Code"] == "limit-exceeded")
    # Of the policies as they are now.
    iam.delete_user_policy(UserName=name, PolicyName="few")
    until(lambda seen: seen["State"] == "active")
    instances.append(request()["InstanceId"])
    admin.cancel_spot_instance_requests(SpotInstanceRequestIds=requests)
    admin.delete_fleets(FleetIds=fleets, TerminateInstances=True)
    admin.terminate_instances(InstanceIds=instances)
    wait(admin, "instance_terminated", instances)
    admin.delete_launch_template(LaunchTemplateName=name)
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)
