"""Network interfaces through boto3 against a simulated cloud: made, plugged into instances that run, and what ends with whom."""

import time

import pytest
from botocore.exceptions import ClientError

from support import wait
from test_compute import one, refused


@pytest.fixture
def subnet(ec2):
    found = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    return sorted(found, key=lambda subnet: subnet["AvailabilityZone"])[0]


@pytest.fixture
def make(ec2, subnet):
    """Makes interfaces, and deletes those that are left."""
    ids = []

    def create(**options):
        made = ec2.create_network_interface(**{"SubnetId": subnet["SubnetId"], **options})["NetworkInterface"]
        ids.append(made["NetworkInterfaceId"])
        return ids[-1]

    yield create
    for eni in ec2.describe_network_interfaces(Filters=[{"Name": "network-interface-id", "Values": ids or ["none"]}])[
        "NetworkInterfaces"
    ]:
        if "Attachment" in eni:
            ec2.detach_network_interface(AttachmentId=eni["Attachment"]["AttachmentId"], Force=True)
        ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])


def eni(ec2, id):
    return ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"][0]


def until(ec2, id, status):
    deadline = time.monotonic() + 20
    while eni(ec2, id)["Status"] != status:
        assert time.monotonic() < deadline, eni(ec2, id)
        time.sleep(0.1)
    return eni(ec2, id)


def addresses(interface):
    return [address["PrivateIpAddress"] for address in interface["PrivateIpAddresses"]]


def running(ec2, launch, subnet, **options):
    where = {} if "NetworkInterfaces" in options else {"SubnetId": subnet["SubnetId"]}
    id = launch(**{**where, **options})["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [id])
    return id


def terminated(ec2, id):
    ec2.terminate_instances(InstanceIds=[id])
    wait(ec2, "instance_terminated", [id])


def test_an_interface_is_plugged_into_an_instance_that_runs_and_leaves_it(cloud, ec2, launch, subnet, make):
    first, second = running(ec2, launch, subnet), running(ec2, launch, subnet)
    id = make(Description="moves", SecondaryPrivateIpAddressCount=1)
    ec2.get_waiter("network_interface_available").wait(NetworkInterfaceIds=[id])
    shown = eni(ec2, id)
    assert "Attachment" not in shown and len(shown["PrivateIpAddresses"]) == 2
    attachment = ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=first, DeviceIndex=1)["AttachmentId"]
    now = until(ec2, id, "in-use")
    assert now["Attachment"]["InstanceId"] == first and now["Attachment"]["DeviceIndex"] == 1
    assert (now["Attachment"]["Status"], now["Attachment"]["DeleteOnTermination"]) == ("attached", False)
    both = sorted(one(ec2, first)["NetworkInterfaces"], key=lambda i: i["Attachment"]["DeviceIndex"])
    assert [i["Attachment"]["DeviceIndex"] for i in both] == [0, 1]
    assert addresses(both[1]) == addresses(shown)
    # The instance keeps its primary.
    assert one(ec2, first)["PrivateIpAddress"] == both[0]["PrivateIpAddress"]
    cloud.mallee("check")
    refused(
        "InvalidNetworkInterface.InUse",
        ec2.attach_network_interface,
        NetworkInterfaceId=id,
        InstanceId=second,
        DeviceIndex=1,
    )
    refused("InvalidParameterValue", ec2.delete_network_interface, NetworkInterfaceId=id)
    primary = both[0]["Attachment"]["AttachmentId"]
    refused("OperationNotPermitted", ec2.detach_network_interface, AttachmentId=primary)

    # It lets go of it, and the other takes it: on whichever host that is.
    ec2.detach_network_interface(AttachmentId=attachment)
    until(ec2, id, "available")
    assert len(one(ec2, first)["NetworkInterfaces"]) == 1
    ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=second, DeviceIndex=1)
    until(ec2, id, "in-use")
    cloud.mallee("check")

    # Over stop and start it is still there; it outlives the instance.
    ec2.stop_instances(InstanceIds=[second])
    wait(ec2, "instance_stopped", [second])
    ec2.start_instances(InstanceIds=[second])
    wait(ec2, "instance_running", [second])
    assert len(one(ec2, second)["NetworkInterfaces"]) == 2
    cloud.mallee("check")
    terminated(ec2, second)
    assert eni(ec2, id)["Status"] == "available"
    cloud.mallee("check")


