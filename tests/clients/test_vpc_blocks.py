"""VPCs of several blocks through boto3, unmodified, against a simulated cloud."""

import ipaddress
import json

from support import wait
from test_compute import one, refused
from test_quotas import tenant  # noqa: F401 (a fixture)
from test_vpc_basics import LAUNCH, make  # noqa: F401 (a fixture)


def blocks(ec2, vpc):
    """A VPC's blocks as they are shown, in order: block to association."""
    (found,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    shown = found["CidrBlockAssociationSet"]
    assert {a["CidrBlockState"]["State"] for a in shown} == {"associated"}
    assert shown[0]["CidrBlock"] == found["CidrBlock"], "the first one comes first"
    return {a["CidrBlock"]: a["AssociationId"] for a in shown}


def main_table(ec2, vpc):
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    (table,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    return table


def test_instances_run_in_any_block_and_a_block_in_use_stays(cloud, ec2, image, make):  # noqa: F811
    vpc = make.vpc("10.40.0.0/24")["VpcId"]
    answer = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.41.0.0/20")
    made = answer["CidrBlockAssociation"]
    assert answer["VpcId"] == vpc and made["CidrBlock"] == "10.41.0.0/20"
    assert made["AssociationId"].startswith("vpc-cidr-assoc-") and made["CidrBlockState"]["State"] == "associating"
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="100.64.0.0/16")
    shown = blocks(ec2, vpc)
    assert list(shown) == ["10.40.0.0/24", "10.41.0.0/20", "100.64.0.0/16"]
    assert shown["10.41.0.0/20"] == made["AssociationId"]
    for name, value in [
        ("cidr-block-association.association-id", made["AssociationId"]),
        ("cidr-block-association.cidr-block", "10.41.0.0/20"),
    ]:
        found = ec2.describe_vpcs(Filters=[{"Name": name, "Values": [value]}])["Vpcs"]
        assert [v["VpcId"] for v in found] == [vpc]
    states = [{"Name": "cidr-block-association.state", "Values": ["disassociated"]}]
    assert ec2.describe_vpcs(Filters=states)["Vpcs"] == []
    local = [(r["DestinationCidrBlock"], r["GatewayId"]) for r in main_table(ec2, vpc)["Routes"]]
    assert local == [(block, "local") for block in shown], "one local route for each"
    subnet = make.subnet(vpc, "10.41.8.0/24")["SubnetId"]
    refused("InvalidSubnet.Range", ec2.create_subnet, VpcId=vpc, CidrBlock="10.41.16.0/24")
    refused("InvalidSubnet.Range", ec2.create_subnet, VpcId=vpc, CidrBlock="10.40.0.0/20")
    instance = ec2.run_instances(**LAUNCH, ImageId=image, SubnetId=subnet)["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [instance])
    address = ipaddress.ip_address(one(ec2, instance)["PrivateIpAddress"])
    assert address in ipaddress.ip_network("10.41.8.0/24")
    cloud.mallee("check")
    gone = {"AssociationId": made["AssociationId"]}
    error = refused("InvalidCidrBlock.InUse", ec2.disassociate_vpc_cidr_block, **gone)["Error"]
    assert error["Message"] == f"The vpc {vpc} currently has a subnet within CIDR block 10.41.0.0/20"
    ec2.terminate_instances(InstanceIds=[instance])
    wait(ec2, "instance_terminated", [instance])
    ec2.delete_subnet(SubnetId=subnet)
    answer = ec2.disassociate_vpc_cidr_block(**gone)
    assert answer["CidrBlockAssociation"]["CidrBlockState"]["State"] == "disassociating" and answer["VpcId"] == vpc
    assert list(blocks(ec2, vpc)) == ["10.40.0.0/24", "100.64.0.0/16"]
    refused("InvalidVpcCidrBlockAssociationID.NotFound", ec2.disassociate_vpc_cidr_block, **gone)
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.41.0.0/20")
    cloud.mallee("check")


def test_blocks_that_a_vpc_cannot_have(ec2, make):  # noqa: F811
    vpc = make.vpc("10.42.0.0/16")["VpcId"]

    def no(code, cidr, text):
        error = refused(code, ec2.associate_vpc_cidr_block, VpcId=vpc, CidrBlock=cidr)["Error"]
        assert text in error["Message"]

    no("InvalidVpc.Range", "10.44.0.0/15", "is invalid")
    no("InvalidVpc.Range", "10.44.0.0/29", "is invalid")
    no("InvalidVpc.Range", "10.42.1.0/24", "conflicts with 10.42.0.0/16")
    no("InvalidVpc.Range", "172.16.0.0/24", "is restricted")
    no("InvalidVpc.Range", "192.168.0.0/24", "is restricted")
    no("InvalidVpc.Range", "198.19.0.0/24", "is restricted")
    no("InvalidParameterValue", "10.44", "This is not a valid CIDR block")
    first = blocks(ec2, vpc)["10.42.0.0/16"]
    refused("OperationNotPermitted", ec2.disassociate_vpc_cidr_block, AssociationId=first)
    for n in range(4):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=f"10.5{n}.0.0/16")
    no("CidrLimitExceeded", "10.55.0.0/16", "maximum number of allowed CIDRs")
    assert len(blocks(ec2, vpc)) == 5


def test_routes_and_blocks_keep_out_of_each_others_way(ec2, make):  # noqa: F811
    vpc = make.vpc("10.42.0.0/16")["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    try:
        route = {"RouteTableId": main_table(ec2, vpc)["RouteTableId"], "GatewayId": gateway}
        ec2.create_route(DestinationCidrBlock="0.0.0.0/0", **route)
        ec2.create_route(DestinationCidrBlock="10.8.0.0/24", **route)
        for cidr in ["10.8.0.0/24", "10.8.0.0/16"]:
            error = refused("InvalidVpc.Range", ec2.associate_vpc_cidr_block, VpcId=vpc, CidrBlock=cidr)["Error"]
            assert "the destination of a route" in error["Message"]
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.8.0.128/25")
        inside = {**route, "DestinationCidrBlock": "10.8.0.192/26"}
        error = refused("InvalidParameterValue", ec2.create_route, **inside)["Error"]
        assert "equal to or more specific than one of this VPC's CIDR blocks" in error["Message"]
        association = blocks(ec2, vpc)["10.8.0.128/25"]
        ec2.disassociate_vpc_cidr_block(AssociationId=association)
        ec2.create_route(**inside)
    finally:
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)


def test_others_have_no_part_in_it(ec2, tenant, make):  # noqa: F811
    vpc = make.vpc("10.42.0.0/16")["VpcId"]
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.43.0.0/16")
    other = tenant.client("ec2")
    refused("InvalidVpcID.NotFound", other.associate_vpc_cidr_block, VpcId=vpc, CidrBlock="10.44.0.0/16")
    for association in blocks(ec2, vpc).values():
        code = "InvalidVpcCidrBlockAssociationID.NotFound"
        refused(code, other.disassociate_vpc_cidr_block, AssociationId=association)
    assert list(blocks(ec2, vpc)) == ["10.42.0.0/16", "10.43.0.0/16"]


def test_rights_are_asked_for_the_vpc(tenant):  # noqa: F811
    """Whose block it is, a policy tells by the VPC, also where a call names the association alone."""
    ec2, iam = tenant.client("ec2"), tenant.client("iam")
    mine, other = (ec2.create_vpc(CidrBlock="10.42.0.0/16")["Vpc"]["VpcId"] for _ in range(2))
    for vpc in (mine, other):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.43.0.0/16")
    arn = f"arn:aws:ec2:{ec2.meta.region_name}:{tenant.id}:vpc/{mine}"
    statement = {"Effect": "Allow", "Action": "ec2:*VpcCidrBlock", "Resource": arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_user(UserName="netop")
    iam.put_user_policy(UserName="netop", PolicyName="one", PolicyDocument=document)
    key = iam.create_access_key(UserName="netop")["AccessKey"]
    client = tenant.client(
        "ec2", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    client.associate_vpc_cidr_block(VpcId=mine, CidrBlock="10.44.0.0/16")
    refused("UnauthorizedOperation", client.associate_vpc_cidr_block, VpcId=other, CidrBlock="10.44.0.0/16")
    client.disassociate_vpc_cidr_block(AssociationId=blocks(ec2, mine)["10.43.0.0/16"])
    association = blocks(ec2, other)["10.43.0.0/16"]
    refused("UnauthorizedOperation", client.disassociate_vpc_cidr_block, AssociationId=association)
