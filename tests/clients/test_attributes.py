"""Attributes of instances, images and types through boto3, unmodified, against a simulated cloud."""

import base64
import datetime
import struct
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
import zlib

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from support import wait
from test_compute import one, refused


def attribute(ec2, instance_id, name):
    reply = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute=name)
    key = name[0].upper() + name[1:]
    return reply[key]["Value"] if isinstance(reply[key], dict) else reply[key]


def running(ec2, launch, **options):
    instance_id = launch(**options)["Instances"][0]["InstanceId"]
    wait(ec2, "instance_running", [instance_id])
    return instance_id


def stop(ec2, instance_id):
    ec2.stop_instances(InstanceIds=[instance_id])
    wait(ec2, "instance_stopped", [instance_id])


def test_protection_as_terraform_uses_it(ec2, launch):
    instance_id = running(ec2, launch, DisableApiTermination=True)
    error = refused("OperationNotPermitted", ec2.terminate_instances, InstanceIds=[instance_id])
    assert "Modify its 'disableApiTermination' instance attribute" in error["Error"]["Message"]
    assert attribute(ec2, instance_id, "disableApiTermination") is True
    ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": False})
    assert attribute(ec2, instance_id, "disableApiTermination") is False
    ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiStop={"Value": True})
    error = refused("OperationNotPermitted", ec2.stop_instances, InstanceIds=[instance_id])
    assert "Modify its 'disableApiStop' instance attribute" in error["Error"]["Message"]
    ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiStop={"Value": False})
    refused("InvalidParameterCombination", ec2.modify_instance_attribute, InstanceId=instance_id)


def test_a_resize_takes_effect_at_the_next_start(ec2, launch):
    instance_id = running(ec2, launch)
    error = refused(
        "IncorrectInstanceState",
        ec2.modify_instance_attribute,
        InstanceId=instance_id,
        InstanceType={"Value": "t3.small"},
    )
    assert error["Error"]["Message"] == f"The instance '{instance_id}' is not in the 'stopped' state."
    stop(ec2, instance_id)
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "t3.small"})
    ec2.modify_instance_attribute(InstanceId=instance_id, UserData={"Value": b"#!/bin/sh\necho new"})
    data = attribute(ec2, instance_id, "userData")
    assert base64.b64decode(data) == b"#!/bin/sh\necho new"
    ec2.start_instances(InstanceIds=[instance_id])
    wait(ec2, "instance_running", [instance_id])
    assert one(ec2, instance_id)["InstanceType"] == "t3.small"
    console = ec2.get_console_output(InstanceId=instance_id, Latest=True)["Output"]
    assert "Memory: 2048M available, 2 CPUs" in console, "the domain itself has grown"


def test_a_size_no_node_has_room_for_is_refused_at_the_start(cloud, ec2, launch):
    instance_id = running(ec2, launch)
    stop(ec2, instance_id)
    extension(cloud, "ModifyInstanceTypeAttribute", Name="m5.16xlarge", Memory=str(8 << 20))
    try:
        ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "m5.16xlarge"})
        error = refused("InsufficientInstanceCapacity", ec2.start_instances, InstanceIds=[instance_id])
        assert "m5.16xlarge" in error["Error"]["Message"]
    finally:
        extension(cloud, "ModifyInstanceTypeAttribute", Name="m5.16xlarge", Reset="true")
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "t3.nano"})
    ec2.start_instances(InstanceIds=[instance_id])
    wait(ec2, "instance_running", [instance_id])


def test_metadata_options_reach_the_node(ec2, launch):
    instance_id = running(ec2, launch)
    reply = ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional", HttpEndpoint="disabled")
    assert reply["InstanceMetadataOptions"]["HttpTokens"] == "optional"
    for _ in range(2000):
        options = one(ec2, instance_id)["MetadataOptions"]
        if options["State"] == "applied":
            break
    assert (options["State"], options["HttpTokens"], options["HttpEndpoint"]) == ("applied", "optional", "disabled")
    assert one(ec2, instance_id)["State"]["Name"] == "running"


