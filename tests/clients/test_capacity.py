"""Capacity reservations through boto3 and the AWS CLI, unmodified, against a simulated cloud of three nodes."""

import datetime
import json
import os
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from support import wait


@pytest.fixture
def reserve(ec2):
    """Makes reservations and cancels them afterwards."""
    made = []

    def make(count=1, **options):
        zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
        parameters = {"InstanceType": "t3.nano", "InstancePlatform": "Linux/UNIX", "AvailabilityZone": zone}
        reply = ec2.create_capacity_reservation(**parameters, InstanceCount=count, **options)
        made.append(reply["CapacityReservation"]["CapacityReservationId"])
        return reply["CapacityReservation"]

    yield make
    for reservation in ec2.describe_capacity_reservations()["CapacityReservations"]:
        if reservation["CapacityReservationId"] in made and reservation["State"] == "active":
            ec2.cancel_capacity_reservation(CapacityReservationId=reservation["CapacityReservationId"])


def code(error):
    return error.value.response["Error"]["Code"]


def shown(ec2, reservation):
    ids = [reservation["CapacityReservationId"]]
    return ec2.describe_capacity_reservations(CapacityReservationIds=ids)["CapacityReservations"][0]


def test_a_reservation_is_shown_as_it_was_made(ec2, reserve):
    tags = [{"ResourceType": "capacity-reservation", "Tags": [{"Key": "Team", "Value": "a"}]}]
    made = reserve(3, InstanceMatchCriteria="targeted", TagSpecifications=tags, ClientToken="capacity-1")
    assert made["CapacityReservationId"].startswith("cr-") and made["State"] == "active"
    assert made["TotalInstanceCount"] == made["AvailableInstanceCount"] == 3
    assert made["EndDateType"] == "unlimited" and made["Tenancy"] == "default"
    assert made["CapacityReservationArn"].endswith(f":capacity-reservation/{made['CapacityReservationId']}")
    again = reserve(3, InstanceMatchCriteria="targeted", TagSpecifications=tags, ClientToken="capacity-1")
    assert again["CapacityReservationId"] == made["CapacityReservationId"]
    with pytest.raises(ClientError) as error:
        reserve(2, ClientToken="capacity-1")
    assert code(error) == "IdempotentParameterMismatch"
    for filters in (
        [{"Name": "tag:Team", "Values": ["a"]}],
        [{"Name": "instance-match-criteria", "Values": ["targeted"]}, {"Name": "state", "Values": ["active"]}],
    ):
        found = ec2.describe_capacity_reservations(Filters=filters)["CapacityReservations"]
        assert made["CapacityReservationId"] in [r["CapacityReservationId"] for r in found]
    ec2.create_tags(Resources=[made["CapacityReservationId"]], Tags=[{"Key": "Team", "Value": "b"}])
    assert shown(ec2, made)["Tags"] == [{"Key": "Team", "Value": "b"}]
    more = reserve(1)
    pages = ec2.get_paginator("describe_capacity_reservations").paginate(PaginationConfig={"PageSize": 1})
    ids = [r["CapacityReservationId"] for page in pages for r in page["CapacityReservations"]]
    assert {made["CapacityReservationId"], more["CapacityReservationId"]} <= set(ids) and len(ids) == len(set(ids))


def test_launches_use_it_as_they_wish(ec2, reserve, launch):
    made = reserve(2)
    first = launch()["Instances"][0]
    assert first["CapacityReservationId"] == made["CapacityReservationId"]
    assert first["CapacityReservationSpecification"] == {"CapacityReservationPreference": "open"}
    outside = launch(CapacityReservationSpecification={"CapacityReservationPreference": "none"})["Instances"][0]
    assert "CapacityReservationId" not in outside
    target = {"CapacityReservationTarget": {"CapacityReservationId": made["CapacityReservationId"]}}
    second = launch(CapacityReservationSpecification=target)["Instances"][0]
    wait(ec2, "instance_running", [first["InstanceId"], second["InstanceId"]])
    assert shown(ec2, made)["AvailableInstanceCount"] == 0
    usage = ec2.get_capacity_reservation_usage(CapacityReservationId=made["CapacityReservationId"])
    assert usage["InstanceUsages"][0]["UsedInstanceCount"] == 2 and usage["AvailableInstanceCount"] == 0
    with pytest.raises(ClientError) as error:
        launch(CapacityReservationSpecification=target)
    assert code(error) == "ReservationCapacityExceeded"
    with pytest.raises(ClientError) as error:
        ec2.modify_capacity_reservation(CapacityReservationId=made["CapacityReservationId"], InstanceCount=1)
    assert code(error) == "InvalidParameterValue"
    ec2.stop_instances(InstanceIds=[second["InstanceId"]])
    wait(ec2, "instance_stopped", [second["InstanceId"]])
    assert shown(ec2, made)["AvailableInstanceCount"] == 1
    ec2.modify_instance_capacity_reservation_attributes(
        InstanceId=second["InstanceId"],
        CapacityReservationSpecification={"CapacityReservationPreference": "none"},
    )
    ec2.start_instances(InstanceIds=[second["InstanceId"]])
    wait(ec2, "instance_running", [second["InstanceId"]])
    assert shown(ec2, made)["AvailableInstanceCount"] == 1, "it was started outside"


