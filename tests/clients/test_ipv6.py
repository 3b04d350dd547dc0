"""IPv6 through boto3 and the AWS CLI, unmodified, as a user sets it up: blocks, addresses, rules, and the ways to the world."""

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def of_vpc(vpc):
    return [{"Name": "vpc-id", "Values": [vpc]}]


@pytest.fixture
def dual(ec2):
    """A VPC of both families with one subnet, whose instances get an address of each."""
    vpc = ec2.create_vpc(CidrBlock="10.86.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    (block,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
    block = ipaddress.ip_network(block["Ipv6CidrBlock"])
    part = str(next(block.subnets(new_prefix=64)))
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.86.1.0/24", Ipv6CidrBlock=part)["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    yield vpc, block, subnet, ipaddress.ip_network(part)
    for gateway in ec2.describe_egress_only_internet_gateways()["EgressOnlyInternetGateways"]:
        if gateway["Attachments"][0]["VpcId"] == vpc:
            id = gateway["EgressOnlyInternetGatewayId"]
            ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=id)
    for subnet in ec2.describe_subnets(Filters=of_vpc(vpc))["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    for gateway in ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"])
    for group in ec2.describe_security_groups(Filters=of_vpc(vpc))["SecurityGroups"]:
        if group["GroupName"] != "default":
            ec2.delete_security_group(GroupId=group["GroupId"])
    ec2.delete_vpc(VpcId=vpc)


def test_an_instance_has_an_address_of_its_subnet(ec2, image, dual):
    _vpc, _block, subnet, part = dual
    run = ec2.run_instances(ImageId=image, InstanceType="t3.nano", MinCount=1, MaxCount=1, SubnetId=subnet)
    id = run["Instances"][0]["InstanceId"]
    try:
        ec2.get_waiter("instance_running").wait(InstanceIds=[id], WaiterConfig={"Delay": 1})
        shown = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
        own = ipaddress.ip_address(shown["Ipv6Address"])
        assert own in part
        interface = shown["NetworkInterfaces"][0]
        assert [a["Ipv6Address"] for a in interface["Ipv6Addresses"]] == [str(own)]
        more = ec2.assign_ipv6_addresses(NetworkInterfaceId=interface["NetworkInterfaceId"], Ipv6AddressCount=1)
        (second,) = more["AssignedIpv6Addresses"]
        assert ipaddress.ip_address(second) in part and second != str(own)
        by = [{"Name": "network-interface.ipv6-addresses.ipv6-address", "Values": [second]}]
        found = ec2.describe_network_interfaces(Filters=[{"Name": "ipv6-addresses.ipv6-address", "Values": [second]}])
        assert len(found["NetworkInterfaces"]) == 1
        assert ec2.describe_instances(Filters=by)["Reservations"] != []
        ec2.unassign_ipv6_addresses(NetworkInterfaceId=interface["NetworkInterfaceId"], Ipv6Addresses=[second])
        assert ec2.describe_instances(Filters=by)["Reservations"] == []
    finally:
        ec2.terminate_instances(InstanceIds=[id])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[id], WaiterConfig={"Delay": 1})


def test_the_world_is_reached_by_either_gateway(ec2, dual):
    vpc, block, subnet, _part = dual
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    outward = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    assert outward["Attachments"] == [{"State": "attached", "VpcId": vpc}]
    outward = outward["EgressOnlyInternetGatewayId"]
    table = ec2.describe_route_tables(Filters=of_vpc(vpc))["RouteTables"][0]["RouteTableId"]
    to = {"RouteTableId": table, "DestinationIpv6CidrBlock": "::/0"}
    assert ec2.create_route(**to, EgressOnlyInternetGatewayId=outward)["Return"]

    def routes():
        shown = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return {route["DestinationIpv6CidrBlock"]: route for route in shown if "DestinationIpv6CidrBlock" in route}

    assert routes()[str(block)]["GatewayId"] == "local"
    assert routes()["::/0"] == {
        "DestinationIpv6CidrBlock": "::/0",
        "EgressOnlyInternetGatewayId": outward,
        "Origin": "CreateRoute",
        "State": "active",
    }
    ec2.replace_route(**to, GatewayId=gateway)
    assert (routes()["::/0"]["GatewayId"], routes()["::/0"]["State"]) == (gateway, "active")
    refused("RouteAlreadyExists", ec2.create_route, **to, GatewayId=gateway)
    refused("InvalidParameterValue", ec2.create_route, RouteTableId=table, DestinationCidrBlock="0.0.0.0/0",
            EgressOnlyInternetGatewayId=outward)
    ec2.delete_egress_only_internet_gateway(EgressOnlyInternetGatewayId=outward)
    ids = [outward]
    assert ec2.describe_egress_only_internet_gateways(EgressOnlyInternetGatewayIds=ids)["EgressOnlyInternetGateways"] == []
    ec2.delete_route(**to)
    assert "::/0" not in routes()


