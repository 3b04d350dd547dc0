"""Spot instances through boto3 and the AWS CLI, unmodified, against a simulated cloud of three nodes."""

import datetime
import json
import os
import sys
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from support import PATIENCE, run, wait


def code(error):
    return error.value.response["Error"]["Code"]


@pytest.fixture
def spot(ec2, image):
    """Makes spot requests; cancels them and terminates their instances afterwards."""
    made = []

    def request(count=1, specification=None, **options):
        launch = {"ImageId": image, "InstanceType": "t3.nano", **(specification or {})}
        reply = ec2.request_spot_instances(InstanceCount=count, LaunchSpecification=launch, **options)
        ids = [r["SpotInstanceRequestId"] for r in reply["SpotInstanceRequests"]]
        made.extend(ids)
        return reply["SpotInstanceRequests"]

    yield request
    if made:
        ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=made)
        end(ec2, made)


def end(ec2, requests):
    filters = [{"Name": "spot-instance-request-id", "Values": requests}]
    ids = [
        i["InstanceId"]
        for r in ec2.describe_instances(Filters=filters)["Reservations"]
        for i in r["Instances"]
        if i["State"]["Name"] != "terminated"
    ]
    if ids:
        ec2.terminate_instances(InstanceIds=ids)
        wait(ec2, "instance_terminated", ids)


def fulfilled(ec2, ids):
    waiter = ec2.get_waiter("spot_instance_request_fulfilled")
    waiter.wait(SpotInstanceRequestIds=ids, WaiterConfig=PATIENCE)
    return described(ec2, ids)


def described(ec2, ids):
    return ec2.describe_spot_instance_requests(SpotInstanceRequestIds=ids)["SpotInstanceRequests"]


def test_requests_are_fulfilled_shown_and_cancelled(cloud, ec2, spot):
    tags = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "Team", "Value": "a"}]}]
    token = str(uuid.uuid4())
    made = spot(count=2, TagSpecifications=tags, SpotPrice="0.5", ClientToken=token)
    assert {r["State"] for r in made} <= {"open", "active"} and {r["Type"] for r in made} == {"one-time"}
    ids = sorted(r["SpotInstanceRequestId"] for r in made)
    again = spot(count=2, TagSpecifications=tags, SpotPrice="0.5", ClientToken=token)
    assert sorted(r["SpotInstanceRequestId"] for r in again) == ids
    with pytest.raises(ClientError) as error:
        spot(count=1, SpotPrice="0.5", ClientToken=token)
    assert code(error) == "IdempotentParameterMismatch"
    for request in fulfilled(ec2, ids):
        assert request["State"] == "active" and request["Status"]["Code"] == "fulfilled"
        assert request["SpotPrice"] == "0.500000" and request["ProductDescription"] == "Linux/UNIX"
        assert request["LaunchSpecification"]["InstanceType"] == "t3.nano" and request["LaunchedAvailabilityZone"]
        assert request["Tags"] == [{"Key": "Team", "Value": "a"}]
        (instance,) = ec2.describe_instances(InstanceIds=[request["InstanceId"]])["Reservations"][0]["Instances"]
        assert instance["InstanceLifecycle"] == "spot"
        assert instance["SpotInstanceRequestId"] == request["SpotInstanceRequestId"]
    filters = [{"Name": "tag:Team", "Values": ["a"]}, {"Name": "status-code", "Values": ["fulfilled"]}]
    found = ec2.describe_spot_instance_requests(Filters=filters)["SpotInstanceRequests"]
    assert sorted(r["SpotInstanceRequestId"] for r in found) == ids
    instances = [r["InstanceId"] for r in found]
    wait(ec2, "instance_running", instances)
    assert "It is a spot instance of request sir-" in cloud.mallee("explain", instances[0]).stdout
    with pytest.raises(ClientError) as error:
        ec2.stop_instances(InstanceIds=instances[:1])
    assert code(error) == "UnsupportedOperation"

    cancelled = ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=ids[:1])["CancelledSpotInstanceRequests"]
    assert cancelled == [{"SpotInstanceRequestId": ids[0], "State": "cancelled"}]
    (request,) = described(ec2, ids[:1])
    assert request["State"] == "cancelled" and request["Status"]["Code"] == "request-canceled-and-instance-running"
    ec2.terminate_instances(InstanceIds=instances)
    wait(ec2, "instance_terminated", instances)
    assert {r["Status"]["Code"] for r in described(ec2, ids)} == {"instance-terminated-by-user"}
    assert {r["SpotInstanceRequestId"]: r["State"] for r in described(ec2, ids)} == {
        ids[0]: "cancelled",
        ids[1]: "closed",
    }
    ec2.create_tags(Resources=ids[:1], Tags=[{"Key": "Team", "Value": "b"}])
    assert described(ec2, ids[:1])[0]["Tags"] == [{"Key": "Team", "Value": "b"}]


