"""Route tables and internet gateways through boto3, unmodified, in the default VPC of a simulated cloud."""

import pytest
from botocore.exceptions import ClientError


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def vpc(ec2):
    return ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]


@pytest.fixture(scope="module")
def subnet(ec2, vpc):
    return ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"][0]["SubnetId"]


@pytest.fixture(scope="module")
def gateway(ec2, vpc):
    """The default VPC's own."""
    of_vpc = [{"Name": "attachment.vpc-id", "Values": [vpc["VpcId"]]}]
    (found,) = ec2.describe_internet_gateways(Filters=of_vpc)["InternetGateways"]
    assert found["Attachments"] == [{"State": "available", "VpcId": vpc["VpcId"]}]
    return found["InternetGatewayId"]


@pytest.fixture
def table(ec2, vpc):
    """Makes tables, and removes them afterwards with what they are associated with."""
    made = []

    def make(**options):
        table = ec2.create_route_table(VpcId=vpc["VpcId"], **options)["RouteTable"]
        made.append(table["RouteTableId"])
        return table

    yield make
    for one in described(ec2, made) if made else []:
        for association in one["Associations"]:
            if not association["Main"]:
                ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        ec2.delete_route_table(RouteTableId=one["RouteTableId"])


def described(ec2, ids):
    return ec2.describe_route_tables(RouteTableIds=ids)["RouteTables"]


def one(ec2, table):
    return described(ec2, [table])[0]