def test_rules_and_entries_of_both_families(ec2, dual):
    vpc, _block, _subnet, part = dual
    new = ec2.create_security_group(GroupName="six", Description="d", VpcId=vpc)["GroupId"]
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
        "Ipv6Ranges": [{"CidrIpv6": str(part), "Description": "neighbours"}, {"CidrIpv6": "::/0"}],
    }
    made = ec2.authorize_security_group_ingress(GroupId=new, IpPermissions=[permission])["SecurityGroupRules"]
    assert sorted(rule.get("CidrIpv6", "") for rule in made) == sorted(["", "::/0", str(part)])
    (shown,) = ec2.describe_security_groups(GroupIds=[new])["SecurityGroups"]
    assert sorted(shown["IpPermissions"][0]["Ipv6Ranges"], key=str) == sorted(permission["Ipv6Ranges"], key=str)
    (out,) = shown["IpPermissionsEgress"]
    assert (out["IpRanges"], out["Ipv6Ranges"]) == ([{"CidrIp": "0.0.0.0/0"}], [{"CidrIpv6": "::/0"}])
    ec2.revoke_security_group_ingress(GroupId=new, IpPermissions=shown["IpPermissions"])
    assert ec2.describe_security_groups(GroupIds=[new])["SecurityGroups"][0]["IpPermissions"] == []

    (acl,) = ec2.describe_network_acls(Filters=of_vpc(vpc))["NetworkAcls"]
    numbers = sorted((entry["RuleNumber"], entry.get("Ipv6CidrBlock", "")) for entry in acl["Entries"] if entry["Egress"])
    assert numbers == [(100, ""), (101, "::/0"), (32767, ""), (32768, "::/0")]
    ec2.create_network_acl_entry(
        NetworkAclId=acl["NetworkAclId"],
        RuleNumber=50,
        Protocol="58",
        RuleAction="deny",
        Egress=False,
        Ipv6CidrBlock="::/0",
        IcmpTypeCode={"Type": 128, "Code": -1},
    )
    (acl,) = ec2.describe_network_acls(Filters=[{"Name": "entry.icmp.type", "Values": ["128"]}])["NetworkAcls"]
    assert [e["IcmpTypeCode"] for e in acl["Entries"] if e["RuleNumber"] == 50] == [{"Type": 128, "Code": -1}]


def test_the_aws_cli_sets_it_up(cloud, ec2, dual):
    vpc = dual[0]

    def aws(*words):
        program, env = Path(sys.executable).parent / "aws", {**os.environ, **cloud.environment}
        command = [program, "ec2", *words, "--output", "json"]
        run = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return json.loads(run.stdout) if run.stdout else None

    made = aws("create-egress-only-internet-gateway", "--vpc-id", vpc)["EgressOnlyInternetGateway"]
    listed = aws("describe-egress-only-internet-gateways")["EgressOnlyInternetGateways"]
    assert made["EgressOnlyInternetGatewayId"] in [gateway["EgressOnlyInternetGatewayId"] for gateway in listed]
    (table,) = aws("describe-route-tables", "--filters", f"Name=vpc-id,Values={vpc}")["RouteTables"]
    aws("create-route", "--route-table-id", table["RouteTableId"], "--destination-ipv6-cidr-block", "::/0",
        "--egress-only-internet-gateway-id", made["EgressOnlyInternetGatewayId"])
    aws("delete-route", "--route-table-id", table["RouteTableId"], "--destination-ipv6-cidr-block", "::/0")
