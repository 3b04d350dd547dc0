"""NAT gateways through boto3 and Ansible, unmodified: the simulated cloud's nodes say when one is up and when it is gone."""

import time

import pytest
from botocore.exceptions import ClientError

from test_other_clients import environment, play  # noqa: F401


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


SOON = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture
def net(ec2):
    """A VPC with a way to the world, and a subnet."""
    vpc = ec2.create_vpc(CidrBlock="10.70.0.0/16")["Vpc"]["VpcId"]
    world = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=world, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.70.1.0/24")["Subnet"]["SubnetId"]
    yield vpc, subnet
    for gateway in ec2.describe_nat_gateways(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NatGateways"]:
        ec2.delete_nat_gateway(NatGatewayId=gateway["NatGatewayId"])
        ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[gateway["NatGatewayId"]], WaiterConfig=SOON)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.detach_internet_gateway(InternetGatewayId=world, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=world)
    ec2.delete_vpc(VpcId=vpc)


@pytest.fixture
def address(ec2):
    made = ec2.allocate_address(Domain="vpc")
    yield made
    ec2.release_address(AllocationId=made["AllocationId"])


def one(ec2, gateway):
    return ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"][0]


def addresses_of(ec2, gateway):
    return one(ec2, gateway)["NatGatewayAddresses"]


