"""Compute through boto3, unmodified, against a simulated cloud: what a user notices."""

import base64
import datetime
import uuid

import pytest
from botocore.exceptions import ClientError

from support import wait


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response


def one(ec2, instance_id):
    return ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


def test_a_launch_goes_from_pending_to_running_to_terminated(ec2, image, launch):
    reply = launch()
    instance = reply["Instances"][0]
    assert instance["State"] == {"Code": 0, "Name": "pending"}
    assert instance["ImageId"] == image
    assert reply["ReservationId"].startswith("r-")
    wait(ec2, "instance_running", [instance["InstanceId"]])
    running = one(ec2, instance["InstanceId"])
    assert running["State"] == {"Code": 16, "Name": "running"}
    assert running["PrivateIpAddress"].startswith("172.31.")
    assert running["PublicIpAddress"]
    assert running["InstanceType"] == "t3.nano"
    assert running["Placement"]["AvailabilityZone"]
    assert running["NetworkInterfaces"][0]["Status"] == "in-use"
    assert running["NetworkInterfaces"][0]["Attachment"]["Status"] == "attached"
    assert running["SecurityGroups"][0]["GroupName"] == "default"
    age = datetime.datetime.now(datetime.timezone.utc) - running["LaunchTime"]
    assert datetime.timedelta(minutes=-1) < age < datetime.timedelta(minutes=5)
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    wait(ec2, "instance_terminated", [instance["InstanceId"]])
    gone = one(ec2, instance["InstanceId"])
    assert gone["State"]["Name"] == "terminated"
    assert "PublicIpAddress" not in gone
    assert gone["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_the_reply_to_a_launch_is_what_a_description_shows(ec2, launch):
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    groups = [
        ec2.create_security_group(GroupName=f"reply-{n}", Description="d", VpcId=vpc)["GroupId"] for n in range(3)
    ]
    tags = [{"Key": key, "Value": "v"} for key in ("b", "a", "c")]
    kinds = ("instance", "network-interface")
    reply = launch(
        MaxCount=3,
        SecurityGroupIds=list(reversed(groups)),
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in kinds],
        UserData="#!/bin/sh",
        ClientToken="the-reply-of-a-launch",
    )
    assert [instance["AmiLaunchIndex"] for instance in reply["Instances"]] == [0, 1, 2]
    assert len({instance["PublicIpAddress"] for instance in reply["Instances"]}) == 3
    moving = ("State", "StateReason", "StateTransitionReason")

    def still(instance):
        shown = {key: value for key, value in instance.items() if key not in moving}
        # What moves with the state.
        shown["MetadataOptions"] = {**instance["MetadataOptions"], "State": ""}
        for interface in shown["NetworkInterfaces"]:
            interface["Attachment"]["Status"] = interface["Status"] = ""
        return shown

    for replied in reply["Instances"]:
        assert still(replied) == still(one(ec2, replied["InstanceId"]))
    again = launch(
        MaxCount=3,
        SecurityGroupIds=list(reversed(groups)),
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in kinds],
        UserData="#!/bin/sh",
        ClientToken="the-reply-of-a-launch",
    )
    assert [still(instance) for instance in again["Instances"]] == [still(instance) for instance in reply["Instances"]]


