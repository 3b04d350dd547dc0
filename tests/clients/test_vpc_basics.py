"""VPCs and subnets through boto3, unmodified, against a simulated cloud: what a user makes, changes and deletes."""

import ipaddress
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from support import wait
from test_compute import one, refused
from test_quotas import Tenant

LAUNCH = {"InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}


@pytest.fixture
def make(ec2):
    """Makes VPCs and subnets, and removes them afterwards with what is in them."""
    vpcs = []

    class Make:
        def vpc(self, cidr="10.0.0.0/16", **options):
            made = ec2.create_vpc(CidrBlock=cidr, **options)["Vpc"]
            vpcs.append(made["VpcId"])
            return made

        def subnet(self, vpc, cidr="10.0.0.0/24", **options):
            return ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, **options)["Subnet"]

    yield Make()
    there = [{"Name": "vpc-id", "Values": vpcs or ["none"]}]
    reservations = ec2.describe_instances(Filters=there)["Reservations"]
    ids = [i["InstanceId"] for r in reservations for i in r["Instances"]]
    if ids:
        ec2.terminate_instances(InstanceIds=ids)
        wait(ec2, "instance_terminated", ids)
    for subnet in ec2.describe_subnets(Filters=there)["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for group in ec2.describe_security_groups(Filters=there)["SecurityGroups"]:
        if group["GroupName"] != "default":
            ec2.delete_security_group(GroupId=group["GroupId"])
    for vpc in ec2.describe_vpcs(Filters=there)["Vpcs"]:
        ec2.delete_vpc(VpcId=vpc["VpcId"])


def tags(kind, **pairs):
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in pairs.items()]}]


def attribute(ec2, vpc, name):
    answer = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)
    return answer[name[0].upper() + name[1:]]["Value"]


def test_a_vpc_is_made_as_asked_and_deleted_with_what_came_with_it(ec2, make):
    vpc = make.vpc("10.20.30.40/20", TagSpecifications=tags("vpc", Name="mine"))
    assert vpc["CidrBlock"] == "10.20.16.0/20" and vpc["InstanceTenancy"] == "default" and not vpc["IsDefault"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc["VpcId"]], WaiterConfig={"Delay": 0.01, "MaxAttempts": 10})
    found = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["mine"]}])["Vpcs"]
    assert [v["VpcId"] for v in found] == [vpc["VpcId"]] and found[0]["State"] == "available"
    subnet = make.subnet(vpc["VpcId"], "10.20.17.0/24", TagSpecifications=tags("subnet", Name="front"))
    assert subnet["AvailableIpAddressCount"] == 251 and not subnet["MapPublicIpOnLaunch"]
    assert not subnet["DefaultForAz"]
    assert subnet["Tags"] == [{"Key": "Name", "Value": "front"}]
    found = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["front"]}])["Subnets"]
    assert [s["SubnetId"] for s in found] == [subnet["SubnetId"]]
    error = refused("DependencyViolation", ec2.delete_vpc, VpcId=vpc["VpcId"])["Error"]
    assert error["Message"] == f"The vpc '{vpc['VpcId']}' has dependencies and cannot be deleted."
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    refused("InvalidSubnetID.NotFound", ec2.delete_subnet, SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=[vpc["VpcId"]])
    left = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    assert ec2.describe_security_groups(Filters=left)["SecurityGroups"] == []


def test_blocks_that_cannot_be_are_refused(ec2, make):
    for cidr in ["10.0.0.0/15", "10.0.0.0/29", "127.0.0.0/16"]:
        refused("InvalidVpc.Range", ec2.create_vpc, CidrBlock=cidr)
    refused("InvalidParameterValue", ec2.create_vpc, CidrBlock="10.0.0")
    vpc = make.vpc()["VpcId"]
    for cidr in ["10.1.0.0/24", "10.0.0.0/15", "10.0.0.0/29"]:
        refused("InvalidSubnet.Range", ec2.create_subnet, VpcId=vpc, CidrBlock=cidr)
    refused("InvalidParameterValue", ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone="x")
    make.subnet(vpc, "10.0.4.0/22")
    for cidr in ["10.0.4.0/22", "10.0.5.0/24", "10.0.0.0/16"]:
        error = refused("InvalidSubnet.Conflict", ec2.create_subnet, VpcId=vpc, CidrBlock=cidr)["Error"]
        assert error["Message"] == f"The CIDR '{cidr}' conflicts with another subnet"


def test_of_subnets_that_overlap_one_is_made(cloud, ec2, make):
    vpc = make.vpc()["VpcId"]
    client = cloud.client("ec2")

    def create(n):
        try:
            client.create_subnet(VpcId=vpc, CidrBlock=f"10.0.0.0/{17 + n % 10}")
            return None
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(create, range(20)))
    assert outcomes.count(None) == 1 and set(outcomes) == {None, "InvalidSubnet.Conflict"}