def test_room_that_is_not_there_is_told_with_reasons(ec2, reserve):
    with pytest.raises(ClientError) as error:
        reserve(1000)
    assert code(error) == "InsufficientInstanceCapacity"
    assert "free" in error.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as error:
        ec2.describe_capacity_reservations(CapacityReservationIds=["cr-0123456789abcdef0"])
    assert code(error) == "InvalidCapacityReservationId.NotFound"


def test_it_ends_by_its_date_or_when_it_is_cancelled(ec2, reserve):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    made = reserve(1, EndDateType="limited", EndDate=soon)
    assert made["EndDateType"] == "limited"
    deadline = time.monotonic() + 30
    while shown(ec2, made)["State"] != "expired":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    other = reserve(1)
    ec2.cancel_capacity_reservation(CapacityReservationId=other["CapacityReservationId"])
    assert shown(ec2, other)["State"] == "cancelled"
    with pytest.raises(ClientError) as error:
        ec2.cancel_capacity_reservation(CapacityReservationId=other["CapacityReservationId"])
    assert code(error) == "InvalidCapacityReservationState"


def test_the_aws_cli_makes_and_cancels_one(cloud, ec2):
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    aws = os.path.join(os.path.dirname(os.sys.executable), "aws")

    def run(*arguments):
        command = [aws, "ec2", *arguments, "--output", "json"]
        result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **cloud.environment})
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    options = ["--instance-type", "t3.nano", "--instance-platform", "Linux/UNIX", "--availability-zone", zone]
    made = run("create-capacity-reservation", *options, "--instance-count", "2")["CapacityReservation"]
    ids = ["--capacity-reservation-id", made["CapacityReservationId"]]
    assert run("modify-capacity-reservation", *ids, "--instance-count", "1")["Return"]
    assert run("get-capacity-reservation-usage", *ids)["TotalInstanceCount"] == 1
    assert run("cancel-capacity-reservation", *ids)["Return"]


def test_a_host_is_allocated_used_and_released(ec2, launch):
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    tags = [{"ResourceType": "dedicated-host", "Tags": [{"Key": "Team", "Value": "h"}]}]
    [host] = ec2.allocate_hosts(
        AvailabilityZone=zone, InstanceFamily="t3", Quantity=1, AutoPlacement="off", TagSpecifications=tags
    )["HostIds"]
    try:
        [shown] = ec2.describe_hosts(HostIds=[host])["Hosts"]
        assert shown["State"] == "available" and shown["AutoPlacement"] == "off"
        assert shown["AllowsMultipleInstanceTypes"] == "on" and shown["HostRecovery"] == "off"
        before = {c["InstanceType"]: c for c in shown["AvailableCapacity"]["AvailableInstanceCapacity"]}
        assert before["t3.nano"]["AvailableCapacity"] == before["t3.nano"]["TotalCapacity"] > 0
        with pytest.raises(ClientError) as error:
            launch(Placement={"Tenancy": "host"})
        assert code(error) == "InsufficientHostCapacity"
        instance = launch(Placement={"Tenancy": "host", "HostId": host, "Affinity": "host"})["Instances"][0]
        assert instance["Placement"]["HostId"] == host and instance["Placement"]["Affinity"] == "host"
        wait(ec2, "instance_running", [instance["InstanceId"]])
        [shown] = ec2.describe_hosts(Filter=[{"Name": "tag:Team", "Values": ["h"]}, {"Name": "state", "Values": ["available"]}])["Hosts"]
        assert [i["InstanceId"] for i in shown["Instances"]] == [instance["InstanceId"]]
        after = {c["InstanceType"]: c for c in shown["AvailableCapacity"]["AvailableInstanceCapacity"]}
        assert after["t3.nano"]["AvailableCapacity"] == before["t3.nano"]["AvailableCapacity"] - 1
        reply = ec2.release_hosts(HostIds=[host])
        assert reply["Successful"] == [] and reply["Unsuccessful"][0]["ResourceId"] == host
        ec2.stop_instances(InstanceIds=[instance["InstanceId"]])
        wait(ec2, "instance_stopped", [instance["InstanceId"]])
        assert ec2.modify_instance_placement(InstanceId=instance["InstanceId"], Affinity="default")["Return"]
        ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
        wait(ec2, "instance_terminated", [instance["InstanceId"]])
    finally:
        assert ec2.release_hosts(HostIds=[host])["Successful"] == [host]
