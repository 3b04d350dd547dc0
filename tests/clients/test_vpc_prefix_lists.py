"""Managed prefix lists through boto3, unmodified, in the default VPC of a simulated cloud."""

import uuid

import pytest
from botocore.exceptions import ClientError


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture
def make(ec2):
    """Makes lists, and removes them afterwards."""
    made = []

    def make(size=10, **options):
        parameters = {"PrefixListName": "offices", "MaxEntries": size, "AddressFamily": "IPv4", **options}
        made.append(ec2.create_managed_prefix_list(**parameters)["PrefixList"])
        return made[-1]

    yield make
    there = {one["PrefixListId"] for one in ec2.describe_managed_prefix_lists()["PrefixLists"]}
    for one in made:
        if one["PrefixListId"] in there:
            ec2.delete_managed_prefix_list(PrefixListId=one["PrefixListId"])
            there.remove(one["PrefixListId"])


@pytest.fixture
def group(ec2):
    """A group of the default VPC."""
    name = f"lists-{uuid.uuid4().hex[:8]}"
    group = ec2.create_security_group(GroupName=name, Description="of lists")["GroupId"]
    yield group
    ec2.delete_security_group(GroupId=group)


def entries(*blocks):
    return [{"Cidr": block} for block in blocks]


def held(ec2, one, **options):
    """The entries of a list: block to description."""
    reply = ec2.get_managed_prefix_list_entries(PrefixListId=one["PrefixListId"], **options)
    return {entry["Cidr"]: entry.get("Description") for entry in reply["Entries"]}


def now(ec2, one):
    return ec2.describe_managed_prefix_lists(PrefixListIds=[one["PrefixListId"]])["PrefixLists"][0]


def test_a_list_is_made_and_shown(ec2, make):
    tags = [{"ResourceType": "prefix-list", "Tags": [{"Key": "team", "Value": "net"}]}]
    token = uuid.uuid4().hex
    parameters = {
        "Entries": [{"Cidr": "10.1.2.3/8", "Description": "all"}, {"Cidr": "192.0.2.0/24"}],
        "TagSpecifications": tags,
        "ClientToken": token,
    }
    one = make(**parameters)
    assert one["State"] == "create-complete" and one["Version"] == 1 and one["MaxEntries"] == 10
    assert one["AddressFamily"] == "IPv4" and one["PrefixListName"] == "offices"
    assert one["PrefixListArn"].endswith(f":{one['OwnerId']}:prefix-list/{one['PrefixListId']}")
    assert one["Tags"] == [{"Key": "team", "Value": "net"}]
    assert held(ec2, one) == {"10.0.0.0/8": "all", "192.0.2.0/24": None}
    assert make(**parameters)["PrefixListId"] == one["PrefixListId"], "the token is that of before"
    assert now(ec2, one) == one
    other = make(PrefixListName="others")
    for name, value in [
        ("prefix-list-id", one["PrefixListId"]),
        ("prefix-list-name", "offi*"),
        ("tag:team", "net"),
        ("tag-key", "team"),
    ]:
        found = ec2.describe_managed_prefix_lists(Filters=[{"Name": name, "Values": [value]}])["PrefixLists"]
        assert [each["PrefixListId"] for each in found] == [one["PrefixListId"]], name
    owned = ec2.describe_managed_prefix_lists(Filters=[{"Name": "owner-id", "Values": [one["OwnerId"]]}])
    assert {each["PrefixListId"] for each in owned["PrefixLists"]} >= {one["PrefixListId"], other["PrefixListId"]}
    pages = ec2.get_paginator("describe_managed_prefix_lists").paginate(PaginationConfig={"PageSize": 1})
    seen = [page["PrefixLists"] for page in pages]
    assert all(len(page) <= 1 for page in seen) and sum(map(len, seen)) >= 2
    pages = ec2.get_paginator("get_managed_prefix_list_entries").paginate(
        PrefixListId=one["PrefixListId"], PaginationConfig={"PageSize": 1}
    )
    assert [entry["Cidr"] for page in pages for entry in page["Entries"]] == ["10.0.0.0/8", "192.0.2.0/24"]
    ec2.create_tags(Resources=[one["PrefixListId"]], Tags=[{"Key": "more", "Value": ""}])
    assert {"Key": "more", "Value": ""} in now(ec2, one)["Tags"]
    gone = ec2.delete_managed_prefix_list(PrefixListId=one["PrefixListId"])["PrefixList"]
    assert gone["State"] == "delete-complete"
    message = refused(
        "InvalidPrefixListID.NotFound", ec2.describe_managed_prefix_lists, PrefixListIds=[one["PrefixListId"]]
    )
    assert message == f"The prefix list ID '{one['PrefixListId']}' does not exist"


