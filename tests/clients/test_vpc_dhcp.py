"""DHCP option sets through boto3, unmodified, against a simulated cloud."""

import pytest

from support import wait
from test_quotas import tenant  # noqa: F401
from test_vpc_routes import refused

OPTIONS = {
    "domain-name": ["corp.example lab.example"],
    "domain-name-servers": ["192.0.2.53", "AmazonProvidedDNS"],
    "ntp-servers": ["192.0.2.1", "192.0.2.2"],
    "netbios-name-servers": ["192.0.2.3"],
    "netbios-node-type": ["2"],
}


def configuration(options):
    return [{"Key": key, "Values": values} for key, values in options.items()]


def said(options_set):
    return {o["Key"]: [v["Value"] for v in o["Values"]] for o in options_set["DhcpConfigurations"]}


@pytest.fixture
def make(ec2):
    """Makes option sets, and removes them afterwards."""
    made = []

    def make(options=None, **more):
        new = ec2.create_dhcp_options(DhcpConfigurations=configuration(options or OPTIONS), **more)["DhcpOptions"]
        made.append(new["DhcpOptionsId"])
        return new

    yield make
    for one in ec2.describe_dhcp_options(Filters=[{"Name": "dhcp-options-id", "Values": made or ["none"]}])["DhcpOptions"]:
        ec2.delete_dhcp_options(DhcpOptionsId=one["DhcpOptionsId"])


@pytest.fixture
def vpc(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]
    yield vpc
    ec2.delete_vpc(VpcId=vpc["VpcId"])


def ids(ec2, **filters):
    wanted = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
    return [one["DhcpOptionsId"] for one in ec2.describe_dhcp_options(Filters=wanted)["DhcpOptions"]]


def options_of(ec2, vpc):
    return ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"][0]["DhcpOptionsId"]


def test_an_account_has_its_default_set_and_so_has_every_vpc(ec2, vpc):
    (usual,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    default = vpc["DhcpOptionsId"]
    assert usual["DhcpOptionsId"] == default
    (one,) = ec2.describe_dhcp_options(DhcpOptionsIds=[default])["DhcpOptions"]
    options = said(one)
    assert list(options) == ["domain-name", "domain-name-servers"]
    assert options["domain-name-servers"] == ["AmazonProvidedDNS"]
    assert one["OwnerId"] == usual["OwnerId"] and not one["Tags"]
    refused("DependencyViolation", ec2.delete_dhcp_options, DhcpOptionsId=default)


def test_the_default_set_names_what_instances_are_named_by(ec2, launch):
    (instance,) = launch()["Instances"]
    wait(ec2, "instance_running", [instance["InstanceId"]])
    (default,) = {one["DhcpOptionsId"] for one in ec2.describe_vpcs(VpcIds=[instance["VpcId"]])["Vpcs"]}
    (one,) = ec2.describe_dhcp_options(DhcpOptionsIds=[default])["DhcpOptions"]
    (domain,) = said(one)["domain-name"]
    name = instance["PrivateDnsName"]
    assert name.split(".", 1)[1] == domain
    # An instance keeps the name that the cloud gives it, whatever its guests are told.
    other = ec2.create_dhcp_options(DhcpConfigurations=configuration(OPTIONS))["DhcpOptions"]["DhcpOptionsId"]
    ec2.associate_dhcp_options(DhcpOptionsId=other, VpcId=instance["VpcId"])
    try:
        reservation = ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"][0]
        assert reservation["Instances"][0]["PrivateDnsName"] == name
    finally:
        ec2.associate_dhcp_options(DhcpOptionsId=default, VpcId=instance["VpcId"])
        ec2.delete_dhcp_options(DhcpOptionsId=other)


def test_a_set_is_made_as_asked_found_and_deleted(ec2, make):
    tags = [{"ResourceType": "dhcp-options", "Tags": [{"Key": "Team", "Value": "n"}]}]
    new = make(TagSpecifications=tags)
    assert said(new) == OPTIONS and new["Tags"] == [{"Key": "Team", "Value": "n"}]
    one = new["DhcpOptionsId"]
    assert ec2.describe_dhcp_options(DhcpOptionsIds=[one])["DhcpOptions"] == [new]
    for name, value in {
        "dhcp_options_id": one,
        "key": "netbios-node-type",
        "value": "192.0.2.2",
        "owner_id": new["OwnerId"],
        "tag:Team": "n",
        "tag_key": "Team",
    }.items():
        assert one in ids(ec2, **{name: [value]}), name
        assert one not in ids(ec2, **{name: ["no"]}), name
    assert ids(ec2, key=["ntp-*"], value=["192.0.2.?"]) == [one]
    refused("InvalidParameterValue", ec2.describe_dhcp_options, Filters=[{"Name": "domain", "Values": ["x"]}])
    ec2.create_tags(Resources=[one], Tags=[{"Key": "Name", "Value": "mine"}])
    found = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["dhcp-options"]}])["Tags"]
    assert {(t["ResourceId"], t["Key"]) for t in found} == {(one, "Team"), (one, "Name")}
    # In one value, with commas, as the console gives them.
    other = make({"domain-name-servers": ["192.0.2.53, 192.0.2.54"]})
    assert said(other) == {"domain-name-servers": ["192.0.2.53", "192.0.2.54"]}

    ec2.delete_dhcp_options(DhcpOptionsId=one)
    refused("InvalidDhcpOptionID.NotFound", ec2.describe_dhcp_options, DhcpOptionsIds=[one])
    refused("InvalidDhcpOptionsID.NotFound", ec2.delete_dhcp_options, DhcpOptionsId=one)
    assert not ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [one]}])["Tags"]