def until(true):
    """An address comes when its node has it, and goes when its flows have had their time."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_gateway_becomes_available_is_routed_to_and_goes(ec2, net, address):
    vpc, subnet = net
    made = ec2.create_nat_gateway(
        SubnetId=subnet,
        AllocationId=address["AllocationId"],
        PrivateIpAddress="10.70.1.9",
        ClientToken="nat-1",
        TagSpecifications=[{"ResourceType": "natgateway", "Tags": [{"Key": "Name", "Value": "out"}]}],
    )["NatGateway"]
    gateway = made["NatGatewayId"]
    assert made["VpcId"] == vpc and made["ConnectivityType"] == "public"
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[gateway], WaiterConfig=SOON)
    shown = one(ec2, gateway)
    (own,) = shown["NatGatewayAddresses"]
    assert (own["PublicIp"], own["PrivateIp"]) == (address["PublicIp"], "10.70.1.9")
    assert own["Status"] == "succeeded" and own["IsPrimary"]
    assert shown["Tags"] == [{"Key": "Name", "Value": "out"}]

    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[own["NetworkInterfaceId"]])["NetworkInterfaces"][0]
    assert interface["InterfaceType"] == "nat_gateway" and interface["RequesterManaged"]
    assert interface["Association"]["AllocationId"] == address["AllocationId"]
    refused("OperationNotPermitted", ec2.detach_network_interface, AttachmentId=interface["Attachment"]["AttachmentId"])
    refused("AuthFailure", ec2.disassociate_address, AssociationId=own["AssociationId"])
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=address["AllocationId"])

    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)

    def route():
        routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return next(route for route in routes if route.get("NatGatewayId") == gateway)

    assert route()["State"] == "active"
    assert ec2.delete_nat_gateway(NatGatewayId=gateway)["NatGatewayId"] == gateway
    assert route()["State"] == "blackhole"
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[gateway], WaiterConfig=SOON)
    assert one(ec2, gateway)["State"] == "deleted"
    gone = {"NetworkInterfaceIds": [own["NetworkInterfaceId"]]}
    refused("InvalidNetworkInterfaceID.NotFound", ec2.describe_network_interfaces, **gone)
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"][0]
    ec2.delete_route_table(RouteTableId=table)


def test_a_gateway_gets_and_loses_addresses(ec2, net, address):
    _, subnet = net
    gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address["AllocationId"])["NatGateway"]["NatGatewayId"]
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[gateway], WaiterConfig=SOON)
    second = ec2.allocate_address(Domain="vpc")
    given = {"NatGatewayId": gateway, "AllocationIds": [second["AllocationId"]]}
    made = ec2.associate_nat_gateway_address(**given, PrivateIpAddresses=["10.70.1.20"])["NatGatewayAddresses"]
    assert [(one["PublicIp"], one["PrivateIp"], one["IsPrimary"]) for one in made] == [(second["PublicIp"], "10.70.1.20", False)]
    until(lambda: {one["Status"] for one in addresses_of(ec2, gateway)} == {"succeeded"})
    primary, other = sorted(addresses_of(ec2, gateway), key=lambda one: not one["IsPrimary"])
    assert (primary["PublicIp"], other["PublicIp"]) == (address["PublicIp"], second["PublicIp"])
    assert "L-5F53652F" in refused("AddressLimitExceeded", ec2.associate_nat_gateway_address, **given)
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=second["AllocationId"])
    refused("OperationNotPermitted", ec2.assign_private_nat_gateway_address, NatGatewayId=gateway, PrivateIpAddressCount=1)

    def without(association, **more):
        return ec2.disassociate_nat_gateway_address(NatGatewayId=gateway, AssociationIds=[association], **more)

    refused("OperationNotPermitted", without, association=primary["AssociationId"])
    refused("InvalidParameterValue", without, association=other["AssociationId"], MaxDrainDurationSeconds=4001)
    going = without(other["AssociationId"], MaxDrainDurationSeconds=1)["NatGatewayAddresses"]
    assert [(one["PublicIp"], one["Status"]) for one in going] == [(second["PublicIp"], "disassociating")]
    until(lambda: [one["PublicIp"] for one in addresses_of(ec2, gateway)] == [address["PublicIp"]])
    assert "AssociationId" not in ec2.describe_addresses(AllocationIds=[second["AllocationId"]])["Addresses"][0]
    ec2.release_address(AllocationId=second["AllocationId"])
    ec2.delete_nat_gateway(NatGatewayId=gateway)
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[gateway], WaiterConfig=SOON)


def test_a_private_gateway_gets_and_loses_addresses(ec2, net):
    _, subnet = net
    made = ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private", PrivateIpAddress="10.70.1.30")
    gateway = made["NatGateway"]["NatGatewayId"]
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[gateway], WaiterConfig=SOON)
    ec2.assign_private_nat_gateway_address(NatGatewayId=gateway, PrivateIpAddresses=["10.70.1.31"])
    ec2.assign_private_nat_gateway_address(NatGatewayId=gateway, PrivateIpAddressCount=2)
    until(lambda: [one["Status"] for one in addresses_of(ec2, gateway)] == ["succeeded"] * 4)
    refused("PrivateIpAddressLimitExceeded", ec2.assign_private_nat_gateway_address, NatGatewayId=gateway, PrivateIpAddressCount=5)
    ec2.unassign_private_nat_gateway_address(NatGatewayId=gateway, PrivateIpAddresses=["10.70.1.31"], MaxDrainDurationSeconds=1)
    until(lambda: sorted(one["PrivateIp"] for one in addresses_of(ec2, gateway)).count("10.70.1.31") == 0)
    # What goes with its gateway need not be drained: the fixture deletes it.


def test_what_cannot_be_is_told(ec2, net, address):
    _, subnet = net
    refused("MissingParameter", ec2.create_nat_gateway, SubnetId=subnet)
    refused("NatGatewayNotFound", ec2.describe_nat_gateways, NatGatewayIds=["nat-00000000000000001"])
    lonely = ec2.create_vpc(CidrBlock="10.71.0.0/16")["Vpc"]["VpcId"]
    inner = ec2.create_subnet(VpcId=lonely, CidrBlock="10.71.1.0/24")["Subnet"]["SubnetId"]
    failed = ec2.create_nat_gateway(SubnetId=inner, AllocationId=address["AllocationId"])["NatGateway"]
    assert (failed["State"], failed["FailureCode"]) == ("failed", "Gateway.NotAttached")
    # Between private networks it needs no way to the world.
    made = ec2.create_nat_gateway(SubnetId=inner, ConnectivityType="private")["NatGateway"]["NatGatewayId"]
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[made], WaiterConfig=SOON)
    assert "PublicIp" not in one(ec2, made)["NatGatewayAddresses"][0]
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=inner)
    ec2.delete_nat_gateway(NatGatewayId=made)
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[made], WaiterConfig=SOON)
    ec2.delete_subnet(SubnetId=inner)
    ec2.delete_vpc(VpcId=lonely)


def test_ansible_makes_a_gateway_once(cloud, ec2, environment):  # noqa: F811
    play(cloud, environment, "nat.yml")
