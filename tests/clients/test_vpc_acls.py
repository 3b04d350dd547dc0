"""Network ACLs through boto3, unmodified, in VPCs of a simulated cloud."""

import pytest
from botocore.exceptions import ClientError

EVERYWHERE = "0.0.0.0/0"
UNKNOWN = "acl-0123456789abcdef0"


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture
def vpc(ec2):
    """A VPC of its own, with one subnet, and nothing that a test leaves in it."""
    vpc = ec2.create_vpc(CidrBlock="10.78.0.0/16")["Vpc"]["VpcId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.78.1.0/24")
    yield vpc
    subnets = ec2.describe_subnets(Filters=of_vpc(vpc))["Subnets"]
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for acl in described(ec2, of_vpc(vpc)):
        if not acl["IsDefault"]:
            ec2.delete_network_acl(NetworkAclId=acl["NetworkAclId"])
    ec2.delete_vpc(VpcId=vpc)


def of_vpc(vpc):
    return [{"Name": "vpc-id", "Values": [vpc]}]


def described(ec2, filters):
    return ec2.describe_network_acls(Filters=filters)["NetworkAcls"]


def one(ec2, id):
    return ec2.describe_network_acls(NetworkAclIds=[id])["NetworkAcls"][0]


def default_of(ec2, vpc):
    (found,) = described(ec2, [*of_vpc(vpc), {"Name": "default", "Values": ["true"]}])
    return found


def last(egress):
    return {"CidrBlock": EVERYWHERE, "Egress": egress, "Protocol": "-1", "RuleAction": "deny", "RuleNumber": 32767}


def passing(egress):
    return {**last(egress), "RuleAction": "allow", "RuleNumber": 100}


def found_by(ec2, vpc, name, *values):
    filters = [*of_vpc(vpc), {"Name": name, "Values": [str(value) for value in values]}]
    return {acl["NetworkAclId"] for acl in described(ec2, filters)}


