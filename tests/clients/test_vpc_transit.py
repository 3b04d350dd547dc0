"""Transit gateways through boto3, unmodified, in a simulated cloud: attachments, tables, routes, and what refuses what."""

import pytest

from test_iam import euare
from test_quotas import Tenant
from test_vpc_peering import main_table, refused, route


@pytest.fixture
def network(ec2):
    """Makes VPCs, each with a subnet, and gateways with what is attached; removes all of it afterwards."""
    network = Network(ec2)
    yield network
    network.remove()


class Network:
    def __init__(self, ec2):
        self.ec2, self.vpcs, self.subnets, self.gateways = ec2, [], [], []

    def vpc(self, block):
        vpc = self.ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
        self.vpcs.append(vpc)
        return vpc, self.subnet(vpc, block.replace("/16", "/24"))

    def subnet(self, vpc, block, **options):
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock=block, **options)["Subnet"]["SubnetId"]
        self.subnets.append(subnet)
        return subnet

    def gateway(self, **parameters):
        made = self.ec2.create_transit_gateway(**parameters)["TransitGateway"]
        self.gateways.append(made["TransitGatewayId"])
        return made

    def attach(self, gateway, vpc, subnet, **options):
        reply = self.ec2.create_transit_gateway_vpc_attachment(
            TransitGatewayId=gateway, VpcId=vpc, SubnetIds=[subnet], **options
        )
        return reply["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"]

    def remove(self):
        for vpc in self.vpcs:
            table = main_table(self.ec2, vpc)
            for way in self.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]:
                if "TransitGatewayId" in way:
                    self.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=way["DestinationCidrBlock"])
        here = [{"Name": "transit-gateway-id", "Values": self.gateways}, {"Name": "state", "Values": ["available"]}]
        if self.gateways:
            for one in self.ec2.describe_transit_gateway_attachments(Filters=here)["TransitGatewayAttachments"]:
                self.ec2.delete_transit_gateway_vpc_attachment(
                    TransitGatewayAttachmentId=one["TransitGatewayAttachmentId"]
                )
        there = self.ec2.describe_transit_gateways(Filters=[{"Name": "state", "Values": ["available"]}])
        for gateway in there["TransitGateways"]:
            if gateway["TransitGatewayId"] in self.gateways:
                self.ec2.delete_transit_gateway(TransitGatewayId=gateway["TransitGatewayId"])
        for subnet in self.subnets:
            self.ec2.delete_subnet(SubnetId=subnet)
        for vpc in self.vpcs:
            self.ec2.delete_vpc(VpcId=vpc)


def now(ec2, gateway):
    return ec2.describe_transit_gateways(TransitGatewayIds=[gateway])["TransitGateways"][0]


def attached(ec2, attachment):
    reply = ec2.describe_transit_gateway_vpc_attachments(TransitGatewayAttachmentIds=[attachment])
    return reply["TransitGatewayVpcAttachments"][0]


def found(ec2, table, **filters):
    wanted = [{"Name": name.replace("_", "-").replace("--", "."), "Values": [value]} for name, value in filters.items()]
    reply = ec2.search_transit_gateway_routes(TransitGatewayRouteTableId=table, Filters=wanted)
    assert reply["AdditionalRoutesAvailable"] is False
    return {
        one["DestinationCidrBlock"]: (
            one["Type"],
            one["State"],
            [to["TransitGatewayAttachmentId"] for to in one.get("TransitGatewayAttachments", [])],
        )
        for one in reply["Routes"]
    }


