"""Scheduled events through boto3, the AWS CLI and the administrator's command, against a simulated cloud."""

import datetime
import json
import os
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from support import run, wait


def code(error):
    return error.value.response["Error"]["Code"]


def after(**delta):
    """A time from now, in whole seconds."""
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(**delta)


def text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def instance(ec2, launch):
    (instance,) = launch()["Instances"]
    wait(ec2, "instance_running", [instance["InstanceId"]])
    return instance["InstanceId"]


def announce(cloud, instance, what, start, **more):
    options = [part for key, at in more.items() for part in (f"--{key.replace('_', '-')}", text(at))]
    answer = cloud.mallee(
        "event", "add", "--json", "--instance", instance, "--code", what, "--not-before", text(start),
        "--description", f"{what} is announced", *options,
    )  # fmt: skip
    (event,) = json.loads(answer.stdout)["made"]
    return event["id"]


def events(ec2, instance, **filters):
    filters = [{"Name": f"event.{name.replace('_', '-')}", "Values": [value]} for name, value in filters.items()]
    shown = ec2.describe_instance_status(InstanceIds=[instance], IncludeAllInstances=True, Filters=filters)
    return [event for status in shown["InstanceStatuses"] for event in status.get("Events", [])]


def test_an_event_is_announced_shown_found_and_moved(cloud, ec2, instance):
    start, end, deadline = after(days=2), after(days=2, hours=1), after(days=9)
    event = announce(cloud, instance, "system-reboot", start, not_after=end, deadline=deadline)
    assert event.startswith("instance-event-")
    want = {
        "InstanceEventId": event,
        "Code": "system-reboot",
        "Description": "system-reboot is announced",
        "NotBefore": start,
        "NotAfter": end,
        "NotBeforeDeadline": deadline,
    }
    assert events(ec2, instance) == [want]
    zoned = "%Y-%m-%dT%H:%M:%S.000Z"
    fits = {
        "code": "system-*",
        "description": "*announced",
        "instance_event_id": event,
        "not_before": start.strftime(zoned),
        "not_after": end.strftime(zoned),
        "not_before_deadline": deadline.strftime(zoned),
    }
    assert events(ec2, instance, **fits) == [want]
    for name in fits:
        assert events(ec2, instance, **{**fits, name: "other"}) == [], name

    moved = after(days=4)
    ask = {"InstanceId": instance, "InstanceEventId": event}
    with pytest.raises(ClientError) as error:
        ec2.modify_instance_event_start_time(**ask, NotBefore=moved, DryRun=True)
    assert code(error) == "DryRunOperation"
    assert events(ec2, instance) == [want]
    reply = ec2.modify_instance_event_start_time(**ask, NotBefore=moved)
    want = {**want, "NotBefore": moved, "NotAfter": moved + datetime.timedelta(hours=1)}
    assert reply["Event"] == want and events(ec2, instance) == [want]
    for wrong in (after(minutes=59), deadline + datetime.timedelta(seconds=1)):
        with pytest.raises(ClientError) as error:
            ec2.modify_instance_event_start_time(**ask, NotBefore=wrong)
        assert code(error) == "InvalidInstanceEventStartTime"
    for other in ("instance-event-00000000000000000", "nonsense"):
        with pytest.raises(ClientError) as error:
            ec2.modify_instance_event_start_time(InstanceId=instance, InstanceEventId=other, NotBefore=moved)
        assert code(error) == "InvalidInstanceEventIDNotFound"
    with pytest.raises(ClientError) as error:
        ec2.modify_instance_event_start_time(
            InstanceId="i-00000000000000000", InstanceEventId=event, NotBefore=moved
        )
    assert code(error) == "InvalidInstanceID.NotFound"

    assert event in cloud.mallee("event", "list").stdout
    assert cloud.mallee("event", "complete", event).stdout.split() == [event, "completed"]
    assert event not in cloud.mallee("event", "list").stdout
    assert event in cloud.mallee("event", "list", "--all").stdout
    (shown,) = events(ec2, instance)
    assert shown["Description"] == "[Completed] system-reboot is announced"
    with pytest.raises(ClientError) as error:
        ec2.modify_instance_event_start_time(**ask, NotBefore=moved)
    assert code(error) == "InstanceEventStartTimeCannotChange"
    refused = cloud.mallee("event", "cancel", event, check=False)
    assert refused.returncode != 0 and "completed already" in refused.stderr