def test_entries_change_by_version(ec2, make):
    one = make(size=3, Entries=entries("10.0.0.0/8", "11.0.0.0/8"))
    which = {"PrefixListId": one["PrefixListId"]}
    modify = ec2.modify_managed_prefix_list
    second = modify(
        **which,
        CurrentVersion=1,
        AddEntries=[{"Cidr": "12.0.0.0/8", "Description": "twelve"}],
        RemoveEntries=entries("10.0.0.0/8"),
    )["PrefixList"]
    assert (second["Version"], second["State"]) == (2, "modify-complete")
    assert held(ec2, one) == {"11.0.0.0/8": None, "12.0.0.0/8": "twelve"}
    assert held(ec2, one, TargetVersion=1) == {"10.0.0.0/8": None, "11.0.0.0/8": None}
    message = refused(
        "PrefixListVersionMismatch", modify, **which, CurrentVersion=1, RemoveEntries=entries("11.0.0.0/8")
    )
    assert message == "The prefix list has the incorrect version number."
    # A description is changed by two calls, as on EC2.
    refused("InvalidRequest", modify, **which, AddEntries=[{"Cidr": "12.0.0.0/8", "Description": "dozen"}])
    refused("InvalidRequest", modify, **which, RemoveEntries=entries("10.0.0.0/8"))
    both = {"AddEntries": entries("12.0.0.0/8"), "RemoveEntries": entries("12.0.0.0/8")}
    assert "in both" in refused("InvalidParameterValue", modify, **which, **both)
    refused("InvalidParameterValue", modify, **which, AddEntries=entries("13.0.0.0/8", "13.1.0.0/8"))
    too_many = entries("13.0.0.0/8", "14.0.0.0/8")
    refused("PrefixListMaxEntriesExceeded", modify, **which, AddEntries=too_many)
    refused("InvalidParameterCombination", modify, **which, MaxEntries=5, AddEntries=too_many)
    refused("PrefixListMaxEntriesExceeded", modify, **which, MaxEntries=1)
    larger = modify(**which, MaxEntries=5, PrefixListName="renamed")["PrefixList"]
    assert (larger["MaxEntries"], larger["PrefixListName"], larger["Version"]) == (5, "renamed", 2)
    assert modify(**which, AddEntries=too_many, CurrentVersion=2)["PrefixList"]["Version"] == 3
    back = ec2.restore_managed_prefix_list_version(**which, PreviousVersion=1, CurrentVersion=3)["PrefixList"]
    assert (back["Version"], back["State"]) == (4, "restore-complete")
    assert held(ec2, one) == {"10.0.0.0/8": None, "11.0.0.0/8": None}
    assert set(held(ec2, one, TargetVersion=3)) == {"11.0.0.0/8", "12.0.0.0/8", "13.0.0.0/8", "14.0.0.0/8"}
    restore = ec2.restore_managed_prefix_list_version
    refused("PrefixListVersionMismatch", restore, **which, PreviousVersion=1, CurrentVersion=3)
    refused("InvalidParameterValue", restore, **which, PreviousVersion=4, CurrentVersion=4)
    refused("InvalidParameterValue", ec2.get_managed_prefix_list_entries, **which, TargetVersion=5)


def test_what_a_list_cannot_be(ec2, make):
    create = ec2.create_managed_prefix_list
    good = {"PrefixListName": "n", "MaxEntries": 2, "AddressFamily": "IPv4"}
    message = refused("InvalidParameterValue", create, **{**good, "MaxEntries": 1001})
    assert message == "Must specify a max size between 1 and 1000"
    refused("InvalidParameterValue", create, **{**good, "MaxEntries": 0})
    refused("InvalidParameterValue", create, **{**good, "PrefixListName": "com.amazonaws.x"})
    assert "addressFamily" in refused("InvalidParameterValue", create, **{**good, "AddressFamily": "IPX"})
    six = {**good, "AddressFamily": "IPv6"}
    assert "IPv6" in refused("InvalidParameterValue", create, **six, Entries=entries("10.0.0.0/8"))
    for blocks in [("2001:db8::/32",), ("10.0.0.0/33",), ("10.0.0.0/8", "10.0.0.1/8")]:
        refused("InvalidParameterValue", create, **good, Entries=entries(*blocks))
    refused("PrefixListMaxEntriesExceeded", create, **good, Entries=entries("1.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8"))
    many = [f"10.{n}.0.0/16" for n in range(101)]
    message = refused("InvalidParameterValue", create, **{**good, "MaxEntries": 200}, Entries=entries(*many))
    assert "cannot exceeds limit (100)" in message
    refused("InvalidParameterValue", create, **good, Entries=[{"Cidr": "10.0.0.0/8", "Description": "d" * 256}])
    refused("DryRunOperation", create, **good, DryRun=True)
    one = make()
    which = {"PrefixListId": one["PrefixListId"]}
    refused("DryRunOperation", ec2.modify_managed_prefix_list, **which, AddEntries=entries("1.0.0.0/8"), DryRun=True)
    refused("DryRunOperation", ec2.delete_managed_prefix_list, **which, DryRun=True)
    refused("DryRunOperation", ec2.get_managed_prefix_list_entries, **which, DryRun=True)
    refused("DryRunOperation", ec2.get_managed_prefix_list_associations, **which, DryRun=True)
    refused("MissingParameter", ec2.modify_managed_prefix_list, **which)
    refused("Unsupported", ec2.modify_managed_prefix_list, **which, IpamPrefixListResolverSyncEnabled=True)
    refused("InvalidPrefixListId.Malformed", ec2.delete_managed_prefix_list, PrefixListId="sg-1")
    assert now(ec2, one)["Version"] == 1 and held(ec2, one) == {}