def test_a_gateway_is_made_changed_and_deleted(ec2, network):
    tags = [{"ResourceType": "transit-gateway", "Tags": [{"Key": "team", "Value": "net"}]}]
    refused("DryRunOperation", ec2.create_transit_gateway, DryRun=True)
    options = {"AmazonSideAsn": 65000, "AutoAcceptSharedAttachments": "enable", "VpnEcmpSupport": "disable"}
    made = network.gateway(Description="all of them", Options=options, TagSpecifications=tags)
    assert made["State"] == "pending" and made["Tags"] == [{"Key": "team", "Value": "net"}]
    gateway = now(ec2, made["TransitGatewayId"])
    assert gateway["State"] == "available" and gateway["Description"] == "all of them"
    assert gateway["TransitGatewayArn"].endswith(f":transit-gateway/{gateway['TransitGatewayId']}")
    said = gateway["Options"]
    table = said["AssociationDefaultRouteTableId"]
    assert said == {
        "AmazonSideAsn": 65000,
        "AutoAcceptSharedAttachments": "enable",
        "DefaultRouteTableAssociation": "enable",
        "AssociationDefaultRouteTableId": table,
        "DefaultRouteTablePropagation": "enable",
        "PropagationDefaultRouteTableId": table,
        "VpnEcmpSupport": "disable",
        "DnsSupport": "enable",
        "SecurityGroupReferencingSupport": "disable",
        "MulticastSupport": "disable",
        "TransitGatewayCidrBlocks": [],
    }
    for name, value in [
        ("transit-gateway-id", gateway["TransitGatewayId"]),
        ("options.amazon-side-asn", "65000"),
        ("options.vpn-ecmp-support", "disable"),
        ("options.association-default-route-table-id", table),
        ("owner-id", gateway["OwnerId"]),
        ("tag:team", "net"),
    ]:
        reply = ec2.describe_transit_gateways(Filters=[{"Name": name, "Values": [value]}])["TransitGateways"]
        assert gateway["TransitGatewayId"] in [one["TransitGatewayId"] for one in reply], name
    tables = ec2.describe_transit_gateway_route_tables(TransitGatewayRouteTableIds=[table])
    (shown,) = tables["TransitGatewayRouteTables"]
    assert shown["DefaultAssociationRouteTable"] and shown["DefaultPropagationRouteTable"]
    assert shown["TransitGatewayId"] == gateway["TransitGatewayId"] and shown["State"] == "available"
    changed = ec2.modify_transit_gateway(
        TransitGatewayId=gateway["TransitGatewayId"],
        Description="fewer",
        Options={"DefaultRouteTablePropagation": "disable", "DnsSupport": "disable"},
    )["TransitGateway"]
    assert changed["Description"] == "fewer" and "PropagationDefaultRouteTableId" not in changed["Options"]
    assert now(ec2, gateway["TransitGatewayId"])["Options"]["DnsSupport"] == "disable"
    modify = ec2.modify_transit_gateway
    switched = {"DefaultRouteTablePropagation": "enable"}
    refused("MissingParameter", modify, TransitGatewayId=gateway["TransitGatewayId"], Options=switched)
    refused("IncorrectState", ec2.delete_transit_gateway_route_table, TransitGatewayRouteTableId=table)
    gone = ec2.delete_transit_gateway(TransitGatewayId=gateway["TransitGatewayId"])["TransitGateway"]
    assert gone["State"] == "deleting"
    assert now(ec2, gateway["TransitGatewayId"])["State"] == "deleted", "it is shown for a while"
    refused("InvalidTransitGatewayID.NotFound", modify, TransitGatewayId=gateway["TransitGatewayId"])


@pytest.mark.parametrize(
    "code, parameters",
    [
        ("InvalidParameterValue", {"Options": {"AmazonSideAsn": 7}}),
        ("InvalidParameterValue", {"Options": {"AmazonSideAsn": 65535}}),
        ("InvalidParameterValue", {"Description": "x" * 256}),
        ("InvalidParameterValue", {"Options": {"DnsSupport": "on"}}),
        ("Unsupported", {"Options": {"MulticastSupport": "enable"}}),
        ("Unsupported", {"Options": {"TransitGatewayCidrBlocks": ["10.0.0.0/24"]}}),
        ("Unsupported", {"Options": {"SecurityGroupReferencingSupport": "enable"}}),
    ],
)
def test_what_no_gateway_can_be(ec2, code, parameters):
    before = len(ec2.describe_transit_gateways()["TransitGateways"])
    refused(code, ec2.create_transit_gateway, **parameters)
    assert len(ec2.describe_transit_gateways()["TransitGateways"]) == before