def test_a_vpc_has_an_acl_through_which_everything_passes(ec2, vpc):
    default = default_of(ec2, vpc)
    assert default["IsDefault"] and default["VpcId"] == vpc and default["Tags"] == []
    assert default["Entries"] == [passing(True), last(True), passing(False), last(False)]
    (subnet,) = ec2.describe_subnets(Filters=of_vpc(vpc))["Subnets"]
    assert default["OwnerId"] == subnet["OwnerId"]
    (association,) = default["Associations"]
    assert association["SubnetId"] == subnet["SubnetId"] and association["NetworkAclId"] == default["NetworkAclId"]
    assert association["NetworkAclAssociationId"].startswith("aclassoc-")
    text = refused("InvalidParameterValue", ec2.delete_network_acl, NetworkAclId=default["NetworkAclId"])
    assert text == f"cannot delete default network ACL {default['NetworkAclId']}"
    # Every subnet has exactly one, those of the default VPC included. (Of other VPCs, some may come or go meanwhile.)
    (usual,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    both = [{"Name": "vpc-id", "Values": [vpc, usual["VpcId"]]}]
    held = [a["SubnetId"] for acl in described(ec2, both) for a in acl["Associations"]]
    assert sorted(held) == sorted(s["SubnetId"] for s in ec2.describe_subnets(Filters=both)["Subnets"])
    second = ec2.create_subnet(VpcId=vpc, CidrBlock="10.78.2.0/24")["Subnet"]["SubnetId"]
    assert len(default_of(ec2, vpc)["Associations"]) == 2
    ec2.delete_subnet(SubnetId=second)
    assert default_of(ec2, vpc)["Associations"] == [association]


def test_an_acl_and_its_entries(ec2, vpc):
    tags = [{"ResourceType": "network-acl", "Tags": [{"Key": "Name", "Value": "n"}]}]
    made = ec2.create_network_acl(VpcId=vpc, TagSpecifications=tags, ClientToken="acl-one")["NetworkAcl"]
    id = made["NetworkAclId"]
    assert made["Entries"] == [last(True), last(False)] and not made["IsDefault"] and made["Associations"] == []
    assert made["Tags"] == tags[0]["Tags"] == one(ec2, id)["Tags"]
    again = ec2.create_network_acl(VpcId=vpc, TagSpecifications=tags, ClientToken="acl-one")["NetworkAcl"]
    assert again["NetworkAclId"] == id
    web = {
        "NetworkAclId": id,
        "RuleNumber": 110,
        "Protocol": "6",
        "RuleAction": "allow",
        "Egress": False,
        "CidrBlock": "192.0.2.77/24",
        "PortRange": {"From": 80, "To": 443},
    }
    ec2.create_network_acl_entry(**web)
    shown = {name: value for name, value in web.items() if name != "NetworkAclId"}
    assert one(ec2, id)["Entries"] == [last(True), {**shown, "CidrBlock": "192.0.2.0/24"}, last(False)]
    text = refused("NetworkAclEntryAlreadyExists", ec2.create_network_acl_entry, **web)
    assert text == "The network acl entry identified by 110 already exists."
    echo = {**web, "RuleNumber": 100, "Protocol": "icmp", "IcmpTypeCode": {"Type": 8, "Code": -1}}
    del echo["PortRange"]
    ec2.create_network_acl_entry(**echo)
    # The other direction has numbers of its own; ports with all protocols say nothing, and are sent by every client.
    everything = {**web, "Egress": True, "Protocol": "-1", "CidrBlock": EVERYWHERE, "PortRange": {"From": 0, "To": 0}}
    ec2.create_network_acl_entry(**everything)
    entries = one(ec2, id)["Entries"]
    assert [(e["Egress"], e["RuleNumber"]) for e in entries] == [
        (True, 110),
        (True, 32767),
        (False, 100),
        (False, 110),
        (False, 32767),
    ]
    assert entries[0] == {**passing(True), "RuleNumber": 110}
    assert entries[2]["IcmpTypeCode"] == {"Type": 8, "Code": -1} and entries[2]["Protocol"] == "1"
    assert "PortRange" not in entries[2] and "IcmpTypeCode" not in entries[3]
    ec2.replace_network_acl_entry(**{**web, "RuleAction": "deny", "Protocol": "17"})
    assert one(ec2, id)["Entries"][3] == {
        **shown,
        "CidrBlock": "192.0.2.0/24",
        "RuleAction": "deny",
        "Protocol": "17",
    }
    refused("InvalidNetworkAclEntry.NotFound", ec2.replace_network_acl_entry, **{**web, "RuleNumber": 111})
    key = {"NetworkAclId": id, "RuleNumber": 110, "Egress": False}
    ec2.delete_network_acl_entry(**key)
    refused("InvalidNetworkAclEntry.NotFound", ec2.delete_network_acl_entry, **key)
    ec2.create_tags(Resources=[id], Tags=[{"Key": "Team", "Value": "t"}])
    assert found_by(ec2, vpc, "tag:Team", "t") == {id} == found_by(ec2, vpc, "tag-key", "Name")
    (tag,) = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}, {"Name": "key", "Values": ["Team"]}])["Tags"]
    assert tag["ResourceType"] == "network-acl"
    ec2.delete_tags(Resources=[id], Tags=[{"Key": "Team"}, {"Key": "Name"}])
    assert one(ec2, id)["Tags"] == []
    ec2.delete_network_acl(NetworkAclId=id)
    refused("InvalidNetworkAclID.NotFound", ec2.describe_network_acls, NetworkAclIds=[id])
    refused("InvalidNetworkAclID.NotFound", ec2.delete_network_acl, NetworkAclId=id)
    refused("InvalidNetworkAclID.NotFound", ec2.create_network_acl_entry, **web)


