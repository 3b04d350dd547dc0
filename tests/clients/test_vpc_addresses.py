"""Elastic IPs through boto3: where they lead, what stopping and ending an instance does to them, quotas, rights, races."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from support import wait
from test_iam import fresh, refused
from test_quotas import Tenant, tenant  # noqa: F401 (a fixture)

QUOTA = {"ServiceCode": "ec2", "QuotaCode": "L-0263D0A3"}


@pytest.fixture
def allocate(ec2):
    """Allocates addresses and releases them afterwards, wherever they lead."""
    ids = []

    def one(**options):
        made = ec2.allocate_address(**{"Domain": "vpc", **options})
        ids.append(made["AllocationId"])
        return made

    yield one
    for address in ec2.describe_addresses(Filters=[{"Name": "allocation-id", "Values": ids or ["none"]}])["Addresses"]:
        if "AssociationId" in address:
            ec2.disassociate_address(AssociationId=address["AssociationId"])
        ec2.release_address(AllocationId=address["AllocationId"])


def running(ec2, launch, **options):
    id = launch(**options)["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [id])
    return id


def instance(ec2, id):
    return ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]


def address(ec2, id):
    return ec2.describe_addresses(AllocationIds=[id])["Addresses"][0]


def sound(cloud):
    """The rows agree with each other, and with what the nodes hold."""
    cloud.mallee("check")


def test_an_address_stays_with_a_stopped_instance_and_outlives_it(cloud, ec2, launch, allocate):
    id = running(ec2, launch)
    automatic = instance(ec2, id)["PublicIpAddress"]
    made = allocate(TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": [{"Key": "Name", "Value": "web"}]}])
    assert (made["Domain"], made["PublicIpv4Pool"]) == ("vpc", "amazon")
    association = ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=id)["AssociationId"]
    shown = instance(ec2, id)
    assert shown["PublicIpAddress"] == made["PublicIp"] != automatic
    assert made["PublicIp"].replace(".", "-") in shown["PublicDnsName"]
    interface = shown["NetworkInterfaces"][0]
    owner = interface["OwnerId"]
    assert interface["Association"]["IpOwnerId"] == owner
    assert interface["PrivateIpAddresses"][0]["Association"]["PublicIp"] == made["PublicIp"]
    whole = ec2.describe_network_interfaces(
        Filters=[{"Name": "association.allocation-id", "Values": [made["AllocationId"]]}]
    )["NetworkInterfaces"]
    assert [i["NetworkInterfaceId"] for i in whole] == [interface["NetworkInterfaceId"]]
    assert whole[0]["Association"]["AssociationId"] == association
    by_address = [{"Name": "network-interface.association.association-id", "Values": [association]}]
    assert ec2.describe_instances(Filters=by_address)["Reservations"][0]["Instances"][0]["InstanceId"] == id
    assert address(ec2, made["AllocationId"]) == {
        "AllocationId": made["AllocationId"],
        "AssociationId": association,
        "Domain": "vpc",
        "InstanceId": id,
        "NetworkBorderGroup": ec2.meta.region_name,
        "NetworkInterfaceId": interface["NetworkInterfaceId"],
        "NetworkInterfaceOwnerId": owner,
        "PrivateIpAddress": shown["PrivateIpAddress"],
        "PublicIp": made["PublicIp"],
        "PublicIpv4Pool": "amazon",
        "Tags": [{"Key": "Name", "Value": "web"}],
    }
    sound(cloud)

    ec2.stop_instances(InstanceIds=[id])
    wait(ec2, "instance_stopped", [id])
    assert instance(ec2, id)["PublicIpAddress"] == made["PublicIp"]
    ec2.start_instances(InstanceIds=[id])
    wait(ec2, "instance_running", [id])
    assert instance(ec2, id)["PublicIpAddress"] == made["PublicIp"]
    assert address(ec2, made["AllocationId"])["AssociationId"] == association

    ec2.terminate_instances(InstanceIds=[id])
    wait(ec2, "instance_terminated", [id])
    left = address(ec2, made["AllocationId"])
    assert left["PublicIp"] == made["PublicIp"] and "AssociationId" not in left and "InstanceId" not in left
    sound(cloud)


def test_without_its_address_an_instance_shows_an_automatic_one_if_it_came_with_one(cloud, ec2, launch, allocate):
    id, made = running(ec2, launch), allocate()
    association = ec2.associate_address(PublicIp=made["PublicIp"], InstanceId=id)["AssociationId"]
    ec2.disassociate_address(AssociationId=association)
    shown = instance(ec2, id)
    assert shown["PublicIpAddress"] != made["PublicIp"]
    assert shown["NetworkInterfaces"][0]["Association"]["IpOwnerId"] == "amazon"
    # One that was launched without any has none again.
    bare = running(ec2, launch, NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": False}])
    association = ec2.associate_address(PublicIp=made["PublicIp"], InstanceId=bare)["AssociationId"]
    assert instance(ec2, bare)["PublicIpAddress"] == made["PublicIp"]
    ec2.disassociate_address(AssociationId=association)
    assert "PublicIpAddress" not in instance(ec2, bare)
    sound(cloud)
    # A stopped one gets its own when it starts.
    ec2.stop_instances(InstanceIds=[id])
    wait(ec2, "instance_stopped", [id])
    ec2.start_instances(InstanceIds=[id])
    wait(ec2, "instance_running", [id])
    shown = instance(ec2, id)
    assert shown["PublicIpAddress"] != made["PublicIp"]
    assert shown["NetworkInterfaces"][0]["Association"]["IpOwnerId"] == "amazon"
    sound(cloud)


def test_it_moves_unless_that_is_not_wanted(cloud, ec2, launch, allocate):
    ids = [i["InstanceId"] for i in launch(MinCount=2, MaxCount=2)["Instances"]]
    wait(ec2, "instance_running", ids)
    first, second = ids
    made, other = allocate(), allocate()
    me = {"AllocationId": made["AllocationId"]}
    before = ec2.associate_address(**me, InstanceId=first)["AssociationId"]
    # Said again, it is the same.
    assert ec2.associate_address(**me, InstanceId=first, AllowReassociation=False)["AssociationId"] == before
    strict = {**me, "InstanceId": second, "AllowReassociation": False}
    text = refused("Resource.AlreadyAssociated", ec2.associate_address, **strict)
    assert text == f"resource {made['AllocationId']} is already associated with associate-id {before}"
    after = ec2.associate_address(**me, InstanceId=second)["AssociationId"]
    assert after != before and instance(ec2, first)["PublicIpAddress"] not in (made["PublicIp"], other["PublicIp"])
    refused("InvalidAssociationID.NotFound", ec2.disassociate_address, AssociationId=before)
    # An instance has one: the other one becomes free.
    eni = instance(ec2, second)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.associate_address(AllocationId=other["AllocationId"], NetworkInterfaceId=eni)
    assert instance(ec2, second)["PublicIpAddress"] == other["PublicIp"]
    assert "AssociationId" not in address(ec2, made["AllocationId"])
    refused("InvalidIPAddress.InUse", ec2.release_address, AllocationId=other["AllocationId"])
    sound(cloud)


def test_calls_of_ec2_classic(ec2, launch):
    """As Eucalyptus' clients have them: the address is its own name."""
    id = running(ec2, launch)
    made = ec2.allocate_address(Domain="standard")
    ip = made["PublicIp"]
    try:
        ec2.associate_address(PublicIp=ip, InstanceId=id)
        assert instance(ec2, id)["PublicIpAddress"] == ip
        shown = ec2.describe_addresses(PublicIps=[ip])["Addresses"]
        assert [a["InstanceId"] for a in shown] == [id]
        ec2.disassociate_address(PublicIp=ip)
        ec2.disassociate_address(PublicIp=ip)
    finally:
        ec2.release_address(PublicIp=ip)
    refused("InvalidAddress.NotFound", ec2.release_address, PublicIp=ip)
    refused("InvalidAddress.NotFound", ec2.describe_addresses, PublicIps=[ip])
    refused("InvalidAllocationID.NotFound", ec2.describe_addresses, AllocationIds=[made["AllocationId"]])