def test_vpcs_are_attached_and_reach_each_other_by_the_default_table(ec2, network):
    (one, in_one), (other, in_other) = network.vpc("10.71.0.0/16"), network.vpc("10.72.0.0/16")
    gateway = network.gateway()["TransitGatewayId"]
    table = now(ec2, gateway)["Options"]["AssociationDefaultRouteTableId"]
    tags = [{"ResourceType": "transit-gateway-attachment", "Tags": [{"Key": "vpc", "Value": "one"}]}]
    first = network.attach(gateway, one, in_one, TagSpecifications=tags)
    second = network.attach(gateway, other, in_other)
    shown = attached(ec2, first)
    assert shown["State"] == "available" and shown["SubnetIds"] == [in_one] and shown["VpcId"] == one
    assert shown["Options"]["DnsSupport"] == "enable" and shown["Tags"] == [{"Key": "vpc", "Value": "one"}]
    (any_kind,) = ec2.describe_transit_gateway_attachments(
        Filters=[{"Name": "resource-id", "Values": [one]}, {"Name": "association.state", "Values": ["associated"]}]
    )["TransitGatewayAttachments"]
    assert any_kind["ResourceType"] == "vpc" and any_kind["TransitGatewayAttachmentId"] == first
    assert any_kind["Association"] == {"TransitGatewayRouteTableId": table, "State": "associated"}
    both = {"10.71.0.0/16": ("propagated", "active", [first]), "10.72.0.0/16": ("propagated", "active", [second])}
    assert found(ec2, table, type="propagated") == both
    # A block more is known at once.
    ec2.associate_vpc_cidr_block(VpcId=one, CidrBlock="10.73.0.0/16")
    assert found(ec2, table, type="propagated") == both | {"10.73.0.0/16": ("propagated", "active", [first])}
    refused("InvalidVpc.Range", ec2.associate_vpc_cidr_block, VpcId=one, CidrBlock="10.72.0.0/17")
    # And the VPCs' own tables lead there.
    ways = main_table(ec2, one)
    ec2.create_route(RouteTableId=ways, DestinationCidrBlock="10.72.0.0/16", TransitGatewayId=gateway)
    way = route(ec2, ways, "10.72.0.0/16")
    assert way["TransitGatewayId"] == gateway and way["State"] == "active"
    by = [{"Name": "route.transit-gateway-id", "Values": [gateway]}]
    assert [t["RouteTableId"] for t in ec2.describe_route_tables(Filters=by)["RouteTables"]] == [ways]
    refused("DependencyViolation", ec2.delete_subnet, SubnetId=in_one)
    refused("DependencyViolation", ec2.delete_vpc, VpcId=one)
    refused("IncorrectState", ec2.delete_transit_gateway, TransitGatewayId=gateway)
    refused(
        "DuplicateTransitGatewayAttachment",
        ec2.create_transit_gateway_vpc_attachment,
        TransitGatewayId=gateway,
        VpcId=one,
        SubnetIds=[in_one],
    )
    gone = ec2.delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=first)
    assert gone["TransitGatewayVpcAttachment"]["State"] == "deleting"
    assert attached(ec2, first)["State"] == "deleted"
    assert route(ec2, ways, "10.72.0.0/16")["State"] == "blackhole"
    assert found(ec2, table, type="propagated") == {"10.72.0.0/16": ("propagated", "active", [second])}
    refused(
        "InvalidTransitGatewayID.NotFound",
        ec2.create_route,
        RouteTableId=ways,
        DestinationCidrBlock="10.99.0.0/16",
        TransitGatewayId=gateway,
    )