def test_what_a_stopped_instance_is_given_it_starts_with(cloud, ec2, launch, subnet, make):
    instance, id = running(ec2, launch, subnet), make()
    ec2.stop_instances(InstanceIds=[instance])
    wait(ec2, "instance_stopped", [instance])
    attachment = ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=instance, DeviceIndex=3)["AttachmentId"]
    assert eni(ec2, id)["Attachment"]["Status"] == "attached"
    ec2.start_instances(InstanceIds=[instance])
    wait(ec2, "instance_running", [instance])
    cloud.mallee("check")
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=id, Attachment={"AttachmentId": attachment, "DeleteOnTermination": True}
    )
    terminated(ec2, instance)
    refused("InvalidNetworkInterfaceID.NotFound", ec2.describe_network_interfaces, NetworkInterfaceIds=[id])
    cloud.mallee("check")


def test_limits_are_those_of_the_type(ec2, launch, subnet, make):
    info = ec2.describe_instance_types(InstanceTypes=["t3.nano"])["InstanceTypes"][0]["NetworkInfo"]
    assert (info["MaximumNetworkInterfaces"], info["Ipv4AddressesPerInterface"]) == (2, 2)
    instance = running(ec2, launch, subnet)
    many, first, second = make(SecondaryPrivateIpAddressCount=2), make(), make()
    attach = {"InstanceId": instance, "DeviceIndex": 1}
    refused("PrivateIpAddressLimitExceeded", ec2.attach_network_interface, NetworkInterfaceId=many, **attach)
    ec2.attach_network_interface(NetworkInterfaceId=first, **attach)
    attach["DeviceIndex"] = 2
    error = refused("AttachmentLimitExceeded", ec2.attach_network_interface, NetworkInterfaceId=second, **attach)
    assert error["Error"]["Message"] == "Interface count 3 exceeds the limit for t3.nano"
    refused(
        "PrivateIpAddressLimitExceeded",
        ec2.assign_private_ip_addresses,
        NetworkInterfaceId=first,
        SecondaryPrivateIpAddressCount=2,
    )
    three = [{"DeviceIndex": n, "SubnetId": subnet["SubnetId"]} for n in range(3)]
    refused("AttachmentLimitExceeded", launch, NetworkInterfaces=three)