def test_what_no_entry_can_be(ec2, vpc):
    id = default_of(ec2, vpc)["NetworkAclId"]
    good = {
        "NetworkAclId": id,
        "RuleNumber": 5,
        "Protocol": "6",
        "RuleAction": "deny",
        "Egress": False,
        "CidrBlock": EVERYWHERE,
        "PortRange": {"From": 1, "To": 2},
    }
    for code, change in [
        ("InvalidParameterValue", {"RuleNumber": 0}),
        ("InvalidParameterValue", {"RuleNumber": 32767}),
        ("InvalidParameterValue", {"RuleNumber": 65536}),
        ("InvalidParameterValue", {"Protocol": "256"}),
        ("InvalidParameterValue", {"Protocol": "https"}),
        ("InvalidParameterValue", {"RuleAction": "reject"}),
        ("InvalidParameterValue", {"CidrBlock": "there"}),
        ("InvalidParameterValue", {"PortRange": {"From": 2, "To": 1}}),
        ("InvalidParameterValue", {"PortRange": {"From": 0, "To": 65536}}),
        ("MissingParameter", {"PortRange": {"From": 1}}),
        ("MissingParameter", {"Protocol": "1"}),
        ("MissingParameter", {"Protocol": "1", "IcmpTypeCode": {"Type": 8}}),
        ("InvalidParameterValue", {"Protocol": "1", "IcmpTypeCode": {"Type": 256, "Code": 0}}),
        ("InvalidParameterCombination", {"Ipv6CidrBlock": "::/0"}),
        ("InvalidNetworkAclID.NotFound", {"NetworkAclId": UNKNOWN}),
        ("InvalidNetworkAclID.Malformed", {"NetworkAclId": "acl-x"}),
        ("DryRunOperation", {"DryRun": True}),
    ]:
        refused(code, ec2.create_network_acl_entry, **{**good, **change})
        refused(code, ec2.replace_network_acl_entry, **{**good, "RuleNumber": 100, **change})
    for missing in ["CidrBlock", "PortRange"]:
        fewer = {name: value for name, value in good.items() if name != missing}
        refused("MissingParameter", ec2.create_network_acl_entry, **fewer)
    refused("InvalidParameterValue", ec2.delete_network_acl_entry, NetworkAclId=id, RuleNumber=32767, Egress=True)
    refused("DryRunOperation", ec2.delete_network_acl_entry, NetworkAclId=id, RuleNumber=100, Egress=True, DryRun=True)
    refused("InvalidVpcID.NotFound", ec2.create_network_acl, VpcId="vpc-0123456789abcdef0")
    refused("DryRunOperation", ec2.create_network_acl, VpcId=vpc, DryRun=True)
    assert default_of(ec2, vpc)["Entries"] == [passing(True), last(True), passing(False), last(False)]
    # Twenty each way; the last one does not count.
    for number in range(1, 20):
        ec2.create_network_acl_entry(**{**good, "RuleNumber": number})
    refused("NetworkAclEntryLimitExceeded", ec2.create_network_acl_entry, **{**good, "RuleNumber": 200})
    ec2.create_network_acl_entry(**{**good, "RuleNumber": 200, "Egress": True})


