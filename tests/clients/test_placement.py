"""Placement groups through boto3, unmodified, against a simulated cloud of three nodes."""

import uuid

import pytest
from botocore.exceptions import ClientError

from support import wait


@pytest.fixture
def group(ec2):
    """Makes groups and removes them afterwards."""
    made = []

    def make(**options):
        name = f"g-{uuid.uuid4()}"
        made.append(name)
        return ec2.create_placement_group(GroupName=name, **options)["PlacementGroup"]

    yield make
    for name in made:
        ec2.delete_placement_group(GroupName=name)


@pytest.fixture
def ended(ec2):
    """Instances to terminate before their groups go."""
    ids = []
    yield ids
    if ids:
        ec2.terminate_instances(InstanceIds=ids)
        wait(ec2, "instance_terminated", ids)


def run(ec2, image, ended, count=1, **placement):
    parameters = {"ImageId": image, "InstanceType": "t3.nano", "MinCount": count, "MaxCount": count}
    instances = ec2.run_instances(**parameters, Placement=placement)["Instances"]
    ended.extend(i["InstanceId"] for i in instances)
    return instances


def test_a_group_is_shown_as_it_was_made(ec2, group):
    tags = [{"ResourceType": "placement-group", "Tags": [{"Key": "Team", "Value": "a"}]}]
    made = group(Strategy="partition", PartitionCount=3, TagSpecifications=tags)
    assert made["State"] == "available" and made["Strategy"] == "partition" and made["PartitionCount"] == 3
    assert made["GroupId"].startswith("pg-") and made["GroupArn"].endswith(f":placement-group/{made['GroupName']}")
    found = ec2.describe_placement_groups(Filters=[{"Name": "tag:Team", "Values": ["a"]}])["PlacementGroups"]
    assert [g["GroupName"] for g in found] == [made["GroupName"]]
    ec2.create_tags(Resources=[made["GroupId"]], Tags=[{"Key": "Team", "Value": "b"}])
    found = ec2.describe_placement_groups(GroupIds=[made["GroupId"]])["PlacementGroups"]
    assert found[0]["Tags"] == [{"Key": "Team", "Value": "b"}]
    with pytest.raises(ClientError) as error:
        ec2.create_placement_group(GroupName=made["GroupName"])
    assert error.value.response["Error"]["Code"] == "InvalidPlacementGroup.Duplicate"
    with pytest.raises(ClientError) as error:
        ec2.describe_placement_groups(GroupNames=["none-such"])
    assert error.value.response["Error"]["Code"] == "InvalidPlacementGroup.Unknown"


def test_three_apart_and_the_fourth_is_told_why(cloud, ec2, image, group, ended):
    name = group(Strategy="spread")["GroupName"]
    instances = run(ec2, image, ended, 3, GroupName=name)
    assert {i["Placement"]["GroupName"] for i in instances} == {name}
    with pytest.raises(ClientError) as error:
        run(ec2, image, ended, 1, GroupName=name)
    assert error.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    assert error.value.response["Error"]["Message"].count("same spread placement group") == 3
    with pytest.raises(ClientError) as error:
        ec2.delete_placement_group(GroupName=name)
    assert error.value.response["Error"]["Code"] == "InvalidPlacementGroup.InUse"
    ec2.terminate_instances(InstanceIds=[ended.pop()])
    # One at a time, two nodes refuse the last: `mallee explain` says by what.
    wait(ec2, "instance_terminated", [instances[-1]["InstanceId"]])
    last = run(ec2, image, ended, 1, GroupName=name)[0]["InstanceId"]
    assert cloud.mallee("explain", last).stdout.count("same spread placement group") == 2


def test_partitions_are_numbered(ec2, image, group, ended):
    name = group(Strategy="partition", PartitionCount=2)["GroupName"]
    numbers = [i["Placement"]["PartitionNumber"] for i in run(ec2, image, ended, 2, GroupName=name)]
    assert sorted(numbers) == [1, 2]
    assert run(ec2, image, ended, 1, GroupName=name, PartitionNumber=2)[0]["Placement"]["PartitionNumber"] == 2


def test_a_template_may_name_the_group(ec2, image, group, ended):
    name = group(Strategy="cluster")["GroupName"]
    template = f"t-{uuid.uuid4()}"
    data = {"ImageId": image, "InstanceType": "t3.nano", "Placement": {"GroupName": name}}
    ec2.create_launch_template(LaunchTemplateName=template, LaunchTemplateData=data)
    instance = ec2.run_instances(LaunchTemplate={"LaunchTemplateName": template}, MinCount=1, MaxCount=1)["Instances"][0]
    ended.append(instance["InstanceId"])
    assert instance["Placement"]["GroupName"] == name
    ec2.delete_launch_template(LaunchTemplateName=template)