def main_of(ec2, vpc):
    filters = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "association.main", "Values": ["true"]}]
    (found,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    return found


def routes(table):
    return {route["DestinationCidrBlock"]: (route["GatewayId"], route["State"]) for route in table["Routes"]}


def test_a_default_vpc_leads_to_the_world(ec2, vpc, gateway):
    main = main_of(ec2, vpc)
    assert routes(main) == {vpc["CidrBlock"]: ("local", "active"), "0.0.0.0/0": (gateway, "active")}
    origins = [route["Origin"] for route in main["Routes"]]
    assert origins == ["CreateRouteTable", "CreateRoute"]
    assert [a["Main"] for a in main["Associations"]] == [True] and main["PropagatingVgws"] == []
    assert main["OwnerId"] == vpc["OwnerId"]


def test_a_table_and_its_routes(ec2, vpc, gateway, table):
    tags = [{"ResourceType": "route-table", "Tags": [{"Key": "Name", "Value": "r"}]}]
    made = table(TagSpecifications=tags)
    id = made["RouteTableId"]
    assert routes(made) == {vpc["CidrBlock"]: ("local", "active")}
    assert made["Tags"] == tags[0]["Tags"] and made["Associations"] == [] and made["VpcId"] == vpc["VpcId"]
    assert ec2.create_route(RouteTableId=id, DestinationCidrBlock="198.51.100.7/24", GatewayId=gateway)["Return"]
    assert routes(one(ec2, id))["198.51.100.0/24"] == (gateway, "active"), "in canonical form"
    text = refused(
        "RouteAlreadyExists", ec2.create_route, RouteTableId=id, DestinationCidrBlock="198.51.100.0/24", GatewayId=gateway
    )
    assert text == "The route identified by 198.51.100.0/24 already exists."
    found = ec2.describe_route_tables(Filters=[{"Name": "route.destination-cidr-block", "Values": ["198.51.100.0/24"]}])
    assert [t["RouteTableId"] for t in found["RouteTables"]] == [id]
    ec2.replace_route(RouteTableId=id, DestinationCidrBlock="198.51.100.0/24", GatewayId=gateway)
    ec2.delete_route(RouteTableId=id, DestinationCidrBlock="198.51.100.0/24")
    assert routes(one(ec2, id)) == {vpc["CidrBlock"]: ("local", "active")}
    gone = {"RouteTableId": id, "DestinationCidrBlock": "198.51.100.0/24"}
    refused("InvalidRoute.NotFound", ec2.delete_route, **gone)
    refused("InvalidParameterValue", ec2.replace_route, GatewayId=gateway, **gone)
    ec2.delete_tags(Resources=[id], Tags=[{"Key": "Name"}])
    assert one(ec2, id)["Tags"] == []


def test_what_no_route_can_be(ec2, vpc, gateway, table):
    id = table()["RouteTableId"]
    local = vpc["CidrBlock"]
    refused("InvalidParameterValue", ec2.create_route, RouteTableId=id, DestinationCidrBlock=local, GatewayId=gateway)
    inside = local.replace("/16", "/24")
    refused("InvalidParameterValue", ec2.create_route, RouteTableId=id, DestinationCidrBlock=inside, GatewayId=gateway)
    refused("InvalidParameterValue", ec2.delete_route, RouteTableId=id, DestinationCidrBlock=local)
    ec2.replace_route(RouteTableId=id, DestinationCidrBlock=local, LocalTarget=True)
    nowhere = {"RouteTableId": id, "DestinationCidrBlock": "0.0.0.0/0"}
    refused("InvalidGatewayID.NotFound", ec2.create_route, GatewayId="igw-0123456789abcdef0", **nowhere)
    refused("InvalidGatewayID.NotFound", ec2.create_route, GatewayId="vgw-0123456789abcdef0", **nowhere)
    refused("InvalidNatGatewayID.NotFound", ec2.create_route, NatGatewayId="nat-0123456789abcdef0", **nowhere)
    refused("MissingParameter", ec2.create_route, **nowhere)
    refused("InvalidParameterValue", ec2.create_route, RouteTableId=id, DestinationCidrBlock="there", GatewayId=gateway)
    unknown = "rtb-0123456789abcdef0"
    refused("InvalidRouteTableID.NotFound", ec2.create_route, **{**nowhere, "RouteTableId": unknown}, GatewayId=gateway)
    refused("InvalidRouteTableID.NotFound", ec2.describe_route_tables, RouteTableIds=[unknown])
    refused("InvalidRouteTableID.Malformed", ec2.describe_route_tables, RouteTableIds=["rtb-x"])
    refused("InvalidVpcID.NotFound", ec2.create_route_table, VpcId="vpc-0123456789abcdef0")
    refused("DryRunOperation", ec2.create_route, DryRun=True, GatewayId=gateway, **nowhere)
    assert list(routes(one(ec2, id))) == [local]


def test_a_gateway_that_is_not_attached_leads_nowhere(ec2):
    tags = [{"ResourceType": "internet-gateway", "Tags": [{"Key": "Team", "Value": "n"}]}]
    made = ec2.create_internet_gateway(TagSpecifications=tags)["InternetGateway"]
    first, other = made["InternetGatewayId"], ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert made["Attachments"] == [] and made["Tags"] == tags[0]["Tags"]
    found = ec2.describe_internet_gateways(Filters=[{"Name": "tag:Team", "Values": ["n"]}])["InternetGateways"]
    assert [g["InternetGatewayId"] for g in found] == [first]
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]
    here = {"VpcId": vpc["VpcId"]}
    main = main_of(ec2, vpc)
    id = main["RouteTableId"]
    assert routes(main) == {"10.77.0.0/16": ("local", "active")}, "a VPC that somebody makes has no way to the world"
    world = {"RouteTableId": id, "DestinationCidrBlock": "0.0.0.0/0"}
    text = refused("InvalidParameterValue", ec2.create_route, GatewayId=first, **world)
    assert text == f"route table {id} and network gateway {first} belong to different networks"
    ec2.attach_internet_gateway(InternetGatewayId=first, **here)
    refused("InvalidParameterValue", ec2.attach_internet_gateway, InternetGatewayId=other, **here)
    refused("Resource.AlreadyAssociated", ec2.attach_internet_gateway, InternetGatewayId=first, **here)
    refused("Gateway.NotAttached", ec2.detach_internet_gateway, InternetGatewayId=other, **here)
    refused("DependencyViolation", ec2.delete_internet_gateway, InternetGatewayId=first)
    ec2.create_route(GatewayId=first, **world)
    assert routes(one(ec2, id))["0.0.0.0/0"] == (first, "active")
    # The other one takes its place: the route to the first leads nowhere.
    ec2.detach_internet_gateway(InternetGatewayId=first, **here)
    ec2.attach_internet_gateway(InternetGatewayId=other, **here)
    assert routes(one(ec2, id))["0.0.0.0/0"] == (first, "blackhole")
    ec2.replace_route(GatewayId=other, **world)
    assert routes(one(ec2, id))["0.0.0.0/0"] == (other, "active")
    ec2.delete_internet_gateway(InternetGatewayId=first)
    refused("InvalidInternetGatewayID.NotFound", ec2.delete_internet_gateway, InternetGatewayId=first)
    refused("DependencyViolation", ec2.delete_vpc, **here)
    ec2.detach_internet_gateway(InternetGatewayId=other, **here)
    ec2.delete_internet_gateway(InternetGatewayId=other)
    assert routes(one(ec2, id))["0.0.0.0/0"] == (other, "blackhole"), "of a gateway that is gone"
    ec2.delete_vpc(**here)
    refused("InvalidRouteTableID.NotFound", ec2.describe_route_tables, RouteTableIds=[id])