def test_instances_run_in_any_subnet(cloud, ec2, image, make):
    vpc = make.vpc("10.7.0.0/16")["VpcId"]
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]
    subnet = make.subnet(vpc, "10.7.8.0/24", AvailabilityZoneId=zone["ZoneId"])
    assert subnet["AvailabilityZone"] == zone["ZoneName"]
    launch = {**LAUNCH, "ImageId": image, "SubnetId": subnet["SubnetId"]}
    instance = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [instance])
    shown = one(ec2, instance)
    assert ipaddress.ip_address(shown["PrivateIpAddress"]) in ipaddress.ip_network("10.7.8.0/24")
    assert shown["VpcId"] == vpc and shown["SubnetId"] == subnet["SubnetId"]
    assert "PublicIpAddress" not in shown
    in_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    own = ec2.describe_security_groups(Filters=in_vpc)["SecurityGroups"][0]
    assert [g["GroupId"] for g in shown["SecurityGroups"]] == [own["GroupId"]], "the default group of that VPC"
    assert ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"][0]["AvailableIpAddressCount"] == 250
    # Groups of another VPC do not belong there.
    other = ec2.create_security_group(GroupName="elsewhere", Description="d", VpcId=make.vpc()["VpcId"])["GroupId"]
    error = refused("InvalidParameter", ec2.run_instances, **launch, SecurityGroupIds=[other])["Error"]
    expected = f"Security group {other} and subnet {subnet['SubnetId']} belong to different networks."
    assert error["Message"] == expected
    refused("InvalidGroup.NotFound", ec2.run_instances, **launch, SecurityGroupIds=["sg-12345678"])
    refused("InvalidParameterValue", ec2.run_instances, **launch, PrivateIpAddress="10.7.9.9")
    cloud.mallee("check")
    # What is in use stays; what was in use until now does not hold it.
    error = refused("DependencyViolation", ec2.delete_subnet, SubnetId=subnet["SubnetId"])["Error"]
    assert error["Message"] == f"The subnet '{subnet['SubnetId']}' has dependencies and cannot be deleted."
    ec2.terminate_instances(InstanceIds=[instance])
    wait(ec2, "instance_terminated", [instance])
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    again = make.subnet(vpc, "10.7.8.0/24")
    assert again["AvailableIpAddressCount"] == 251


def test_public_addresses_come_by_the_subnet_and_names_by_the_vpc(ec2, image, make):
    vpc = make.vpc()["VpcId"]
    assert attribute(ec2, vpc, "enableDnsSupport") and not attribute(ec2, vpc, "enableDnsHostnames")
    subnet = make.subnet(vpc)["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    assert ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["MapPublicIpOnLaunch"]
    instance = ec2.run_instances(**LAUNCH, ImageId=image, SubnetId=subnet)["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [instance])

    def names():
        shown = one(ec2, instance)
        assert shown["PublicIpAddress"]
        by = [{"Name": "attachment.instance-id", "Values": [instance]}]
        interface = ec2.describe_network_interfaces(Filters=by)["NetworkInterfaces"][0]
        there = [
            shown["PublicDnsName"],
            shown["NetworkInterfaces"][0]["Association"]["PublicDnsName"],
            interface["Association"]["PublicDnsName"],
        ]
        assert len(set(there)) == 1
        return there[0]

    assert names() == ""
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert attribute(ec2, vpc, "enableDnsHostnames")
    assert re.match(r"ec2-\d+-\d+-\d+-\d+\.", names())
    by_name = [{"Name": "dns-name", "Values": [names()]}]
    assert len(ec2.describe_instances(Filters=by_name)["Reservations"]) == 1
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    assert not attribute(ec2, vpc, "enableDnsSupport")
    assert names() == "", "no names without a resolver"
    refused(
        "InvalidParameterCombination",
        ec2.modify_vpc_attribute,
        VpcId=vpc,
        EnableDnsSupport={"Value": True},
        EnableDnsHostnames={"Value": True},
    )
    refused("Unsupported", ec2.modify_vpc_attribute, VpcId=vpc, EnableNetworkAddressUsageMetrics={"Value": True})
    refused("Unsupported", ec2.modify_subnet_attribute, SubnetId=subnet, EnableDns64={"Value": True})


def test_a_dedicated_vpc_gives_dedicated_instances(ec2, image, make):
    vpc = make.vpc(InstanceTenancy="dedicated")
    assert vpc["InstanceTenancy"] == "dedicated"
    subnet = make.subnet(vpc["VpcId"])["SubnetId"]

    def tenancy():
        instance = ec2.run_instances(**LAUNCH, ImageId=image, SubnetId=subnet)["Instances"][0]
        ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
        wait(ec2, "instance_terminated", [instance["InstanceId"]])
        return instance["Placement"]["Tenancy"]

    assert tenancy() == "dedicated"
    refused("InvalidParameterValue", ec2.modify_vpc_tenancy, VpcId=vpc["VpcId"], InstanceTenancy="dedicated")
    assert ec2.modify_vpc_tenancy(VpcId=vpc["VpcId"], InstanceTenancy="default")["ReturnValue"]
    assert tenancy() == "default"


def test_a_default_network_that_is_deleted_is_made_again_when_asked(cloud):
    tenant = Tenant(cloud)
    ec2 = tenant.client("ec2")
    refused("DefaultVpcAlreadyExists", ec2.create_default_vpc)
    subnets = ec2.describe_subnets()["Subnets"]
    zone = subnets[0]["AvailabilityZone"]
    refused("DefaultSubnetAlreadyExistsInAvailabilityZone", ec2.create_default_subnet, AvailabilityZone=zone)
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    again = ec2.create_default_subnet(AvailabilityZone=zone)["Subnet"]
    assert again["DefaultForAz"] and again["MapPublicIpOnLaunch"] and again["CidrBlock"] == "172.31.0.0/20"
    quota = tenant.client("service-quotas").get_service_quota(ServiceCode="vpc", QuotaCode="L-F678F1CE")["Quota"]
    assert quota["QuotaName"] == "VPCs per Region"
