"""Launch templates through boto3, unmodified, against a simulated cloud."""

import uuid

import pytest
from botocore.exceptions import ClientError

from support import wait


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response


@pytest.fixture
def template(ec2, image):
    name = f"web-{uuid.uuid4()}"
    data = {
        "ImageId": image,
        "InstanceType": "t3.micro",
        "DisableApiStop": False,
        "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True, "DeleteOnTermination": True}],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
    }
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, VersionDescription="first")
    assert "Warning" not in made, made["Warning"]
    yield made["LaunchTemplate"]
    ec2.delete_launch_template(LaunchTemplateId=made["LaunchTemplate"]["LaunchTemplateId"])


def test_what_is_given_is_what_is_shown(ec2, image, template):
    assert template["DefaultVersionNumber"] == template["LatestVersionNumber"] == 1
    version = ec2.describe_launch_template_versions(
        LaunchTemplateId=template["LaunchTemplateId"], Versions=["$Default"]
    )["LaunchTemplateVersions"][0]
    assert version["VersionDescription"] == "first" and version["DefaultVersion"] is True
    data = version["LaunchTemplateData"]
    assert data["ImageId"] == image and data["InstanceType"] == "t3.micro"
    assert data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is True
    assert data["TagSpecifications"][0]["Tags"] == [{"Key": "Name", "Value": template["LaunchTemplateName"]}]
    shown = ec2.describe_launch_templates(LaunchTemplateNames=[template["LaunchTemplateName"]])["LaunchTemplates"]
    assert [t["LaunchTemplateId"] for t in shown] == [template["LaunchTemplateId"]]


def test_a_launch_from_a_template_says_where_it_is_from(ec2, image, template):
    specification = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}
    instance = ec2.run_instances(LaunchTemplate=specification, MinCount=1, MaxCount=1)["Instances"][0]
    try:
        tags = {t["Key"]: t["Value"] for t in instance["Tags"]}
        assert tags["Name"] == template["LaunchTemplateName"]
        assert tags["aws:ec2launchtemplate:id"] == template["LaunchTemplateId"]
        assert tags["aws:ec2launchtemplate:version"] == "1"
        wait(ec2, "instance_running", [instance["InstanceId"]])
        data = ec2.get_launch_template_data(InstanceId=instance["InstanceId"])["LaunchTemplateData"]
        assert data["InstanceType"] == "t3.micro" and data["ImageId"] == image
    finally:
        ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])


def test_versions_are_paged_and_deleted_one_by_one(ec2, template):
    for n in range(12):
        ec2.create_launch_template_version(
            LaunchTemplateId=template["LaunchTemplateId"], SourceVersion="1", LaunchTemplateData={"KeyName": f"k{n}"}
        )
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateId=template["LaunchTemplateId"], PaginationConfig={"PageSize": 5}
    )
    numbers = [v["VersionNumber"] for page in pages for v in page["LaunchTemplateVersions"]]
    assert numbers == list(range(13, 0, -1))
    gone = ec2.delete_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"], Versions=["1", "13"])
    assert [v["VersionNumber"] for v in gone["SuccessfullyDeletedLaunchTemplateVersions"]] == [13]
    failed = gone["UnsuccessfullyDeletedLaunchTemplateVersions"][0]
    assert failed["VersionNumber"] == 1 and failed["ResponseError"]["Code"] == "unexpectedError"


def test_what_is_wrong_is_refused_at_once_or_by_name_at_the_launch(ec2, image, template):
    for data, code in [
        ({"ImageId": "emi-1"}, "InvalidAMIID.Malformed"),
        ({"UserData": "#!/bin/sh"}, "InvalidUserData.Malformed"),
        ({"SecurityGroupIds": ["web"]}, "InvalidGroupId.Malformed"),
        ({"MetadataOptions": {"HttpTokens": "maybe"}}, "InvalidParameterValue"),
    ]:
        refused(code, ec2.create_launch_template, LaunchTemplateName="bad", LaunchTemplateData=data)
    refused(
        "InvalidLaunchTemplateName.MalformedException",
        ec2.create_launch_template,
        LaunchTemplateName="a b c",
        LaunchTemplateData={"ImageId": image},
    )
    version = ec2.create_launch_template_version(
        LaunchTemplateId=template["LaunchTemplateId"],
        SourceVersion="$Latest",
        LaunchTemplateData={"RamDiskId": "ari-12345678"},
    )
    assert "RamdiskId" in version["Warning"]["Errors"][0]["Message"]
    number = str(version["LaunchTemplateVersion"]["VersionNumber"])
    specification = {"LaunchTemplateName": template["LaunchTemplateName"], "Version": number}
    reply = refused("Unsupported", ec2.run_instances, LaunchTemplate=specification, MinCount=1, MaxCount=1)
    assert "RamdiskId" in reply["Error"]["Message"]