def test_a_vpc_has_the_set_it_was_given(ec2, make, vpc):
    default, one = vpc["DhcpOptionsId"], make()["DhcpOptionsId"]
    there = {"VpcId": vpc["VpcId"]}
    for _ in range(2):
        ec2.associate_dhcp_options(DhcpOptionsId=one, **there)
        assert options_of(ec2, vpc) == one
    by = [{"Name": "dhcp-options-id", "Values": [one]}]
    assert [v["VpcId"] for v in ec2.describe_vpcs(Filters=by)["Vpcs"]] == [vpc["VpcId"]]
    text = refused("DependencyViolation", ec2.delete_dhcp_options, DhcpOptionsId=one)
    assert one in text
    # None at all, which reads "default", and is not the default set.
    ec2.associate_dhcp_options(DhcpOptionsId="default", **there)
    assert options_of(ec2, vpc) == "default"
    ec2.associate_dhcp_options(DhcpOptionsId=default, **there)
    assert options_of(ec2, vpc) == default
    refused("InvalidDhcpOptionsId.Malformed", ec2.associate_dhcp_options, DhcpOptionsId="dopt-x", **there)
    gone = {"DhcpOptionsId": "dopt-00000000000000000"}
    refused("InvalidDhcpOptionID.NotFound", ec2.associate_dhcp_options, **gone, **there)
    refused("InvalidVpcID.NotFound", ec2.associate_dhcp_options, DhcpOptionsId=one, VpcId="vpc-00000000000000000")


def test_a_vpc_that_goes_lets_go_of_its_set(ec2, make):
    one = make()["DhcpOptionsId"]
    vpc = ec2.create_vpc(CidrBlock="10.78.0.0/16")["Vpc"]["VpcId"]
    ec2.associate_dhcp_options(DhcpOptionsId=one, VpcId=vpc)
    ec2.delete_vpc(VpcId=vpc)
    ec2.delete_dhcp_options(DhcpOptionsId=one)
    assert one not in ids(ec2)


@pytest.mark.parametrize(
    "options",
    [
        {"domain-name": ["a b", "c"]},
        {"domain-name": ["exa$mple"]},
        {"domain-name-servers": [f"192.0.2.{n}" for n in range(1, 6)]},
        {"domain-name-servers": ["resolver"]},
        {"ntp-servers": ["AmazonProvidedDNS"]},
        {"netbios-node-type": ["3"]},
        {"boot-file": ["x"]},
    ],
    ids=str,
)
def test_what_no_set_can_say_is_refused(ec2, options):
    refused("InvalidParameterValue", ec2.create_dhcp_options, DhcpConfigurations=configuration(options))


@pytest.mark.parametrize(
    "options", [{"ipv6-address-preferred-lease-time": ["140"]}, {"ntp-servers": ["fd00:ec2::123"]}], ids=str
)
def test_what_needs_ipv6_is_refused_by_name(ec2, options):
    text = refused("Unsupported", ec2.create_dhcp_options, DhcpConfigurations=configuration(options))
    assert next(iter(options)) in text


def test_dry_runs_change_nothing(ec2, make, vpc):
    before, dry = len(ids(ec2)) + 1, {"DryRun": True}
    one = make()["DhcpOptionsId"]
    refused("DryRunOperation", ec2.create_dhcp_options, DhcpConfigurations=configuration(OPTIONS), **dry)
    refused("DryRunOperation", ec2.associate_dhcp_options, DhcpOptionsId=one, VpcId=vpc["VpcId"], **dry)
    refused("DryRunOperation", ec2.delete_dhcp_options, DhcpOptionsId=one, **dry)
    refused("DryRunOperation", ec2.describe_dhcp_options, **dry)
    assert len(ids(ec2)) == before and options_of(ec2, vpc) == vpc["DhcpOptionsId"]


def test_many_sets_come_in_pages(ec2, make):
    made = {make({"domain-name": [f"n{n}.example"]})["DhcpOptionsId"] for n in range(7)}
    pages = list(ec2.get_paginator("describe_dhcp_options").paginate(PaginationConfig={"PageSize": 5}))
    sizes = [len(page["DhcpOptions"]) for page in pages]
    assert len(pages) > 1 and max(sizes) <= 5
    found = [one["DhcpOptionsId"] for page in pages for one in page["DhcpOptions"]]
    assert len(found) == len(set(found)) and made < set(found)


def test_sets_are_their_accounts_own_and_go_with_it(ec2, make, tenant):  # noqa: F811
    one = make()["DhcpOptionsId"]
    theirs = tenant.client("ec2")
    (default,) = [o["DhcpOptionsId"] for o in theirs.describe_dhcp_options()["DhcpOptions"]]
    (vpc,) = theirs.describe_vpcs()["Vpcs"]
    assert default != one and vpc["DhcpOptionsId"] == default
    refused("InvalidDhcpOptionID.NotFound", theirs.associate_dhcp_options, DhcpOptionsId=one, VpcId=vpc["VpcId"])
    refused("InvalidDhcpOptionsID.NotFound", theirs.delete_dhcp_options, DhcpOptionsId=one)
    assert one not in ids(theirs)
    # The account's end takes these away.
    theirs.associate_dhcp_options(
        DhcpOptionsId=theirs.create_dhcp_options(DhcpConfigurations=configuration(OPTIONS))["DhcpOptions"]["DhcpOptionsId"],
        VpcId=vpc["VpcId"],
    )