def test_there_are_no_lists_of_services(ec2, make):
    assert ec2.describe_prefix_lists()["PrefixLists"] == []
    name = [{"Name": "prefix-list-name", "Values": ["com.amazonaws.*"]}]
    assert ec2.describe_prefix_lists(Filters=name)["PrefixLists"] == []
    refused("InvalidPrefixListId.NotFound", ec2.describe_prefix_lists, PrefixListIds=[make()["PrefixListId"]])


def test_rules_of_groups(ec2, make, group):
    one, other = make(), make()
    peer = {"PrefixListId": one["PrefixListId"], "Description": "from the offices"}
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "PrefixListIds": [peer]}
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"]
    assert [(rule["PrefixListId"], rule["Description"]) for rule in made] == [tuple(peer.values())]
    refused(
        "InvalidPermission.Duplicate", ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[permission]
    )
    shown = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert shown["IpPermissions"] == [{**permission, "IpRanges": [], "Ipv6Ranges": [], "UserIdGroupPairs": []}]
    rule = made[0]["SecurityGroupRuleId"]

    def found(direction, one):
        name = f"{direction}ip-permission.prefix-list-id"
        filters = [{"Name": name, "Values": [one["PrefixListId"]]}]
        return [each["GroupId"] for each in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]]

    assert found("", one) == [group] and found("egress.", one) == [] and found("", other) == []
    ec2.authorize_security_group_egress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": other["PrefixListId"]}]}]
    )
    assert found("egress.", other) == [group] and found("", other) == []
    used = ec2.get_managed_prefix_list_associations(PrefixListId=one["PrefixListId"])["PrefixListAssociations"]
    assert used == [{"ResourceId": group, "ResourceOwner": one["OwnerId"]}]
    message = refused("DependencyViolation", ec2.delete_managed_prefix_list, PrefixListId=one["PrefixListId"])
    assert one["PrefixListId"] in message

    # The rule keeps its id with another peer and description.
    described = {**permission, "PrefixListIds": [{**peer, "Description": "renamed"}]}
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group, IpPermissions=[described])
    of_rule = {"SecurityGroupRuleIds": [rule]}
    (shown,) = ec2.describe_security_group_rules(**of_rule)["SecurityGroupRules"]
    assert (shown["PrefixListId"], shown["Description"]) == (one["PrefixListId"], "renamed")
    wanted = {"IpProtocol": "tcp", "FromPort": 23, "ToPort": 23, "PrefixListId": other["PrefixListId"]}
    update = [{"SecurityGroupRuleId": rule, "SecurityGroupRule": wanted}]
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=update)
    (shown,) = ec2.describe_security_group_rules(**of_rule)["SecurityGroupRules"]
    assert (shown["PrefixListId"], shown["FromPort"]) == (other["PrefixListId"], 23)
    assert ec2.get_managed_prefix_list_associations(PrefixListId=one["PrefixListId"])["PrefixListAssociations"] == []
    refused(
        "InvalidPermission.NotFound", ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=[permission]
    )
    replaced = {**permission, "FromPort": 23, "ToPort": 23, "PrefixListIds": [{"PrefixListId": other["PrefixListId"]}]}
    gone = ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[replaced])
    (gone,) = gone["RevokedSecurityGroupRules"]
    assert gone["PrefixListId"] == other["PrefixListId"]
    nobody = [{**permission, "PrefixListIds": [{"PrefixListId": "pl-00000000000000001"}]}]
    refused("InvalidPrefixListID.NotFound", ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=nobody)
    ec2.revoke_security_group_egress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": other["PrefixListId"]}]}]
    )