def test_tables_decide_who_reaches_whom(ec2, network):
    options = {"DefaultRouteTableAssociation": "disable", "DefaultRouteTablePropagation": "disable"}
    gateway = network.gateway(Options=options)["TransitGatewayId"]
    assert "AssociationDefaultRouteTableId" not in now(ec2, gateway)["Options"]
    (one, in_one), (other, in_other) = network.vpc("10.74.0.0/16"), network.vpc("10.75.0.0/16")
    first, second = network.attach(gateway, one, in_one), network.attach(gateway, other, in_other)
    tags = [{"ResourceType": "transit-gateway-route-table", "Tags": [{"Key": "for", "Value": "one"}]}]
    made = ec2.create_transit_gateway_route_table(TransitGatewayId=gateway, TagSpecifications=tags)
    table = made["TransitGatewayRouteTable"]["TransitGatewayRouteTableId"]
    me = {"TransitGatewayRouteTableId": table}
    pair = me | {"TransitGatewayAttachmentId": first}
    assert ec2.associate_transit_gateway_route_table(**pair)["Association"] == {
        "TransitGatewayRouteTableId": table,
        "TransitGatewayAttachmentId": first,
        "ResourceId": one,
        "ResourceType": "vpc",
        "State": "associating",
    }
    refused("Resource.AlreadyAssociated", ec2.associate_transit_gateway_route_table, **pair)
    (associated,) = ec2.get_transit_gateway_route_table_associations(**me)["Associations"]
    assert associated["TransitGatewayAttachmentId"] == first and associated["State"] == "associated"
    refused("IncorrectState", ec2.delete_transit_gateway_route_table, **me)
    propagation = me | {"TransitGatewayAttachmentId": second}
    enabled = ec2.enable_transit_gateway_route_table_propagation(**propagation)["Propagation"]
    assert enabled["State"] == "enabled" and enabled["ResourceId"] == other
    refused(
        "TransitGatewayRouteTablePropagation.Duplicate",
        ec2.enable_transit_gateway_route_table_propagation,
        **propagation,
    )
    (known,) = ec2.get_transit_gateway_route_table_propagations(**me)["TransitGatewayRouteTablePropagations"]
    assert known["TransitGatewayAttachmentId"] == second
    at = {"TransitGatewayAttachmentId": second}
    (knows,) = ec2.get_transit_gateway_attachment_propagations(**at)["TransitGatewayAttachmentPropagations"]
    assert knows == {"TransitGatewayRouteTableId": table, "State": "enabled"}
    # Routes that somebody makes: to what is attached, and to nowhere; they count before those that are known.
    way = me | {"DestinationCidrBlock": "0.0.0.0/0"}
    made = ec2.create_transit_gateway_route(**way, TransitGatewayAttachmentId=second)["Route"]
    assert made["Type"] == "static" and made["State"] == "active"
    refused("RouteAlreadyExists", ec2.create_transit_gateway_route, **way, Blackhole=True)
    ec2.create_transit_gateway_route(**me, DestinationCidrBlock="10.75.7.0/24", Blackhole=True)
    assert found(ec2, table, route_search__longest_prefix_match="10.75.7.9") == {
        "10.75.7.0/24": ("static", "blackhole", [])
    }
    assert list(found(ec2, table, route_search__supernet_of_match="10.75.7.0/24")) == [
        "0.0.0.0/0",
        "10.75.0.0/16",
        "10.75.7.0/24",
    ]
    assert list(found(ec2, table, route_search__exact_match="10.75.0.0/16")) == ["10.75.0.0/16"]
    assert list(found(ec2, table, state="blackhole")) == ["10.75.7.0/24"]
    assert list(found(ec2, table, attachment__resource_id=other, type="static")) == ["0.0.0.0/0"]
    changed = ec2.replace_transit_gateway_route(**way, Blackhole=True)["Route"]
    assert changed["State"] == "blackhole"
    assert ec2.delete_transit_gateway_route(**way)["Route"]["State"] == "deleted"
    refused("InvalidRoute.NotFound", ec2.delete_transit_gateway_route, **way)
    refused("InvalidRoute.NotFound", ec2.replace_transit_gateway_route, **way, Blackhole=True)
    refused(
        "InvalidRoute.NotFound", ec2.delete_transit_gateway_route, **me, DestinationCidrBlock="10.75.0.0/16"
    )
    assert ec2.disable_transit_gateway_route_table_propagation(**propagation)["Propagation"]["State"] == "disabled"
    refused(
        "TransitGatewayRouteTablePropagation.NotFound",
        ec2.disable_transit_gateway_route_table_propagation,
        **propagation,
    )
    gone = ec2.disassociate_transit_gateway_route_table(**pair)["Association"]
    assert gone["State"] == "disassociating"
    refused("InvalidAssociation.NotFound", ec2.disassociate_transit_gateway_route_table, **pair)
    assert ec2.delete_transit_gateway_route_table(**me)["TransitGatewayRouteTable"]["State"] == "deleting"
    refused("InvalidRouteTableID.NotFound", ec2.associate_transit_gateway_route_table, **pair)
    # Pages.
    for _ in range(6):
        ec2.create_transit_gateway_route_table(TransitGatewayId=gateway)
    wanted = [{"Name": "transit-gateway-id", "Values": [gateway]}, {"Name": "state", "Values": ["available"]}]
    paginator = ec2.get_paginator("describe_transit_gateway_route_tables")
    pages = list(paginator.paginate(Filters=wanted, PaginationConfig={"PageSize": 5}))
    assert [len(page["TransitGatewayRouteTables"]) for page in pages] == [5, 1]


