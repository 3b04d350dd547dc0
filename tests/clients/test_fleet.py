"""Fleets through boto3 and the AWS CLI, unmodified, against a simulated cloud."""

import datetime
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from support import wait

SECONDS_MAX = 30


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def until(what, look):
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        seen = look()
        if seen[0]:
            return seen[1]
        assert time.monotonic() < deadline, f"{what}: {seen[1]}"
        time.sleep(0.05)


def fleet_of(ec2, fleet):
    return ec2.describe_fleets(FleetIds=[fleet])["Fleets"][0]


def until_fleet(ec2, fleet, **wanted):
    def look():
        seen = fleet_of(ec2, fleet)
        return all(seen.get(key) == value for key, value in wanted.items()), seen

    return until(f"{fleet} has {wanted}", look)


@pytest.fixture
def template(ec2, image):
    name = f"fleet-{uuid.uuid4()}"
    data = {
        "ImageId": image,
        "InstanceType": "t3.nano",
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "From", "Value": name}]}],
    }
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    yield made["LaunchTemplateId"]
    ec2.delete_launch_template(LaunchTemplateId=made["LaunchTemplateId"])


@pytest.fixture
def fleet(ec2, template):
    """Makes fleets and deletes them with their instances afterwards."""
    made = []

    def make(kind, total, overrides=(), **options):
        config = {
            "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Latest"},
            "Overrides": list(overrides),
        }
        target = {"TotalTargetCapacity": total, "DefaultTargetCapacityType": "on-demand"}
        target.update(options.pop("Target", {}))
        reply = ec2.create_fleet(
            Type=kind, LaunchTemplateConfigs=[config], TargetCapacitySpecification=target, **options
        )
        made.append(reply["FleetId"])
        return reply

    yield make
    if made:
        gone = ec2.delete_fleets(FleetIds=made, TerminateInstances=True)
        assert not gone["UnsuccessfulFleetDeletions"], gone
        for one in made:
            until_fleet(ec2, one, FleetState="deleted")


def test_an_instant_fleet_is_there_when_the_call_returns(ec2, fleet, template):
    tags = [
        {"ResourceType": "fleet", "Tags": [{"Key": "Team", "Value": "a"}]},
        {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "worker"}]},
    ]
    overrides = [{"InstanceType": "t3.micro", "WeightedCapacity": 2.0}]
    made = fleet("instant", 3, overrides, TagSpecifications=tags)
    assert made["Errors"] == []
    group = made["Instances"][0]
    assert group["InstanceType"] == "t3.micro" and group["Lifecycle"] == "on-demand"
    assert len(group["InstanceIds"]) == 2, "2 each"
    assert group["LaunchTemplateAndOverrides"]["LaunchTemplateSpecification"]["LaunchTemplateId"] == template
    wait(ec2, "instance_running", group["InstanceIds"])
    shown = ec2.describe_instances(InstanceIds=group["InstanceIds"])["Reservations"]
    for instance in (i for r in shown for i in r["Instances"]):
        tags = {t["Key"]: t["Value"] for t in instance["Tags"]}
        assert tags["aws:ec2:fleet-id"] == made["FleetId"] and tags["Name"] == "worker" and "From" in tags
    data = fleet_of(ec2, made["FleetId"])
    assert (data["FleetState"], data["ActivityStatus"], data["FulfilledCapacity"]) == ("active", "fulfilled", 4.0)
    assert data["Tags"] == [{"Key": "Team", "Value": "a"}]
    assert data["Instances"][0]["InstanceIds"] == group["InstanceIds"]
    assert data["LaunchTemplateConfigs"][0]["Overrides"][0]["WeightedCapacity"] == 2.0
    refused("Unsupported", ec2.describe_fleet_instances, FleetId=made["FleetId"])


def test_what_cannot_be_launched_is_said_for_each_override(fleet):
    made = fleet("instant", 2, [{"InstanceType": "m5.16xlarge", "ImageId": "ami-00000000000000000"}])
    assert made["Instances"] == []
    error = made["Errors"][0]
    assert error["ErrorCode"] == "InvalidAMIID.NotFound" and error["Lifecycle"] == "on-demand"
    assert error["LaunchTemplateAndOverrides"]["Overrides"]["InstanceType"] == "m5.16xlarge"


def test_a_maintained_fleet_is_kept_at_its_target(ec2, fleet):
    made = fleet("maintain", 2)["FleetId"]
    until_fleet(ec2, made, ActivityStatus="fulfilled", FulfilledCapacity=2.0)
    active = ec2.describe_fleet_instances(FleetId=made)["ActiveInstances"]
    first = active[0]["InstanceId"]
    assert len(active) == 2 and active[0]["InstanceHealth"] == "healthy"
    ec2.terminate_instances(InstanceIds=[first])

    def replaced():
        ids = [i["InstanceId"] for i in ec2.describe_fleet_instances(FleetId=made)["ActiveInstances"]]
        return len(ids) == 2 and first not in ids, ids

    until("it is replaced", replaced)
    ec2.modify_fleet(FleetId=made, TargetCapacitySpecification={"TotalTargetCapacity": 1})
    until_fleet(ec2, made, FleetState="active", FulfilledCapacity=1.0)
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    events = ec2.describe_fleet_history(FleetId=made, StartTime=start)["HistoryRecords"]
    words = [e["EventInformation"]["EventSubType"] for e in events]
    assert words[:2] == ["submitted", "active"] and words.count("launched") == 3
    assert {"terminated", "modify_in_progress", "modify_succeeded", "termination_notified"} <= set(words)
    errors = ec2.describe_fleet_history(FleetId=made, StartTime=start, EventType="service-error")
    assert errors["HistoryRecords"] == []
    by_state = [{"Name": "fleet-state", "Values": ["active"]}, {"Name": "type", "Values": ["maintain"]}]
    pages = ec2.get_paginator("describe_fleets").paginate(Filters=by_state, PaginationConfig={"PageSize": 1})
    assert made in [f["FleetId"] for page in pages for f in page["Fleets"]]