def test_a_public_address_of_a_secondary_address(cloud, ec2, launch, subnet, make):
    instance = running(ec2, launch, subnet)
    primary = one(ec2, instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    given = ec2.assign_private_ip_addresses(NetworkInterfaceId=primary, SecondaryPrivateIpAddressCount=1)
    second = given["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]
    made = ec2.allocate_address()
    try:
        ec2.associate_address(
            AllocationId=made["AllocationId"], NetworkInterfaceId=primary, PrivateIpAddress=second
        )
        shown = one(ec2, instance)["NetworkInterfaces"][0]
        assert addresses(shown) == [shown["PrivateIpAddress"], second]
        public = [address["Association"]["PublicIp"] for address in shown["PrivateIpAddresses"]]
        # The instance's own public address is that of its primary private one.
        assert public == [one(ec2, instance)["PublicIpAddress"], made["PublicIp"]]
        by = [{"Name": "addresses.association.public-ip", "Values": [made["PublicIp"]]}]
        found = ec2.describe_network_interfaces(Filters=by)["NetworkInterfaces"]
        assert [i["NetworkInterfaceId"] for i in found] == [primary]
        cloud.mallee("check")

        # To a free interface it may be given as well; with it, it comes to an instance.
        id = make()
        ec2.associate_address(AllocationId=made["AllocationId"], NetworkInterfaceId=id)
        where = ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"][0]
        assert where["NetworkInterfaceId"] == id and "InstanceId" not in where
        ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=instance, DeviceIndex=1)
        until(ec2, id, "in-use")
        where = ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"][0]
        assert where["InstanceId"] == instance
        refused("InvalidInstanceID", ec2.associate_address, AllocationId=made["AllocationId"], InstanceId=instance)
        ec2.unassign_private_ip_addresses(NetworkInterfaceId=primary, PrivateIpAddresses=[second])
        assert len(eni(ec2, primary)["PrivateIpAddresses"]) == 1
        cloud.mallee("check")
    finally:
        terminated(ec2, instance)
        where = ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"][0]
        if "AssociationId" in where:
            ec2.disassociate_address(AssociationId=where["AssociationId"])
        ec2.release_address(AllocationId=made["AllocationId"])


def test_a_launch_with_several_interfaces(cloud, ec2, launch, subnet, make):
    own = make(Description="mine")
    group = ec2.create_security_group(GroupName="second-nic", Description="d", VpcId=subnet["VpcId"])["GroupId"]
    instance = running(
        ec2,
        launch,
        subnet,
        NetworkInterfaces=[
            {
                "DeviceIndex": 1,
                "SubnetId": subnet["SubnetId"],
                "Groups": [group],
                "SecondaryPrivateIpAddressCount": 1,
                "DeleteOnTermination": False,
                "Description": "stays",
            },
            {"DeviceIndex": 0, "NetworkInterfaceId": own},
        ],
    )
    shown = one(ec2, instance)
    first, second = sorted(shown["NetworkInterfaces"], key=lambda i: i["Attachment"]["DeviceIndex"])
    assert first["NetworkInterfaceId"] == own and first["Description"] == "mine"
    assert shown["PrivateIpAddress"] == first["PrivateIpAddress"]
    # As on EC2, none comes by itself to one of several.
    assert "PublicIpAddress" not in shown
    assert (second["Groups"][0]["GroupId"], second["Description"]) == (group, "stays")
    assert len(second["PrivateIpAddresses"]) == 2
    assert [i["Attachment"]["DeleteOnTermination"] for i in (first, second)] == [False, False]
    assert [i["Attachment"]["Status"] for i in (first, second)] == ["attached", "attached"]
    cloud.mallee("check")
    terminated(ec2, instance)
    for id in (own, second["NetworkInterfaceId"]):
        assert eni(ec2, id)["Status"] == "available"
    ec2.delete_network_interface(NetworkInterfaceId=second["NetworkInterfaceId"])
    ec2.delete_security_group(GroupId=group)
    cloud.mallee("check")


def test_a_launch_with_named_addresses(cloud, ec2, launch, subnet):
    network = subnet["CidrBlock"].rsplit(".", 1)[0]
    wanted = [f"{network}.{n}" for n in (201, 202)]
    spec = {
        "DeviceIndex": 0,
        "SubnetId": subnet["SubnetId"],
        "AssociatePublicIpAddress": True,
        "PrivateIpAddresses": [
            {"PrivateIpAddress": wanted[0], "Primary": True},
            {"PrivateIpAddress": wanted[1], "Primary": False},
        ],
    }
    instance = running(ec2, launch, subnet, NetworkInterfaces=[spec])
    shown = one(ec2, instance)
    assert addresses(shown["NetworkInterfaces"][0]) == wanted and shown["PublicIpAddress"]
    refused("InvalidIPAddress.InUse", launch, NetworkInterfaces=[spec])
    with pytest.raises(ClientError):
        launch(NetworkInterfaces=[spec], MinCount=2, MaxCount=2)
    found = ec2.describe_instances(
        Filters=[{"Name": "network-interface.addresses.private-ip-address", "Values": [wanted[1]]}]
    )["Reservations"]
    assert found[0]["Instances"][0]["InstanceId"] == instance
    terminated(ec2, instance)
    cloud.mallee("check")