def test_a_subnet_has_the_acl_it_was_given(ec2, vpc):
    default = default_of(ec2, vpc)
    (held,) = default["Associations"]
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    give = {"AssociationId": held["NetworkAclAssociationId"], "NetworkAclId": acl}
    refused("DryRunOperation", ec2.replace_network_acl_association, DryRun=True, **give)
    new = ec2.replace_network_acl_association(**give)["NewAssociationId"]
    assert new != give["AssociationId"] and new.startswith("aclassoc-")
    refused("InvalidAssociationID.NotFound", ec2.replace_network_acl_association, **give)
    assert default_of(ec2, vpc)["Associations"] == []
    assert one(ec2, acl)["Associations"] == [{**held, "NetworkAclAssociationId": new, "NetworkAclId": acl}]
    # What Terraform and Ansible ask.
    (found,) = described(ec2, [{"Name": "association.subnet-id", "Values": [held["SubnetId"]]}])
    assert found["NetworkAclId"] == acl
    (found,) = described(ec2, [{"Name": "association.association-id", "Values": [new]}])
    assert found["NetworkAclId"] == acl
    text = refused("DependencyViolation", ec2.delete_network_acl, NetworkAclId=acl)
    assert text == f"The networkAcl '{acl}' has dependencies and cannot be deleted."
    refused("DependencyViolation", ec2.delete_vpc, VpcId=vpc)
    other = ec2.create_vpc(CidrBlock="10.79.0.0/16")["Vpc"]["VpcId"]
    elsewhere = default_of(ec2, other)["NetworkAclId"]
    refused(
        "InvalidParameterValue", ec2.replace_network_acl_association, AssociationId=new, NetworkAclId=elsewhere
    )
    # Of a VPC without subnets, only an ACL beside its own is in the way.
    free = ec2.create_network_acl(VpcId=other)["NetworkAcl"]["NetworkAclId"]
    refused("DependencyViolation", ec2.delete_vpc, VpcId=other)
    ec2.delete_network_acl(NetworkAclId=free)
    ec2.delete_vpc(VpcId=other)
    refused("InvalidNetworkAclID.NotFound", ec2.describe_network_acls, NetworkAclIds=[elsewhere])
    refused("InvalidAssociationID.NotFound", ec2.replace_network_acl_association, AssociationId="x", NetworkAclId=acl)
    # The subnet goes with its association, so the ACL can.
    ec2.delete_subnet(SubnetId=held["SubnetId"])
    ec2.delete_network_acl(NetworkAclId=acl)


def test_filters_and_pages(ec2, vpc):
    default = default_of(ec2, vpc)["NetworkAclId"]
    acls = [ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"] for _ in range(6)]
    web, echo = acls[:2]
    entry = {"RuleNumber": 77, "RuleAction": "allow", "Egress": True, "CidrBlock": "198.51.100.0/24"}
    ec2.create_network_acl_entry(NetworkAclId=web, Protocol="6", PortRange={"From": 8000, "To": 8010}, **entry)
    ec2.create_network_acl_entry(NetworkAclId=echo, Protocol="1", IcmpTypeCode={"Type": 3, "Code": 4}, **entry)
    every = {default, *acls}
    for name, value, found in [
        ("default", "true", {default}),
        ("default", "false", set(acls)),
        ("network-acl-id", web, {web}),
        ("association.network-acl-id", default, {default}),
        ("entry.cidr", "198.51.100.0/24", {web, echo}),
        ("entry.egress", "true", every),
        ("entry.icmp.type", 3, {echo}),
        ("entry.icmp.code", 4, {echo}),
        ("entry.ipv6-cidr", "::/0", set()),
        ("entry.port-range.from", 8000, {web}),
        ("entry.port-range.to", 8010, {web}),
        ("entry.port-range.to", 8011, set()),
        ("entry.protocol", "tcp", {web}),
        ("entry.protocol", "1", {echo}),
        ("entry.protocol", "-1", every),
        ("entry.rule-action", "allow", {default, web, echo}),
        ("entry.rule-number", 77, {web, echo}),
        ("owner-id", "000000000000", set()),
    ]:
        assert found_by(ec2, vpc, name, value) == found, name
    refused("InvalidParameterValue", ec2.describe_network_acls, Filters=[{"Name": "colour", "Values": ["red"]}])
    pages = ec2.get_paginator("describe_network_acls").paginate(Filters=of_vpc(vpc), PaginationConfig={"PageSize": 5})
    sizes = [[acl["NetworkAclId"] for acl in page["NetworkAcls"]] for page in pages]
    assert [len(page) for page in sizes] == [5, 2] and sorted(sum(sizes, [])) == sorted(every)
    refused("InvalidParameterCombination", ec2.describe_network_acls, NetworkAclIds=[web], MaxResults=5)
    refused("DryRunOperation", ec2.describe_network_acls, DryRun=True)