def test_requests_wait_for_their_time_and_come_in_pages(ec2, spot):
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    made = spot(count=7, ValidFrom=later, ValidUntil=later + datetime.timedelta(hours=1))
    ids = sorted(r["SpotInstanceRequestId"] for r in made)
    pages = ec2.get_paginator("describe_spot_instance_requests").paginate(
        Filters=[{"Name": "state", "Values": ["open"]}], PaginationConfig={"PageSize": 5}
    )
    seen = [[r["SpotInstanceRequestId"] for r in page["SpotInstanceRequests"]] for page in pages]
    assert [len(page) for page in seen] == [5, 2] and sorted(sum(seen, [])) == ids
    assert all("InstanceId" not in r for r in described(ec2, ids))
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=ids)
    assert {r["Status"]["Code"] for r in described(ec2, ids)} == {"canceled-before-fulfillment"}
    with pytest.raises(Exception, match="terminal failure"):
        fulfilled(ec2, ids)


def test_a_launch_may_ask_for_spot_instances_and_so_may_its_template(ec2, launch):
    options = {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop", "MaxPrice": "0.1"},
    }
    name = f"t-{uuid.uuid4()}"
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"InstanceMarketOptions": options})
    assert "Warning" not in made
    (instance,) = launch(LaunchTemplate={"LaunchTemplateName": name})["Instances"]
    assert instance["InstanceLifecycle"] == "spot"
    (request,) = described(ec2, [instance["SpotInstanceRequestId"]])
    assert (request["Type"], request["InstanceInterruptionBehavior"], request["State"]) == (
        "persistent",
        "stop",
        "active",
    )
    # Its template is enough for another like it, once it is read back.
    data = ec2.get_launch_template_data(InstanceId=instance["InstanceId"])["LaunchTemplateData"]
    assert data["InstanceMarketOptions"]["SpotOptions"]["SpotInstanceType"] == "persistent"
    assert data["CapacityReservationSpecification"] == {"CapacityReservationPreference": "open"}
    assert data["Placement"]["Tenancy"] == "default" and "HostId" not in data["Placement"]
    data["MetadataOptions"].pop("State")
    again = f"t-{uuid.uuid4()}"
    made = ec2.create_launch_template(LaunchTemplateName=again, LaunchTemplateData=data)
    assert "Warning" not in made, made
    (other,) = launch(LaunchTemplate={"LaunchTemplateName": again})["Instances"]
    assert other["InstanceLifecycle"] == "spot"
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[other["SpotInstanceRequestId"]])
    ec2.delete_launch_template(LaunchTemplateName=again)
    # A persistent one may be stopped and started by its owner.
    ids = [instance["InstanceId"]]
    wait(ec2, "instance_running", ids)
    ec2.stop_instances(InstanceIds=ids)
    wait(ec2, "instance_stopped", ids)
    (request,) = described(ec2, [instance["SpotInstanceRequestId"]])
    assert (request["State"], request["Status"]["Code"]) == ("disabled", "instance-stopped-by-user")
    ec2.start_instances(InstanceIds=ids)
    wait(ec2, "instance_running", ids)
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[instance["SpotInstanceRequestId"]])
    ec2.delete_launch_template(LaunchTemplateName=name)
    (plain,) = launch()["Instances"]
    assert "InstanceLifecycle" not in plain and "SpotInstanceRequestId" not in plain


def test_prices_are_the_administrators(cloud, ec2, image, spot):
    def history(**options):
        options = {"InstanceTypes": ["t3.medium"], "ProductDescriptions": ["Linux/UNIX"], **options}
        return ec2.describe_spot_price_history(**options)["SpotPriceHistory"]

    assert {p["SpotPrice"] for p in history()} == {"0.000000"}
    cloud.mallee("spot-price", "t3.medium", "0.05")
    now = history(StartTime=datetime.datetime.now(datetime.timezone.utc))
    assert {p["SpotPrice"] for p in now} == {"0.050000"} and {p["InstanceType"] for p in now} == {"t3.medium"}
    assert "t3.medium" in cloud.mallee("spot-price").stdout
    market = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.01"}}
    with pytest.raises(ClientError) as error:
        ec2.run_instances(
            ImageId=image, InstanceType="t3.medium", MinCount=1, MaxCount=1, InstanceMarketOptions=market
        )
    assert code(error) == "SpotMaxPriceTooLow"
    (cheap,) = spot(specification={"InstanceType": "t3.medium"}, SpotPrice="0.01")
    ids = [cheap["SpotInstanceRequestId"]]
    for _ in range(2000):
        (request,) = described(ec2, ids)
        if request["Status"]["Code"] == "price-too-low":
            break
    assert request["State"] == "open" and request["Status"]["Code"] == "price-too-low"
    cloud.mallee("spot-price", "t3.medium", "0.01")
    (request,) = fulfilled(ec2, ids)
    assert request["InstanceId"]
    cloud.mallee("spot-price", "t3.medium", "0")