def test_filters_tags_and_attributes(ec2, launch, allocate):
    id, name = running(ec2, launch), fresh("eip")
    first, second = allocate(), allocate()
    ids = [first["AllocationId"], second["AllocationId"]]
    ec2.create_tags(Resources=ids, Tags=[{"Key": "Group", "Value": name}])
    ec2.create_tags(Resources=ids[:1], Tags=[{"Key": name, "Value": ""}])
    association = ec2.associate_address(AllocationId=ids[1], InstanceId=id)["AssociationId"]
    whole = address(ec2, ids[1])
    group = {"Name": "tag:Group", "Values": [name]}

    def found(filter, *values):
        filters = [group, {"Name": filter, "Values": list(values)}]
        return [a["AllocationId"] for a in ec2.describe_addresses(Filters=filters)["Addresses"]]

    assert found("tag-key", name) == ids[:1]
    assert found("public-ip", first["PublicIp"]) == ids[:1]
    assert found("allocation-id", ids[1]) == ids[1:]
    for filter, value in [
        ("association-id", association),
        ("instance-id", id),
        ("network-interface-id", whole["NetworkInterfaceId"]),
        ("network-interface-owner-id", whole["NetworkInterfaceOwnerId"]),
        ("private-ip-address", whole["PrivateIpAddress"]),
    ]:
        assert found(filter, value) == ids[1:], filter
    assert found("domain", "vpc") == found("network-border-group", "*") == sorted(ids)
    assert found("domain", "standard") == []
    refused("InvalidParameterValue", ec2.describe_addresses, Filters=[{"Name": "colour", "Values": ["red"]}])
    tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": ids[:1]}])["Tags"]
    assert {(t["Key"], t["ResourceType"]) for t in tags} == {("Group", "elastic-ip"), (name, "elastic-ip")}
    ec2.delete_tags(Resources=ids[:1], Tags=[{"Key": name}])
    assert found("tag-key", name) == []

    pages = ec2.get_paginator("describe_addresses_attribute").paginate(
        Attribute="domain-name", PaginationConfig={"PageSize": 1}
    )
    shown = [a for page in pages for a in page["Addresses"]]
    assert set(ids) <= {a["AllocationId"] for a in shown} and not any("PtrRecord" in a for a in shown)
    reset = ec2.reset_address_attribute(AllocationId=ids[0], Attribute="domain-name")["Address"]
    assert reset == {"AllocationId": ids[0], "PublicIp": first["PublicIp"]}
    # Nobody here answers for reverse names: not pretended.
    refused(
        "UnsupportedOperation", ec2.modify_address_attribute, AllocationId=ids[0], DomainName="mail.example.com"
    )