def test_stop_start_reboot(ec2, launch):
    instance_id = launch()["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [instance_id])
    before = one(ec2, instance_id)
    ec2.reboot_instances(InstanceIds=[instance_id])
    change = ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"][0]
    assert change["PreviousState"]["Name"] == "running"
    assert change["CurrentState"]["Name"] == "stopping"
    wait(ec2, "instance_stopped", [instance_id])
    stopped = one(ec2, instance_id)
    assert stopped["PrivateIpAddress"] == before["PrivateIpAddress"]
    change = ec2.start_instances(InstanceIds=[instance_id])["StartingInstances"][0]
    assert change["PreviousState"]["Name"] == "stopped"
    assert change["CurrentState"]["Name"] == "pending"
    wait(ec2, "instance_running", [instance_id])
    wait(ec2, "instance_status_ok", [instance_id])
    # Asked again, it is simply true.
    assert ec2.start_instances(InstanceIds=[instance_id])["StartingInstances"][0]["CurrentState"]["Name"] == "running"


def test_client_token_gives_the_same_reservation(ec2, image, launch):
    token = str(uuid.uuid4())
    first = launch(ClientToken=token, MaxCount=2)
    again = launch(ClientToken=token, MaxCount=2)
    assert again["ReservationId"] == first["ReservationId"]
    assert {i["InstanceId"] for i in again["Instances"]} == {i["InstanceId"] for i in first["Instances"]}
    refused(
        "IdempotentParameterMismatch",
        ec2.run_instances,
        ImageId=image,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=2,
        ClientToken=token,
    )


def test_dry_run_changes_nothing(ec2, image):
    before = ec2.describe_instances()["Reservations"]
    reply = refused("DryRunOperation", ec2.run_instances, ImageId=image, MinCount=1, MaxCount=1, DryRun=True)
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert ec2.describe_instances()["Reservations"] == before


def test_bad_launches_are_refused_with_ec2s_codes(ec2, image):
    def run(**options):
        return ec2.run_instances(**{"ImageId": image, "MinCount": 1, "MaxCount": 1, **options})

    refused("InvalidAMIID.Malformed", run, ImageId="x")
    refused("InvalidAMIID.NotFound", run, ImageId="ami-0123456789abcdef0")
    refused("InvalidParameterValue", run, InstanceType="t9.huge")
    refused("InvalidKeyPair.NotFound", run, KeyName="nobody")
    refused("InvalidGroup.NotFound", run, SecurityGroupIds=["sg-0123456789abcdef0"])
    refused("InvalidSubnetID.NotFound", run, SubnetId="subnet-0123456789abcdef0")
    refused("InvalidParameterValue", run, MinCount=2, MaxCount=1)
    refused("InvalidParameterValue", run, MinCount=0, MaxCount=1)
    refused("InvalidParameterValue", run, Placement={"AvailabilityZone": "mars-1a"})
    refused("InsufficientInstanceCapacity", run, InstanceType="m5.16xlarge", MinCount=5, MaxCount=5)
    too_long = "x" * 16385
    refused("InvalidParameterValue", run, UserData=too_long)


def test_min_and_max_count(ec2, launch):
    reply = launch(MinCount=1, MaxCount=3)
    ids = [i["InstanceId"] for i in reply["Instances"]]
    assert len(ids) == 3
    assert sorted(i["AmiLaunchIndex"] for i in reply["Instances"]) == [0, 1, 2]
    wait(ec2, "instance_running", ids)
    addresses = {i["PrivateIpAddress"] for i in reply["Instances"]}
    assert len(addresses) == 3


def test_unknown_instances(ec2):
    missing = "i-0123456789abcdef0"
    reply = refused("InvalidInstanceID.NotFound", ec2.describe_instances, InstanceIds=[missing])
    assert reply["Error"]["Message"] == f"The instance ID '{missing}' does not exist"
    refused("InvalidInstanceID.Malformed", ec2.describe_instances, InstanceIds=["vol-1"])
    refused("InvalidInstanceID.NotFound", ec2.terminate_instances, InstanceIds=[missing])


def test_describe_filters_and_pages(ec2, launch):
    mark = uuid.uuid4().hex
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "mark", "Value": mark}]}]
    ids = sorted(i["InstanceId"] for i in launch(MaxCount=7, TagSpecifications=tags)["Instances"])
    wait(ec2, "instance_running", ids)
    by_tag = [{"Name": "tag:mark", "Values": [mark]}]

    def found(*filters):
        pages = ec2.get_paginator("describe_instances").paginate(Filters=[*by_tag, *filters])
        return sorted(i["InstanceId"] for r in pages.search("Reservations[]") for i in r["Instances"])

    assert found() == ids
    assert found({"Name": "instance-state-name", "Values": ["running"]}) == ids
    assert found({"Name": "instance-state-name", "Values": ["stopped"]}) == []
    assert found({"Name": "instance-type", "Values": ["t3.*"]}) == ids
    assert found({"Name": "instance-id", "Values": ids[:2]}) == ids[:2]
    refused("InvalidParameterValue", ec2.describe_instances, Filters=[{"Name": "colour", "Values": ["red"]}])
    seen, token = [], None
    while True:
        more = {"NextToken": token} if token else {}
        page = ec2.describe_instances(Filters=by_tag, MaxResults=5, **more)
        seen += [i["InstanceId"] for r in page["Reservations"] for i in r["Instances"]]
        token = page.get("NextToken")
        if not token:
            break
    assert sorted(seen) == ids