def test_what_cannot_be_is_refused_by_name(ec2, image, spot):
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    for options, wanted in [
        ({"LaunchGroup": "g"}, "LaunchGroup"),
        ({"AvailabilityZoneGroup": "g"}, "AvailabilityZoneGroup"),
        ({"InstanceInterruptionBehavior": "hibernate", "Type": "persistent"}, "hibernate"),
        ({"InstanceInterruptionBehavior": "stop"}, "persistent"),
        ({"SpotPrice": "cheap"}, "SpotPrice"),
        ({"ValidUntil": past}, "ValidUntil"),
        ({"count": 0}, "InstanceCount"),
        ({"specification": {"ImageId": "ami-00000000000000000"}}, "ami-00000000000000000"),
        ({"specification": {"KernelId": "aki-1"}}, "KernelId"),
    ]:
        with pytest.raises(ClientError, match=wanted):
            spot(**options)
    with pytest.raises(ClientError) as error:
        spot(DryRun=True)
    assert code(error) == "DryRunOperation"
    none = ["sir-00000000000000000"]
    for call in (ec2.describe_spot_instance_requests, ec2.cancel_spot_instance_requests):
        with pytest.raises(ClientError) as error:
            call(SpotInstanceRequestIds=none)
        assert code(error) == "InvalidSpotInstanceRequestID.NotFound"
        with pytest.raises(ClientError) as error:
            call(SpotInstanceRequestIds=["sir-x"])
        assert code(error) == "InvalidSpotInstanceRequestID.Malformed"
    market = {"MarketType": "spot", "SpotOptions": {"InstanceInterruptionBehavior": "hibernate"}}
    with pytest.raises(ClientError, match="hibernate"):
        ec2.run_instances(
            ImageId=image, InstanceType="t3.nano", MinCount=1, MaxCount=1, InstanceMarketOptions=market
        )


def test_spot_instances_are_on_no_host_and_in_no_reservation(ec2, image, spot):
    market = {"MarketType": "spot"}
    reservation = {"CapacityReservationTarget": {"CapacityReservationId": "cr-00000000000000001"}}
    for options, wanted in [
        ({"Placement": {"Tenancy": "host"}}, "'host' tenancy is not supported for Spot Instances"),
        ({"CapacityReservationSpecification": reservation}, "Capacity Reservations can't be used with Spot Instances"),
        ({"DisableApiTermination": True}, "termination protection"),
        (
            {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "persistent"}}},
            "persistent Spot Instance requests are only supported",
        ),
    ]:
        asked = {"InstanceMarketOptions": market, **options}
        with pytest.raises(ClientError, match=wanted) as error:
            ec2.run_instances(ImageId=image, InstanceType="t3.nano", MinCount=1, MaxCount=1, **asked)
        assert code(error) == "InvalidParameterCombination"
    with pytest.raises(ClientError, match="'host' tenancy") as error:
        spot(specification={"Placement": {"Tenancy": "host"}})
    assert code(error) == "InvalidParameterCombination"


def test_the_command_line_requests_and_waits(cloud, ec2, image, spot):
    def aws(*arguments):
        program = Path(sys.executable).parent / "aws"
        environment = {**os.environ, **cloud.environment, "AWS_PAGER": ""}
        return run(program, "ec2", *arguments, "--output", "text", env=environment, timeout=120).stdout.strip()

    specification = json.dumps({"ImageId": image, "InstanceType": "t3.nano"})
    request = aws(
        "request-spot-instances", "--type", "one-time", "--launch-specification", specification,
        "--query", "SpotInstanceRequests[0].SpotInstanceRequestId",
    )  # fmt: skip
    aws("wait", "spot-instance-request-fulfilled", "--spot-instance-request-ids", request)
    aws("cancel-spot-instance-requests", "--spot-instance-request-ids", request)
    assert described(ec2, [request])[0]["Status"]["Code"] == "request-canceled-and-instance-running"
    end(ec2, [request])