def test_a_quota_of_addresses(cloud, tenant):  # noqa: F811
    ec2 = tenant.client("ec2")
    assert tenant.client("service-quotas").get_service_quota(**QUOTA)["Quota"]["Value"] == 50
    tenant.limit("ec2:AllocateAddress", ec2__addressnumber=2)
    with ThreadPoolExecutor(6) as pool:
        made = [m for m in pool.map(lambda _: attempt(ec2.allocate_address), range(6)) if m]
    assert len(made) == 2
    assert "L-0263D0A3" in refused("AddressLimitExceeded", ec2.allocate_address)
    for one in made:
        ec2.release_address(AllocationId=one["AllocationId"])
    ec2.release_address(AllocationId=ec2.allocate_address()["AllocationId"])


def attempt(call, **parameters):
    try:
        return call(**parameters)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in ("AddressLimitExceeded", "Resource.AlreadyAssociated", "InvalidIPAddress.InUse"), error
        return None


def test_races_are_decided_once(cloud, ec2, launch, allocate):
    ids = [i["InstanceId"] for i in launch(MinCount=3, MaxCount=3)["Instances"]]
    wait(ec2, "instance_running", ids)
    made = allocate()
    me = {"AllocationId": made["AllocationId"], "AllowReassociation": False}
    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(lambda id: (id, attempt(ec2.associate_address, **me, InstanceId=id)), ids * 2))
    winners = {id for id, reply in won if reply}
    assert len(winners) == 1, "one instance has it"
    assert len({reply["AssociationId"] for _, reply in won if reply}) == 1
    (winner,) = winners
    assert [instance(ec2, id).get("PublicIpAddress") == made["PublicIp"] for id in ids] == [id == winner for id in ids]
    # Everybody wants it: somebody has it in the end, and nobody else.
    me["AllowReassociation"] = True
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda id: ec2.associate_address(**me, InstanceId=id), ids * 4))
    holder = address(ec2, made["AllocationId"])["InstanceId"]
    assert [instance(ec2, id).get("PublicIpAddress") == made["PublicIp"] for id in ids] == [id == holder for id in ids]
    # Two addresses for one interface: it shows one of them.
    other = allocate()
    with ThreadPoolExecutor(2) as pool:
        both = [{"AllocationId": one["AllocationId"]} for one in (made, other)]
        list(pool.map(lambda one: ec2.associate_address(**one, InstanceId=ids[0]), both * 2))
    shown = instance(ec2, ids[0])["PublicIpAddress"]
    assert shown in (made["PublicIp"], other["PublicIp"])
    leading = [a for a in (address(ec2, b["AllocationId"]) for b in both) if "AssociationId" in a]
    assert [a["PublicIp"] for a in leading] == [shown]
    sound(cloud)


def test_rights_name_the_address(cloud, ec2, launch, allocate):
    """A policy may be about one address, by whichever name the call has it."""
    id = running(ec2, launch)
    mine, other = allocate(), allocate()
    iam, name = cloud.client("iam"), fresh("netop")
    iam.create_user(UserName=name)
    account = iam.get_user(UserName=name)["User"]["Arn"].split(":")[4]
    arn = f"arn:aws:ec2:{ec2.meta.region_name}:{account}"
    statements = [
        {"Effect": "Allow", "Action": "ec2:*Address", "Resource": f"{arn}:elastic-ip/{mine['AllocationId']}"},
        {"Effect": "Allow", "Action": "ec2:AssociateAddress", "Resource": f"{arn}:instance/*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="one", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    try:
        client = cloud.client(
            "ec2", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
        )
        association = client.associate_address(PublicIp=mine["PublicIp"], InstanceId=id)["AssociationId"]
        refused("UnauthorizedOperation", client.associate_address, PublicIp=other["PublicIp"], InstanceId=id)
        refused("UnauthorizedOperation", client.release_address, AllocationId=other["AllocationId"])
        client.disassociate_address(AssociationId=association)
        refused("DryRunOperation", client.release_address, AllocationId=mine["AllocationId"], DryRun=True)
    finally:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName=name, PolicyName="one")
        iam.delete_user(UserName=name)
