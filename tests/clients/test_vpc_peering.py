"""VPC peering connections through boto3, unmodified, within an account and between two, in a simulated cloud."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from test_iam import euare
from test_quotas import Tenant


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture
def vpcs(ec2):
    """Makes VPCs, and removes them afterwards."""
    made = []

    def make(block):
        made.append(ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"])
        return made[-1]

    yield make
    for vpc in made:
        ec2.delete_vpc(VpcId=vpc)


@pytest.fixture(scope="module")
def tenant(cloud):
    tenant = Tenant(cloud)
    yield tenant
    euare(cloud, "DeleteAccount", AccountName=tenant.name, Recursive="true")


def asked(ec2, vpc, peer, **options):
    reply = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=peer, **options)
    return reply["VpcPeeringConnection"]


def now(ec2, peering):
    ids = [peering["VpcPeeringConnectionId"]]
    return ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=ids)["VpcPeeringConnections"][0]


def me(peering):
    return {"VpcPeeringConnectionId": peering["VpcPeeringConnectionId"]}


def main_table(ec2, vpc):
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    return tables[0]["RouteTableId"]


def route(ec2, table, to):
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    return next(route for route in routes if route.get("DestinationCidrBlock") == to)


def test_a_connection_within_an_account(ec2, vpcs):
    one, other = vpcs("10.61.0.0/16"), vpcs("10.62.0.0/16")
    tags = [{"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "team", "Value": "net"}]}]
    made = asked(ec2, one, other, TagSpecifications=tags)
    assert made["Status"]["Code"] == "initiating-request" and made["Tags"] == [{"Key": "team", "Value": "net"}]
    ec2.get_waiter("vpc_peering_connection_exists").wait(VpcPeeringConnectionIds=[made["VpcPeeringConnectionId"]])
    waits = now(ec2, made)
    owner = waits["RequesterVpcInfo"]["OwnerId"]
    assert waits["Status"] == {"Code": "pending-acceptance", "Message": f"Pending Acceptance by {owner}"}
    assert (waits["ExpirationTime"] - datetime.now(UTC)).days == 6
    assert waits["RequesterVpcInfo"]["CidrBlock"] == "10.61.0.0/16"
    assert "CidrBlock" not in waits["AccepterVpcInfo"] and waits["AccepterVpcInfo"]["VpcId"] == other
    assert asked(ec2, one, other)["VpcPeeringConnectionId"] == made["VpcPeeringConnectionId"]
    refused("VpcPeeringConnectionAlreadyExists", ec2.create_vpc_peering_connection, VpcId=other, PeerVpcId=one)
    refused("DryRunOperation", ec2.accept_vpc_peering_connection, **me(made), DryRun=True)
    active = ec2.accept_vpc_peering_connection(**me(made))["VpcPeeringConnection"]
    assert active["Status"] == {"Code": "active", "Message": "Active"} and "ExpirationTime" not in active
    assert active["AccepterVpcInfo"]["CidrBlockSet"] == [{"CidrBlock": "10.62.0.0/16"}]
    assert active["AccepterVpcInfo"]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is False
    for name, value in [
        ("status-code", "active"),
        ("requester-vpc-info.vpc-id", one),
        ("requester-vpc-info.cidr-block", "10.61.*"),
        ("accepter-vpc-info.vpc-id", other),
        ("accepter-vpc-info.cidr-block", "10.62.0.0/16"),
        ("vpc-peering-connection-id", made["VpcPeeringConnectionId"]),
        ("tag:team", "net"),
    ]:
        found = ec2.describe_vpc_peering_connections(Filters=[{"Name": name, "Values": [value]}])
        found = [each["VpcPeeringConnectionId"] for each in found["VpcPeeringConnections"]]
        assert found == [made["VpcPeeringConnectionId"]], name
    assert ec2.delete_vpc_peering_connection(**me(made))["Return"] is True
    ec2.get_waiter("vpc_peering_connection_deleted").wait(VpcPeeringConnectionIds=[made["VpcPeeringConnectionId"]])
    assert now(ec2, made)["Status"]["Message"] == f"Deleted by {owner}"
    text = refused("InvalidStateTransition", ec2.delete_vpc_peering_connection, **me(made))
    assert text.endswith("attempted to transition from deleted to deleting")


def test_what_cannot_be_is_failed(ec2, vpcs):
    one, within = vpcs("10.63.0.0/16"), vpcs("10.63.128.0/17")
    for peer in [within, one, "vpc-0123456789abcdef0"]:
        made = now(ec2, asked(ec2, one, peer))
        assert made["Status"]["Code"] == "failed", peer
        assert made["Status"]["Message"].startswith("Failed due to incorrect VPC-ID, Account ID, or overlapping")
        refused("InvalidStateTransition", ec2.accept_vpc_peering_connection, **me(made))
    other_region = {"VpcId": one, "PeerVpcId": within, "PeerRegion": "elsewhere-1"}
    refused("Unsupported", ec2.create_vpc_peering_connection, **other_region)
    refused("InvalidVpcID.NotFound", ec2.create_vpc_peering_connection, VpcId="vpc-0123456789abcdef0", PeerVpcId=one)
    unknown = {"VpcPeeringConnectionIds": ["pcx-0123456789abcdef0"]}
    refused("InvalidVpcPeeringConnectionID.NotFound", ec2.describe_vpc_peering_connections, **unknown)
    refused("InvalidVpcPeeringConnectionId.Malformed", ec2.delete_vpc_peering_connection, VpcPeeringConnectionId="x")
    refused("MissingParameter", ec2.create_vpc_peering_connection, VpcId=one)


def test_routes_lead_over_a_connection_while_it_is_active(ec2, vpcs):
    one, other = vpcs("10.64.0.0/16"), vpcs("10.65.0.0/16")
    made, table = asked(ec2, one, other), main_table(ec2, one)
    to = {"RouteTableId": table, "DestinationCidrBlock": "10.65.0.0/16"}
    assert ec2.create_route(**to, **me(made))["Return"] is True
    assert route(ec2, table, "10.65.0.0/16")["State"] == "blackhole"
    ec2.accept_vpc_peering_connection(**me(made))
    shown = route(ec2, table, "10.65.0.0/16")
    assert shown["State"] == "active" and shown["VpcPeeringConnectionId"] == made["VpcPeeringConnectionId"]
    assert "GatewayId" not in shown
    ec2.replace_route(**to, **me(made))
    listed = ec2.create_managed_prefix_list(
        PrefixListName="peers", MaxEntries=2, AddressFamily="IPv4", Entries=[{"Cidr": "10.65.1.0/24"}]
    )["PrefixList"]["PrefixListId"]
    ec2.create_route(RouteTableId=table, DestinationPrefixListId=listed, **me(made))
    ec2.delete_route(RouteTableId=table, DestinationPrefixListId=listed)
    ec2.delete_managed_prefix_list(PrefixListId=listed)
    own = {"RouteTableId": table, "DestinationCidrBlock": "10.64.1.0/24"}
    refused("InvalidParameterValue", ec2.create_route, **own, **me(made))
    refused("InvalidParameterCombination", ec2.create_route, **to, **me(made), GatewayId="igw-0123456789abcdef0")
    # The connection goes with one of its VPCs; the route stays and leads nowhere.
    ec2.delete_vpc_peering_connection(**me(made))
    assert route(ec2, table, "10.65.0.0/16")["State"] == "blackhole"
    ec2.delete_route(**to)


def test_names_of_a_peer_are_its_own_to_allow(ec2, vpcs):
    one, other = vpcs("10.66.0.0/16"), vpcs("10.67.0.0/16")
    made = asked(ec2, one, other)
    wanted = {"RequesterPeeringConnectionOptions": {"AllowDnsResolutionFromRemoteVpc": True}}
    change = ec2.modify_vpc_peering_connection_options
    assert "is not active" in refused("OperationNotPermitted", change, **me(made), **wanted)
    ec2.accept_vpc_peering_connection(**me(made))
    refused("InvalidVpcPeeringConnectionState.DnsHostnamesDisabled", change, **me(made), **wanted)
    ec2.modify_vpc_attribute(VpcId=one, EnableDnsHostnames={"Value": True})
    reply = change(**me(made), **wanted)
    assert reply["RequesterPeeringConnectionOptions"]["AllowDnsResolutionFromRemoteVpc"] is True
    assert "AccepterPeeringConnectionOptions" not in reply
    assert now(ec2, made)["RequesterVpcInfo"]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is True
    classic = {"AccepterPeeringConnectionOptions": {"AllowEgressFromLocalVpcToRemoteClassicLink": True}}
    assert "AllowEgressFromLocalVpcToRemoteClassicLink" in str(
        refused("Unsupported", change, **me(made), **classic)
    )
    refused("MissingParameter", change, **me(made))
    ec2.delete_vpc_peering_connection(**me(made))


def test_a_connection_between_two_accounts(ec2, vpcs, tenant):
    theirs = tenant.client("ec2")
    one, other = vpcs("10.68.0.0/16"), theirs.create_vpc(CidrBlock="10.69.0.0/16")["Vpc"]["VpcId"]
    try:
        wrong = asked(ec2, one, other)
        assert now(ec2, wrong)["Status"]["Code"] == "failed", "not of this account"
        made = asked(ec2, one, other, PeerOwnerId=tenant.id)
        assert now(theirs, made)["Status"]["Message"] == f"Pending Acceptance by {tenant.id}"
        refused("OperationNotPermitted", ec2.accept_vpc_peering_connection, **me(made))
        refused("OperationNotPermitted", ec2.reject_vpc_peering_connection, **me(made))
        refused("OperationNotPermitted", theirs.delete_vpc_peering_connection, **me(made))
        refused("DependencyViolation", theirs.delete_vpc, VpcId=other)
        assert theirs.reject_vpc_peering_connection(**me(made))["Return"] is True
        assert now(ec2, made)["Status"]["Code"] == "rejected"
        made = asked(ec2, one, other, PeerOwnerId=tenant.id)
        theirs.accept_vpc_peering_connection(**me(made))
        for client, value in [(ec2, "mine"), (theirs, "theirs")]:
            client.create_tags(Resources=[made["VpcPeeringConnectionId"]], Tags=[{"Key": "Name", "Value": value}])
        assert now(ec2, made)["Tags"] == [{"Key": "Name", "Value": "mine"}]
        assert now(theirs, made)["Tags"] == [{"Key": "Name", "Value": "theirs"}]
    finally:
        theirs.delete_vpc(VpcId=other)
    assert now(ec2, made)["Status"]["Message"] == f"Deleted by {tenant.id}"


def test_pages_of_connections(ec2, vpcs):
    one = vpcs("10.70.0.0/16")
    for n in range(6):
        asked(ec2, one, f"vpc-0123456789abcde{n:02x}")
    mine = [{"Name": "requester-vpc-info.vpc-id", "Values": [one]}]
    pages = ec2.get_paginator("describe_vpc_peering_connections").paginate(
        Filters=mine, PaginationConfig={"PageSize": 5}
    )
    assert [len(page["VpcPeeringConnections"]) for page in pages] == [5, 1]


def group(client, vpc):
    return client.create_security_group(GroupName="peers", Description="of peers", VpcId=vpc)["GroupId"]


def allowing(peer, **said):
    return {
        "IpProtocol": "tcp",
        "FromPort": 80,
        "ToPort": 80,
        "UserIdGroupPairs": [{"GroupId": peer, "Description": "web", **said}],
    }


def pairs(client, of, way="IpPermissions"):
    permissions = client.describe_security_groups(GroupIds=[of])["SecurityGroups"][0][way]
    return [pair for permission in permissions for pair in permission["UserIdGroupPairs"]]


def stale(client, vpc):
    return client.describe_stale_security_groups(VpcId=vpc)["StaleSecurityGroupSet"]


def references(client, of):
    return client.describe_security_group_references(GroupId=[of])["SecurityGroupReferenceSet"]


def test_rules_name_groups_of_a_peer(ec2, vpcs):
    one, other = vpcs("10.71.0.0/16"), vpcs("10.72.0.0/16")
    mine, peer = group(ec2, one), group(ec2, other)
    allow = ec2.authorize_security_group_ingress
    made = asked(ec2, one, other)
    text = refused("InvalidGroup.NotFound", allow, GroupId=mine, IpPermissions=[allowing(peer)])
    assert "different networks" in text, "not before it is accepted"
    ec2.accept_vpc_peering_connection(**me(made))
    for code, said in [
        ("InvalidGroup.NotFound", {"VpcId": one}),
        ("InvalidGroup.NotFound", {"UserId": "999999999999"}),
        ("InvalidVpcPeeringConnectionID.NotFound", {"VpcPeeringConnectionId": "pcx-0123456789abcdef0"}),
        ("InvalidVpcPeeringConnectionId.Malformed", {"VpcPeeringConnectionId": "x"}),
    ]:
        refused(code, allow, GroupId=mine, IpPermissions=[allowing(peer, **said)])
    refused("DryRunOperation", allow, GroupId=mine, IpPermissions=[allowing(peer)], DryRun=True)
    rule = allow(GroupId=mine, IpPermissions=[allowing(peer, VpcId=other, **me(made))])["SecurityGroupRules"][0]
    owner = now(ec2, made)["RequesterVpcInfo"]["OwnerId"]
    over = {"GroupId": peer, "UserId": owner, "VpcId": other, "PeeringStatus": "active", **me(made)}
    assert rule["ReferencedGroupInfo"] == over
    ec2.authorize_security_group_egress(GroupId=mine, IpPermissions=[allowing(peer)])
    for way in ["IpPermissions", "IpPermissionsEgress"]:
        assert pairs(ec2, mine, way) == [{"Description": "web", **over}]
    named = [{"GroupId": peer, "ReferencingVpcId": one, **me(made)}]
    assert references(ec2, peer) == named and references(ec2, mine) == [] and stale(ec2, one) == []
    # The connection ends: the rules stay, and are stale; a new one makes them hold again.
    ec2.delete_vpc_peering_connection(**me(made))
    assert references(ec2, peer) == [] and stale(ec2, other) == []
    (found,) = stale(ec2, one)
    gone = {"Description": "web", **over, "PeeringStatus": "deleted"}
    assert (found["GroupId"], found["GroupName"], found["VpcId"]) == (mine, "peers", one)
    wanted = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [], "PrefixListIds": []}
    assert found["StaleIpPermissions"] == [{**wanted, "UserIdGroupPairs": [gone]}]
    assert found["StaleIpPermissionsEgress"] == found["StaleIpPermissions"]
    again = asked(ec2, one, other)
    ec2.accept_vpc_peering_connection(**me(again))
    assert stale(ec2, one) == []
    assert pairs(ec2, mine) == [{"Description": "web", **over, **me(again)}]
    # So does the group: being named over a connection holds nothing.
    refused("DryRunOperation", ec2.delete_security_group, GroupId=peer, DryRun=True)
    ec2.delete_security_group(GroupId=peer)
    (shown,) = pairs(ec2, mine)
    assert "UserId" not in shown and shown["PeeringStatus"] == "active"
    assert stale(ec2, one)[0]["StaleIpPermissions"][0]["UserIdGroupPairs"] == [shown]
    refused("InvalidGroup.NotFound", allow, GroupId=mine, IpPermissions=[allowing(peer, VpcId=other)])
    revoke = ec2.revoke_security_group_ingress
    elsewhere = [allowing(peer, VpcId=one)]
    refused("InvalidPermission.NotFound", revoke, GroupId=mine, IpPermissions=elsewhere)
    revoke(GroupId=mine, IpPermissions=[{**allowing(peer), "UserIdGroupPairs": [shown]}])
    assert stale(ec2, one)[0]["StaleIpPermissions"] == []
    ec2.revoke_security_group_egress(GroupId=mine, IpPermissions=[allowing(peer)])
    assert stale(ec2, one) == []
    refused("InvalidVpcID.NotFound", ec2.describe_stale_security_groups, VpcId="vpc-0123456789abcdef0")
    refused("InvalidGroup.NotFound", ec2.describe_security_group_references, GroupId=[peer])
    # Within a VPC it holds, as ever.
    inner = ec2.create_security_group(GroupName="inner", Description="x", VpcId=one)["GroupId"]
    allow(GroupId=mine, IpPermissions=[allowing(inner)])
    assert "VpcId" not in pairs(ec2, mine)[0] and "PeeringStatus" not in pairs(ec2, mine)[0]
    refused("DependencyViolation", ec2.delete_security_group, GroupId=inner)
    for each in [mine, inner]:
        ec2.delete_security_group(GroupId=each)


def test_rules_name_groups_of_another_account(ec2, vpcs, tenant):
    theirs = tenant.client("ec2")
    one, other = vpcs("10.73.0.0/16"), theirs.create_vpc(CidrBlock="10.74.0.0/16")["Vpc"]["VpcId"]
    mine, peer = group(ec2, one), group(theirs, other)
    allow = ec2.authorize_security_group_ingress
    try:
        account = allowing(peer, UserId=tenant.id)
        text = refused("InvalidGroup.NotFound", allow, GroupId=mine, IpPermissions=[account])
        assert text == f"The security group '{peer}' does not exist", "a stranger's"
        made = asked(ec2, one, other, PeerOwnerId=tenant.id)
        theirs.accept_vpc_peering_connection(**me(made))
        refused("InvalidGroup.NotFound", allow, GroupId=mine, IpPermissions=[allowing(peer)])
        rule = allow(GroupId=mine, IpPermissions=[account])["SecurityGroupRules"][0]
        assert rule["ReferencedGroupInfo"]["UserId"] == tenant.id
        # A changed rule has no place for the account.
        change = {"IpProtocol": "tcp", "FromPort": 81, "ToPort": 81, "ReferencedGroupId": peer}
        one_change = {"SecurityGroupRuleId": rule["SecurityGroupRuleId"], "SecurityGroupRule": change}
        ec2.modify_security_group_rules(GroupId=mine, SecurityGroupRules=[one_change])
        ids = [rule["SecurityGroupRuleId"]]
        (changed,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=ids)["SecurityGroupRules"]
        assert changed["FromPort"] == 81 and changed["ReferencedGroupInfo"] == rule["ReferencedGroupInfo"]
        assert references(theirs, peer) == [{"GroupId": peer, "ReferencingVpcId": one, **me(made)}]
        refused("InvalidGroup.NotFound", ec2.describe_security_group_references, GroupId=[peer])
        theirs.delete_security_group(GroupId=peer)
        (left,) = stale(ec2, one)
        assert left["StaleIpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == peer
        ec2.revoke_security_group_ingress(GroupId=mine, SecurityGroupRuleIds=ids)
        assert stale(ec2, one) == []
    finally:
        ec2.delete_security_group(GroupId=mine)
        for each in theirs.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [other]}])["SecurityGroups"]:
            if each["GroupName"] != "default":
                theirs.delete_security_group(GroupId=each["GroupId"])
        theirs.delete_vpc(VpcId=other)