def test_console_output(ec2, launch):
    instance_id = launch()["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [instance_id])
    reply = ec2.get_console_output(InstanceId=instance_id)
    assert reply["InstanceId"] == instance_id
    assert "SSH HOST KEY FINGERPRINTS" in reply["Output"]


def test_key_pairs(ec2):
    name = f"key-{uuid.uuid4().hex[:8]}"
    made = ec2.create_key_pair(KeyName=name)
    assert made["KeyMaterial"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert len(made["KeyFingerprint"].split(":")) == 20
    refused("InvalidKeyPair.Duplicate", ec2.create_key_pair, KeyName=name)
    shown = ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"][0]
    assert shown["KeyPairId"] == made["KeyPairId"]
    assert shown["PublicKey"].startswith("ssh-rsa ")
    imported = ec2.import_key_pair(KeyName=f"{name}-i", PublicKeyMaterial=shown["PublicKey"].encode())
    assert len(imported["KeyFingerprint"].split(":")) == 16
    refused("InvalidKey.Format", ec2.import_key_pair, KeyName="bad", PublicKeyMaterial=b"nonsense")
    small = ec2.create_key_pair(KeyName=f"{name}-e", KeyType="ed25519")
    assert small["KeyMaterial"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    for each in (name, f"{name}-i", f"{name}-e"):
        ec2.delete_key_pair(KeyName=each)
    refused("InvalidKeyPair.NotFound", ec2.describe_key_pairs, KeyNames=[name])
    ec2.delete_key_pair(KeyName=name)  # deleting what is not there is fine


def test_security_groups(ec2, launch):
    name = f"web-{uuid.uuid4().hex[:8]}"
    group = ec2.create_security_group(GroupName=name, Description="web servers")["GroupId"]
    refused("InvalidGroup.Duplicate", ec2.create_security_group, GroupName=name, Description="again")
    shown = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert shown["IpPermissions"] == []
    assert shown["IpPermissionsEgress"][0]["IpProtocol"] == "-1"
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    rules = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh])["SecurityGroupRules"]
    assert rules[0]["SecurityGroupRuleId"].startswith("sgr-")
    refused("InvalidPermission.Duplicate", ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[ssh])
    refused(
        "InvalidPermission.NotFound",
        ec2.revoke_security_group_ingress,
        GroupId=group,
        IpPermissions=[{**ssh, "FromPort": 23, "ToPort": 23}],
    )
    itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[itself])
    shown = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert len(shown["IpPermissions"]) == 2
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rules[0]["SecurityGroupRuleId"]])
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    instance = launch(SecurityGroupIds=[group])["Instances"][0]["InstanceId"]
    refused("DependencyViolation", ec2.delete_security_group, GroupId=group)
    ec2.terminate_instances(InstanceIds=[instance])
    wait(ec2, "instance_terminated", [instance])
    ec2.delete_security_group(GroupId=group)
    refused("InvalidGroup.NotFound", ec2.describe_security_groups, GroupIds=[group])


def test_tags(ec2, launch):
    instance = launch()["Instances"][0]["InstanceId"]
    ec2.create_tags(Resources=[instance], Tags=[{"Key": "Name", "Value": "one"}, {"Key": "env", "Value": "test"}])
    ec2.create_tags(Resources=[instance], Tags=[{"Key": "Name", "Value": "two"}])
    tags = {t["Key"]: t["Value"] for t in one(ec2, instance)["Tags"]}
    assert tags == {"Name": "two", "env": "test"}
    listed = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance]}])["Tags"]
    assert {(t["ResourceType"], t["Key"]) for t in listed} == {("instance", "Name"), ("instance", "env")}
    ec2.delete_tags(Resources=[instance], Tags=[{"Key": "env"}, {"Key": "Name", "Value": "other"}])
    assert {t["Key"] for t in one(ec2, instance)["Tags"]} == {"Name"}
    refused("InvalidParameterValue", ec2.create_tags, Resources=[instance], Tags=[{"Key": "aws:x", "Value": "1"}])
    refused("InvalidInstanceID.NotFound", ec2.create_tags, Resources=["i-0123456789abcdef0"], Tags=[{"Key": "a", "Value": "b"}])


def test_the_default_vpc(ec2):
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    assert vpc["CidrBlock"] == "172.31.0.0/16"
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    zones = {z["ZoneName"] for z in ec2.describe_availability_zones()["AvailabilityZones"]}
    assert {s["AvailabilityZone"] for s in subnets} == zones
    assert all(s["AvailableIpAddressCount"] > 4000 and s["MapPublicIpOnLaunch"] for s in subnets)
    attributes = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert attributes[0]["AttributeValues"][0]["AttributeValue"] == vpc["VpcId"]


def test_the_catalog(ec2):
    assert ec2.describe_regions()["Regions"][0]["RegionName"]
    types = ec2.describe_instance_types(InstanceTypes=["t3.nano"])["InstanceTypes"][0]
    assert types["MemoryInfo"]["SizeInMiB"] == 512 and types["VCpuInfo"]["DefaultVCpus"] == 2
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone")["InstanceTypeOfferings"]
    assert any(o["InstanceType"] == "t3.nano" for o in offered)
    refused("InvalidInstanceType", ec2.describe_instance_types, InstanceTypes=["x.y"])


def test_user_data_reaches_the_node_as_given(ec2, launch):
    instance = launch(UserData="#!/bin/sh\necho hello\n")["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [instance])
    assert base64  # the encoding is boto3's; that the guest sees the bytes is shown with real guests


def test_an_operation_that_is_not_offered_says_so(ec2):
    refused("UnsupportedOperation", ec2.create_vpn_gateway, Type="ipsec.1")


def test_who_am_i(cloud):
    identity = cloud.client("sts").get_caller_identity()
    assert len(identity["Account"]) == 12
    assert identity["Arn"].startswith(f"arn:aws:iam::{identity['Account']}:")


def test_wrong_credentials_are_refused(cloud):
    bad = cloud.client("ec2", aws_secret_access_key="wrong")
    refused("AuthFailure", bad.describe_instances)
    unknown = cloud.client("ec2", aws_access_key_id="AKIAUNKNOWNUNKNOWN00")
    refused("AuthFailure", unknown.describe_instances)
    refused("InvalidClientTokenId", cloud.client("sts", aws_access_key_id="AKIAUNKNOWNUNKNOWN00").get_caller_identity)