def test_an_event_without_a_deadline_stays_and_can_be_called_off(cloud, ec2, instance):
    event = announce(cloud, instance, "system-maintenance", after(days=1))
    (shown,) = events(ec2, instance)
    assert "NotAfter" not in shown and "NotBeforeDeadline" not in shown
    with pytest.raises(ClientError) as error:
        ec2.modify_instance_event_start_time(InstanceId=instance, InstanceEventId=event, NotBefore=after(days=2))
    assert code(error) == "InstanceEventStartTimeCannotChange"
    cloud.mallee("event", "cancel", event)
    (shown,) = events(ec2, instance)
    assert shown["Description"] == "[Canceled] system-maintenance is announced"


def test_what_is_announced_is_done(cloud, ec2, instance):
    announce(cloud, instance, "instance-stop", after(seconds=3))
    wait(ec2, "instance_stopped", [instance])
    (shown,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert shown["StateReason"]["Code"] == "Server.ScheduledStop"
    (event,) = events(ec2, instance)
    assert event["Description"] == "[Completed] instance-stop is announced"
    announce(cloud, instance, "instance-retirement", after(seconds=3))
    wait(ec2, "instance_terminated", [instance])


def test_a_reboot_of_its_owner_ends_the_event(cloud, ec2, instance):
    announce(cloud, instance, "instance-reboot", after(hours=3))
    ec2.reboot_instances(InstanceIds=[instance])
    assert [e["Description"] for e in events(ec2, instance)] == ["[Completed] instance-reboot is announced"]


def test_a_whole_node_is_announced_and_mistakes_are_named(cloud, ec2, instance):
    nodes = json.loads(cloud.mallee("status", "--json").stdout)["nodes"]
    common = ["--code", "system-maintenance", "--not-before", text(after(days=3)), "--description", "power"]
    made = []
    for node in nodes:
        answer = json.loads(cloud.mallee("event", "add", "--json", "--node", node["id"], *common).stdout)
        assert all(event["node"] == node["id"] for event in answer["made"])
        made += answer["made"]
        again = json.loads(cloud.mallee("event", "add", "--json", "--node", node["id"], *common).stdout)
        assert again["made"] == [] and again["known"] == answer["made"], "an announcement may be repeated"
    assert instance in [event["instance"] for event in made]
    cloud.mallee("event", "cancel", *[event["id"] for event in made])
    for wrong, says in (
        (["--node", "no-such-node", *common], "There is no node no-such-node"),
        (["--instance", "i-00000000000000000", *common], "does not exist"),
        (["--instance", instance, *common[:2], "--not-before", "2020-01-01T00:00:00Z", *common[4:]], "in the past"),
        (["--instance", instance, "--code", "fire", *common[2:]], "It is one of instance-reboot"),
        (["--instance", instance, *common[:2], "--not-before", "soon", *common[4:]], "A time is written like"),
    ):
        refused = cloud.mallee("event", "add", *wrong, check=False)
        assert refused.returncode != 0 and says in refused.stderr, refused.stderr


def test_the_aws_cli_moves_an_event(cloud, instance):
    event = announce(cloud, instance, "instance-stop", after(days=2), deadline=after(days=9))
    moved = after(days=3)
    aws = Path(sys.executable).parent / "aws"
    result = run(
        aws, "ec2", "modify-instance-event-start-time", "--instance-id", instance, "--instance-event-id", event,
        "--not-before", text(moved), "--output", "json", env={**os.environ, **cloud.environment},
    )  # fmt: skip
    shown = json.loads(result.stdout)["Event"]
    assert shown["InstanceEventId"] == event
    assert datetime.datetime.fromisoformat(shown["NotBefore"].replace("Z", "+00:00")) == moved