def test_a_gateway_stays_while_public_addresses_use_it(ec2, vpc, gateway, launch):
    launch()
    text = refused(
        "DependencyViolation", ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc["VpcId"]
    )
    assert text.startswith(f"Network {vpc['VpcId']} has some mapped public address(es).")


def test_a_subnet_has_the_table_it_was_given(ec2, vpc, subnet, table):
    first, second = table()["RouteTableId"], table()["RouteTableId"]
    given = ec2.associate_route_table(RouteTableId=first, SubnetId=subnet)
    assert given["AssociationState"]["State"] == "associated"
    association = given["AssociationId"]
    again = ec2.associate_route_table(RouteTableId=first, SubnetId=subnet)["AssociationId"]
    assert again == association, "it has it already"
    refused("Resource.AlreadyAssociated", ec2.associate_route_table, RouteTableId=second, SubnetId=subnet)
    of_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (found,) = ec2.describe_route_tables(Filters=of_subnet)["RouteTables"]
    assert found["RouteTableId"] == first
    refused("DependencyViolation", ec2.delete_route_table, RouteTableId=first)
    new = ec2.replace_route_table_association(AssociationId=association, RouteTableId=second)["NewAssociationId"]
    assert new != association
    refused("InvalidAssociationID.NotFound", ec2.disassociate_route_table, AssociationId=association)
    assert [a["SubnetId"] for a in one(ec2, second)["Associations"]] == [subnet] and one(ec2, first)["Associations"] == []
    ec2.disassociate_route_table(AssociationId=new)
    assert ec2.describe_route_tables(Filters=of_subnet)["RouteTables"] == []
    free = ec2.create_route_table(VpcId=vpc["VpcId"])["RouteTable"]["RouteTableId"]
    ec2.delete_route_table(RouteTableId=free)
    refused("InvalidRouteTableID.NotFound", ec2.delete_route_table, RouteTableId=free)


def test_another_table_can_be_the_main_one(ec2, vpc, gateway, table):
    before = main_of(ec2, vpc)
    (main,) = before["Associations"]
    refused("InvalidParameterValue", ec2.disassociate_route_table, AssociationId=main["RouteTableAssociationId"])
    refused("DependencyViolation", ec2.delete_route_table, RouteTableId=before["RouteTableId"])
    other = table()["RouteTableId"]
    new = ec2.replace_route_table_association(
        AssociationId=main["RouteTableAssociationId"], RouteTableId=other
    )["NewAssociationId"]
    try:
        assert main_of(ec2, vpc)["RouteTableId"] == other
        refused("DependencyViolation", ec2.delete_route_table, RouteTableId=other)
    finally:
        ec2.replace_route_table_association(AssociationId=new, RouteTableId=before["RouteTableId"])
    assert main_of(ec2, vpc)["RouteTableId"] == before["RouteTableId"]