def test_defaults_of_the_account_hold_for_launches_that_say_nothing(ec2, launch):
    ec2.modify_instance_metadata_defaults(HttpTokens="optional", HttpPutResponseHopLimit=7)
    try:
        options = launch()["Instances"][0]["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("optional", 7)
        options = launch(MetadataOptions={"HttpTokens": "required"})["Instances"][0]["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 7)
    finally:
        ec2.modify_instance_metadata_defaults(HttpTokens="no-preference", HttpPutResponseHopLimit=-1)
    assert "HttpTokens" not in ec2.get_instance_metadata_defaults()["AccountLevel"]


def test_groups_of_a_running_instance(ec2, launch):
    instance_id = running(ec2, launch)
    group = ec2.create_security_group(GroupName="attributes", Description="of a test")["GroupId"]
    ec2.modify_instance_attribute(InstanceId=instance_id, Groups=[group])
    assert [g["GroupId"] for g in one(ec2, instance_id)["SecurityGroups"]] == [group]
    refused("DependencyViolation", ec2.delete_security_group, GroupId=group)
    ec2.modify_instance_attribute(InstanceId=instance_id, SourceDestCheck={"Value": False})
    assert one(ec2, instance_id)["SourceDestCheck"] is False
    ec2.reset_instance_attribute(InstanceId=instance_id, Attribute="sourceDestCheck")
    assert one(ec2, instance_id)["SourceDestCheck"] is True
    ec2.terminate_instances(InstanceIds=[instance_id])
    wait(ec2, "instance_terminated", [instance_id])
    ec2.delete_security_group(GroupId=group)


def test_the_status_waiters_pass_at_delay_0(ec2, launch):
    instance_id = running(ec2, launch)
    wait(ec2, "instance_status_ok", [instance_id])
    wait(ec2, "system_status_ok", [instance_id])
    ec2.reboot_instances(InstanceIds=[instance_id])
    wait(ec2, "instance_status_ok", [instance_id])
    status = ec2.describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"][0]
    assert status["InstanceStatus"]["Details"] == [{"Name": "reachability", "Status": "passed"}]


def pixels(png):
    """Width, height, and the colours of a PNG without filters, read by zlib."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        (crc,) = struct.unpack(">I", png[at + 8 + size : at + 12 + size])
        assert crc == zlib.crc32(kind + data)
        chunks[kind] = chunks.get(kind, b"") + data
        at += 12 + size
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    raw = zlib.decompress(chunks[b"IDAT"])
    step = {2: 3, 3: 1}[colour] * depth // 8
    assert len(raw) == height * (width * step + 1)
    return width, height, set(raw)


def test_a_picture_of_the_screen_an_interrupt_and_no_password(ec2, launch):
    instance_id = running(ec2, launch)
    picture = base64.b64decode(ec2.get_console_screenshot(InstanceId=instance_id)["ImageData"])
    width, height, colours = pixels(picture)
    assert (width, height) == (720, 400) and len(colours) > 1, "something is on it"
    assert len(picture) < 20_000
    ec2.send_diagnostic_interrupt(InstanceId=instance_id)
    assert "NMI received" in ec2.get_console_output(InstanceId=instance_id, Latest=True)["Output"]
    assert ec2.get_password_data(InstanceId=instance_id)["PasswordData"] == ""
    stop(ec2, instance_id)
    refused("IncorrectInstanceState", ec2.get_console_screenshot, InstanceId=instance_id)
    refused("IncorrectInstanceState", ec2.send_diagnostic_interrupt, InstanceId=instance_id)


def test_monitoring_credits_and_what_terraform_reads(ec2, launch):
    instance_id = running(ec2, launch)
    reply = ec2.monitor_instances(InstanceIds=[instance_id])["InstanceMonitorings"][0]
    assert (reply["InstanceId"], reply["Monitoring"]["State"]) == (instance_id, "enabled")
    assert one(ec2, instance_id)["Monitoring"]["State"] == "enabled"
    ec2.unmonitor_instances(InstanceIds=[instance_id])
    assert one(ec2, instance_id)["Monitoring"]["State"] == "disabled"
    credits = ec2.describe_instance_credit_specifications(InstanceIds=[instance_id])["InstanceCreditSpecifications"]
    assert credits == [{"InstanceId": instance_id, "CpuCredits": "unlimited"}]
    for name in ("instanceInitiatedShutdownBehavior", "disableApiStop", "disableApiTermination"):
        attribute(ec2, instance_id, name)
    launched = launch(CapacityReservationSpecification={"CapacityReservationPreference": "none"})["Instances"][0]
    specification = one(ec2, launched["InstanceId"])["CapacityReservationSpecification"]
    assert specification["CapacityReservationPreference"] == "none"


def test_an_interface_is_described_regrouped_and_checked(ec2, launch):
    instance_id = running(ec2, launch)
    interface = one(ec2, instance_id)["NetworkInterfaces"][0]
    me = {"NetworkInterfaceId": interface["NetworkInterfaceId"]}

    def shown(name):
        reply = ec2.describe_network_interface_attribute(**me, Attribute=name)
        assert reply["NetworkInterfaceId"] == me["NetworkInterfaceId"]
        return reply

    ec2.modify_network_interface_attribute(**me, Description={"Value": "the front"})
    assert shown("description")["Description"]["Value"] == "the front"
    assert one(ec2, instance_id)["NetworkInterfaces"][0]["Description"] == "the front"
    group = ec2.create_security_group(GroupName="of-the-interface", Description="d")["GroupId"]
    before = [g["GroupId"] for g in interface["Groups"]]
    ec2.modify_network_interface_attribute(**me, Groups=[group])
    assert [g["GroupId"] for g in shown("groupSet")["Groups"]] == [group]
    assert [g["GroupId"] for g in one(ec2, instance_id)["SecurityGroups"]] == [group]
    ec2.modify_network_interface_attribute(**me, Groups=before)
    ec2.delete_security_group(GroupId=group)
    ec2.modify_network_interface_attribute(**me, SourceDestCheck={"Value": False})
    assert shown("sourceDestCheck")["SourceDestCheck"] == {"Value": False}
    ec2.reset_network_interface_attribute(**me, SourceDestCheck="true")
    assert shown("sourceDestCheck")["SourceDestCheck"] == {"Value": True}

    attachment = shown("attachment")["Attachment"]["AttachmentId"]
    kept = {"AttachmentId": attachment, "DeleteOnTermination": True}
    ec2.modify_network_interface_attribute(**me, Attachment=kept)
    kept["DeleteOnTermination"] = False
    ec2.modify_network_interface_attribute(**me, Attachment=kept)
    assert shown("attachment")["Attachment"]["DeleteOnTermination"] is False
    kept["DeleteOnTermination"] = True
    ec2.modify_network_interface_attribute(**me, Attachment=kept)
    refused("InvalidParameterCombination", ec2.modify_network_interface_attribute, **me)
    both = {"Description": {"Value": "x"}, "Groups": before}
    refused("InvalidParameterCombination", ec2.modify_network_interface_attribute, **me, **both)
    nobody = {"NetworkInterfaceId": "eni-00000000000000009", "Description": {"Value": "x"}}
    refused("InvalidNetworkInterfaceID.NotFound", ec2.modify_network_interface_attribute, **nobody)
    refused("InvalidParameterValue", ec2.describe_network_interface_attribute, **me, Attribute="colour")


def test_an_image_is_hidden_protected_and_let_go(ec2, image):
    assert ec2.describe_image_attribute(ImageId=image, Attribute="description")["ImageId"] == image
    ec2.modify_image_attribute(ImageId=image, Description={"Value": "small"})
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["Description"] == "small"
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": "000000000099"}]})
    permissions = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]
    assert {"UserId": "000000000099"} in permissions
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Remove": [{"UserId": "000000000099"}]})
    ec2.enable_image_deregistration_protection(ImageId=image)
    refused("OperationNotPermitted", ec2.deregister_image, ImageId=image)
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["DeregistrationProtection"] == "enabled-without-cooldown"
    assert ec2.disable_image_deregistration_protection(ImageId=image)["Return"] == "disabled"
    in_an_hour = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    ec2.enable_image_deprecation(ImageId=image, DeprecateAt=in_an_hour)
    assert "DeprecationTime" in ec2.describe_images(ImageIds=[image])["Images"][0]
    ec2.disable_image_deprecation(ImageId=image)
    wait_image = ec2.get_waiter("image_available")
    wait_image.wait(ImageIds=[image], WaiterConfig={"Delay": 0, "MaxAttempts": 100})


def extension(cloud, action, **parameters):
    """An operation that no client has: signed by hand."""
    environment = cloud.environment
    body = urllib.parse.urlencode({"Action": action, "Version": "2016-11-15", **parameters}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", environment["AWS_ENDPOINT_URL"] + "/", data=body, headers=headers)
    credentials = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, "ec2", environment["AWS_DEFAULT_REGION"]).add_auth(request)
    sent = urllib.request.Request(request.url, data=body, headers=dict(request.headers), method="POST")
    with urllib.request.urlopen(sent, timeout=10) as reply:
        return ElementTree.fromstring(reply.read())


def test_the_administrator_changes_a_type_and_sees_what_fits(cloud, ec2, launch):
    def available():
        reply = extension(cloud, "DescribeInstanceTypeCapacity", InstanceType="t3.medium")
        return [int(e.text) for e in reply.iter() if e.tag.endswith("}available")]

    before = available()
    assert all(n > 0 for n in before)
    extension(cloud, "ModifyInstanceTypeAttribute", Name="t3.medium", Memory="1024", Cpu="1")
    try:
        info = ec2.describe_instance_types(InstanceTypes=["t3.medium"])["InstanceTypes"][0]
        assert (info["MemoryInfo"]["SizeInMiB"], info["VCpuInfo"]["DefaultVCpus"]) == (1024, 1)
        instance_id = running(ec2, launch, InstanceType="t3.medium")
        console = ec2.get_console_output(InstanceId=instance_id, Latest=True)["Output"]
        assert "Memory: 1024M available, 1 CPUs" in console
        assert sum(available()) > sum(before)
    finally:
        extension(cloud, "ModifyInstanceTypeAttribute", Name="t3.medium", Reset="true")


def test_ids_and_types_by_requirements(ec2):
    assert all(status["UseLongIds"] for status in ec2.describe_id_format()["Statuses"])
    assert ec2.describe_aggregate_id_format()["UseLongIdsAggregated"] is True
    found = ec2.get_instance_types_from_instance_requirements(
        ArchitectureTypes=["x86_64"],
        VirtualizationTypes=["hvm"],
        InstanceRequirements={"VCpuCount": {"Min": 4, "Max": 4}, "MemoryMiB": {"Min": 32768}},
    )["InstanceTypes"]
    assert [t["InstanceType"] for t in found] == ["r5.xlarge"]