def test_attributes_choose_types_and_spot_is_spot(ec2, fleet):
    wanted = {
        "VCpuCount": {"Min": 2, "Max": 2},
        "MemoryMiB": {"Min": 512, "Max": 1024},
        "BurstablePerformance": "required",
        "InstanceGenerations": ["current"],
    }
    made = fleet(
        "maintain",
        4,
        [{"InstanceRequirements": wanted}],
        Target={"TargetCapacityUnitType": "vcpu", "DefaultTargetCapacityType": "spot"},
        SpotOptions={"AllocationStrategy": "price-capacity-optimized"},
    )["FleetId"]
    until_fleet(ec2, made, ActivityStatus="fulfilled", FulfilledCapacity=4.0, FulfilledOnDemandCapacity=0.0)
    active = ec2.describe_fleet_instances(FleetId=made)["ActiveInstances"]
    assert [i["InstanceType"] for i in active] == ["t3.nano", "t3.nano"], "what takes least"
    assert all(i["SpotInstanceRequestId"].startswith("sir-") for i in active)
    shown = ec2.describe_instances(InstanceIds=[i["InstanceId"] for i in active])["Reservations"]
    assert {i["InstanceLifecycle"] for r in shown for i in r["Instances"]} == {"spot"}


def test_what_is_wrong_or_not_honoured_is_refused_by_name(ec2, fleet, template):
    def config(**specification):
        specification = {"LaunchTemplateId": template, "Version": "1", **specification}
        return [{"LaunchTemplateSpecification": specification}]

    target = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
    good = {"LaunchTemplateConfigs": config(), "TargetCapacitySpecification": target, "Type": "instant"}
    for change, code in [
        ({"LaunchTemplateConfigs": config(Version="7")}, "InvalidLaunchTemplateId.VersionNotFound"),
        ({"LaunchTemplateConfigs": config(LaunchTemplateId="lt-00000000000000000")}, "InvalidLaunchTemplateId.NotFound"),
        ({"TargetCapacitySpecification": {**target, "SpotTargetCapacity": 2}}, "InvalidParameterValue"),
        ({"OnDemandOptions": {"MinTargetCapacity": 1}}, "InvalidFleetConfig"),
        ({"Type": "maintain", "OnDemandOptions": {"SingleInstanceType": True}}, "InvalidFleetConfig"),
        ({"ReplaceUnhealthyInstances": True}, "InvalidFleetConfig"),
        ({"DryRun": True}, "DryRunOperation"),
    ]:
        refused(code, ec2.create_fleet, **{**good, **change})
    for name, change in [
        ("Context", {"Context": "x"}),
        ("MaxTotalPrice", {"OnDemandOptions": {"MaxTotalPrice": "1"}}),
        ("MaintenanceStrategies", {"SpotOptions": {"MaintenanceStrategies": {"CapacityRebalance": {
            "ReplacementStrategy": "launch"}}}}),
        ("InstanceInterruptionBehavior", {"SpotOptions": {"InstanceInterruptionBehavior": "stop"}}),
    ]:
        with pytest.raises(ClientError) as error:
            ec2.create_fleet(**{**good, **change})
        assert name in error.value.response["Error"]["Message"], error.value
    refused("InvalidFleetId.NotFound", ec2.describe_fleets, FleetIds=["fleet-00000000000000000"])
    refused("InvalidFleetId.Malformed", ec2.describe_fleets, FleetIds=["fleet-x"])
    gone = ec2.delete_fleets(FleetIds=["fleet-00000000000000000", "x"], TerminateInstances=True)
    codes = [item["Error"]["Code"] for item in gone["UnsuccessfulFleetDeletions"]]
    assert codes == ["fleetIdDoesNotExist", "fleetIdMalformed"]
    request = fleet("request", 1)["FleetId"]
    change = {"TargetCapacitySpecification": {"TotalTargetCapacity": 2}}
    assert "maintain" in refused("Unsupported", ec2.modify_fleet, FleetId=request, **change)


def test_a_token_makes_one_fleet(ec2, fleet):
    token = str(uuid.uuid4())
    first, again = (fleet("instant", 1, ClientToken=token) for _ in range(2))
    assert first["FleetId"] == again["FleetId"] and first["Instances"] == again["Instances"]
    with pytest.raises(ClientError) as error:
        fleet("instant", 2, ClientToken=token)
    assert error.value.response["Error"]["Code"] == "IdempotentParameterMismatch"


def test_the_command_line_client(cloud, fleet):
    made = fleet("request", 1)["FleetId"]
    aws = Path(sys.executable).parent / "aws"
    shown = subprocess.run(
        [aws, "ec2", "describe-fleets", "--fleet-ids", made, "--output", "json", "--endpoint-url", cloud.endpoint],
        env={**os.environ, **cloud.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(shown.stdout)["Fleets"][0]["Type"] == "request"