def test_what_no_attachment_can_be(ec2, network):
    gateway = network.gateway()["TransitGatewayId"]
    (one, in_one), (same, in_same) = network.vpc("10.76.0.0/16"), network.vpc("10.76.0.0/16")
    attach = ec2.create_transit_gateway_vpc_attachment
    of = {"TransitGatewayId": gateway, "VpcId": one}
    refused("InvalidSubnetID.NotFound", attach, **of, SubnetIds=[in_same])
    again = network.subnet(one, "10.76.1.0/24", AvailabilityZone=ec2.describe_subnets(SubnetIds=[in_one])["Subnets"][0]["AvailabilityZone"])
    refused("DuplicateSubnetsInSameZone", attach, **of, SubnetIds=[in_one, again])
    refused("Unsupported", attach, **of, SubnetIds=[in_one], Options={"Ipv6Support": "enable"})
    refused("Unsupported", attach, **of, SubnetIds=[in_one], Options={"ApplianceModeSupport": "enable"})
    refused("DryRunOperation", attach, **of, SubnetIds=[in_one], DryRun=True)
    first = network.attach(gateway, one, in_one)
    other = {"TransitGatewayId": gateway, "VpcId": same}
    assert "overlaps" in refused("InvalidVpc.Range", attach, **other, SubnetIds=[in_same])
    me = {"TransitGatewayAttachmentId": first}
    modify = ec2.modify_transit_gateway_vpc_attachment
    refused("DuplicateSubnetsInSameZone", modify, **me, AddSubnetIds=[again])
    refused("InvalidParameterValue", modify, **me, RemoveSubnetIds=[in_one])
    refused("InvalidParameterValue", modify, **me, RemoveSubnetIds=[again])
    modify(**me, AddSubnetIds=[again], RemoveSubnetIds=[in_one], Options={"DnsSupport": "disable"})
    changed = attached(ec2, first)
    assert changed["SubnetIds"] == [again] and changed["Options"]["DnsSupport"] == "disable"
    # Nothing is shared between accounts, so nothing waits to be accepted.
    refused("IncorrectState", ec2.accept_transit_gateway_vpc_attachment, **me)
    refused("IncorrectState", ec2.reject_transit_gateway_vpc_attachment, **me)
    refused("InvalidTransitGatewayAttachmentID.NotFound", modify, TransitGatewayAttachmentId="tgw-attach-" + "0" * 17)
    refused("InvalidTransitGatewayAttachmentID.Malformed", modify, TransitGatewayAttachmentId="vpc-1")


@pytest.fixture
def tenant(cloud):
    tenant = Tenant(cloud)
    yield tenant
    euare(cloud, "DeleteAccount", AccountName=tenant.name, Recursive="true")


def test_an_account_has_a_number_of_gateways_and_they_go_with_it(tenant):
    ec2 = tenant.client("ec2")
    made = [ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"] for _ in range(5)]
    assert "L-A2478D36" in refused("TransitGatewayLimitExceeded", ec2.create_transit_gateway)
    ec2.delete_transit_gateway(TransitGatewayId=made[0])
    ec2.create_transit_gateway()
    subnet = ec2.describe_subnets()["Subnets"][0]
    ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=made[1], VpcId=subnet["VpcId"], SubnetIds=[subnet["SubnetId"]]
    )


def test_what_is_anothers_is_not_found(ec2, network, tenant):
    gateway = network.gateway()["TransitGatewayId"]
    vpc, subnet = network.vpc("10.77.0.0/16")
    attachment = network.attach(gateway, vpc, subnet)
    table = now(ec2, gateway)["Options"]["AssociationDefaultRouteTableId"]
    other = tenant.client("ec2")
    assert other.describe_transit_gateways()["TransitGateways"] == []
    refused("InvalidTransitGatewayID.NotFound", other.delete_transit_gateway, TransitGatewayId=gateway)
    delete = other.delete_transit_gateway_vpc_attachment
    refused("InvalidTransitGatewayAttachmentID.NotFound", delete, TransitGatewayAttachmentId=attachment)
    everything = [{"Name": "type", "Values": ["static", "propagated"]}]
    search = {"TransitGatewayRouteTableId": table, "Filters": everything}
    refused("InvalidRouteTableID.NotFound", other.search_transit_gateway_routes, **search)
    refused("MissingParameter", ec2.search_transit_gateway_routes, **search | {"Filters": []})