def test_routes(ec2, make):
    one = make(Entries=entries("192.0.2.0/24"))
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    of_vpc = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    gateway = ec2.describe_internet_gateways(Filters=of_vpc)["InternetGateways"][0]["InternetGatewayId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    route = {"RouteTableId": table, "DestinationPrefixListId": one["PrefixListId"]}
    assert ec2.create_route(**route, GatewayId=gateway)["Return"]
    refused("RouteAlreadyExists", ec2.create_route, **route, GatewayId=gateway)
    ec2.replace_route(**route, GatewayId=gateway)
    filters = [{"Name": "route.destination-prefix-list-id", "Values": [one["PrefixListId"]]}]
    (shown,) = ec2.describe_route_tables(Filters=filters)["RouteTables"]
    assert shown["RouteTableId"] == table
    (led,) = [each for each in shown["Routes"] if "DestinationPrefixListId" in each]
    assert led == {
        "DestinationPrefixListId": one["PrefixListId"],
        "GatewayId": gateway,
        "Origin": "CreateRoute",
        "State": "active",
    }
    used = ec2.get_managed_prefix_list_associations(PrefixListId=one["PrefixListId"])["PrefixListAssociations"]
    assert [each["ResourceId"] for each in used] == [table]
    refused("DependencyViolation", ec2.delete_managed_prefix_list, PrefixListId=one["PrefixListId"])
    both = {**route, "DestinationCidrBlock": "10.0.0.0/8"}
    refused("InvalidParameterCombination", ec2.create_route, **both, GatewayId=gateway)
    unknown = {"RouteTableId": table, "DestinationPrefixListId": "pl-00000000000000001"}
    refused("InvalidPrefixListID.NotFound", ec2.create_route, **unknown, GatewayId=gateway)
    ec2.delete_route(**route)
    refused("InvalidRoute.NotFound", ec2.delete_route, **route)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_managed_prefix_list(PrefixListId=one["PrefixListId"])


@pytest.fixture
def six(ec2):
    """A VPC with an IPv6 block, and its main table."""
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    table = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"][0]["RouteTableId"]
    yield vpc, table
    ec2.delete_vpc(VpcId=vpc)


def test_a_list_of_ipv6(ec2, make, six, group):
    one = make(size=3, AddressFamily="IPv6", Entries=entries("2001:DB8:0::9/32", "3fff::/20"))
    assert one["AddressFamily"] == "IPv6" and now(ec2, one)["AddressFamily"] == "IPv6"
    assert held(ec2, one) == {"2001:db8::/32": None, "3fff::/20": None}
    which = {"PrefixListId": one["PrefixListId"]}
    message = refused("InvalidParameterValue", ec2.modify_managed_prefix_list, **which, AddEntries=entries("10.0.0.0/8"))
    assert "10.0.0.0/8" in message and "IPv6" in message
    ec2.modify_managed_prefix_list(**which, AddEntries=entries("64:FF9B::/96"), RemoveEntries=entries("3FFF::/20"))
    assert list(held(ec2, one)) == ["2001:db8::/32", "64:ff9b::/96"]
    pages = ec2.get_paginator("get_managed_prefix_list_entries").paginate(
        PrefixListId=one["PrefixListId"], PaginationConfig={"PageSize": 1}
    )
    assert [entry["Cidr"] for page in pages for entry in page["Entries"]] == ["2001:db8::/32", "64:ff9b::/96"]
    back = ec2.restore_managed_prefix_list_version(**which, PreviousVersion=1, CurrentVersion=2)["PrefixList"]
    assert back["Version"] == 3 and set(held(ec2, one)) == {"2001:db8::/32", "3fff::/20"}

    # A rule and a route name it as one of IPv4.
    permission = {"IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1, "PrefixListIds": [dict(which)]}
    (rule,) = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"]
    assert rule["PrefixListId"] == one["PrefixListId"]
    vpc, table = six
    outward = ec2.create_egress_only_internet_gateway(VpcId=vpc)["EgressOnlyInternetGateway"]
    outward = {"EgressOnlyInternetGatewayId": outward["EgressOnlyInternetGatewayId"]}
    route = {"RouteTableId": table, "DestinationPrefixListId": one["PrefixListId"]}
    four = {"RouteTableId": table, "DestinationPrefixListId": make()["PrefixListId"]}
    refused("InvalidParameterValue", ec2.create_route, **four, **outward)
    unsupported = refused("Unsupported", ec2.create_route, **route, NatGatewayId="nat-00000000000000001")
    assert "DestinationPrefixListId" in unsupported
    assert ec2.create_route(**route, **outward)["Return"]
    (shown,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    (led,) = [each for each in shown["Routes"] if "DestinationPrefixListId" in each]
    assert led == {"DestinationPrefixListId": one["PrefixListId"], **outward, "Origin": "CreateRoute", "State": "active"}
    used = ec2.get_managed_prefix_list_associations(**which)["PrefixListAssociations"]
    assert [each["ResourceId"] for each in used] == [table, group]
    refused("DependencyViolation", ec2.delete_managed_prefix_list, **which)
    ec2.delete_route(**route)
    ec2.delete_egress_only_internet_gateway(**outward)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[permission])