def test_a_call_repeated_makes_one_table(ec2, vpc, table):
    first = table(ClientToken="once")
    again = ec2.create_route_table(VpcId=vpc["VpcId"], ClientToken="once")["RouteTable"]
    assert again["RouteTableId"] == first["RouteTableId"]
    other = {"VpcId": vpc["VpcId"], "ClientToken": "once"}
    tags = [{"ResourceType": "route-table", "Tags": [{"Key": "a", "Value": "b"}]}]
    refused("IdempotentParameterMismatch", ec2.create_route_table, TagSpecifications=tags, **other)


def test_pages_of_tables(ec2, vpc, table):
    made = {table()["RouteTableId"] for _ in range(7)}
    pages = list(ec2.get_paginator("describe_route_tables").paginate(PaginationConfig={"PageSize": 5}))
    assert len(pages) > 1
    seen = [t["RouteTableId"] for page in pages for t in page["RouteTables"]]
    assert made <= set(seen) and len(seen) == len(set(seen))


def test_routes_lead_to_instances_and_interfaces(ec2, vpc, subnet, table, launch):
    id = table()["RouteTableId"]
    instance = launch(SubnetId=subnet)["Instances"][0]
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance["InstanceId"]], WaiterConfig={"Delay": 1})
    (interface,) = [one["NetworkInterfaceId"] for one in instance["NetworkInterfaces"]]
    there = {"RouteTableId": id, "DestinationCidrBlock": "198.51.100.0/24"}
    ec2.create_route(InstanceId=instance["InstanceId"], **there)

    def route(to):
        (found,) = [route for route in one(ec2, id)["Routes"] if route["DestinationCidrBlock"] == to]
        return found

    wanted = {"NetworkInterfaceId": interface, "InstanceId": instance["InstanceId"], "InstanceOwnerId": vpc["OwnerId"]}
    shown = route("198.51.100.0/24")
    assert {**shown, **wanted} == shown and shown["State"] == "active" and "GatewayId" not in shown
    for name, value in [("route.network-interface-id", interface), ("route.instance-id", instance["InstanceId"])]:
        found = ec2.describe_route_tables(Filters=[{"Name": name, "Values": [value]}])["RouteTables"]
        assert [t["RouteTableId"] for t in found] == [id]
    # A subnet of the VPC by it, and the VPC itself, which DeleteRoute does not end.
    block = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["CidrBlock"]
    ec2.create_route(RouteTableId=id, DestinationCidrBlock=block, NetworkInterfaceId=interface)
    local = {"RouteTableId": id, "DestinationCidrBlock": vpc["CidrBlock"]}
    refused("RouteAlreadyExists", ec2.create_route, NetworkInterfaceId=interface, **local)
    ec2.replace_route(NetworkInterfaceId=interface, **local)
    assert route(vpc["CidrBlock"])["NetworkInterfaceId"] == interface
    refused("InvalidParameterValue", ec2.delete_route, **local)
    ec2.replace_route(LocalTarget=True, **local)
    assert route(vpc["CidrBlock"])["GatewayId"] == "local"
    # A stopped instance takes nothing.
    ec2.stop_instances(InstanceIds=[instance["InstanceId"]])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance["InstanceId"]], WaiterConfig={"Delay": 1})
    assert route("198.51.100.0/24")["State"] == "blackhole"
    unknown = {"NetworkInterfaceId": "eni-0123456789abcdef0", "RouteTableId": id}
    refused("InvalidNetworkInterfaceID.NotFound", ec2.create_route, DestinationCidrBlock="203.0.113.0/24", **unknown)
