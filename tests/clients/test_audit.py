"""The audit trail: every call, allowed or denied, without its secrets."""

import base64
import json
import time

import pytest
from botocore.exceptions import ClientError

# Written into every parameter that is a secret: it may stand nowhere on the disk of the controllers in the clear.
CANARY = "canary-7f3c1a9e-do-not-write-me"
SECONDS_MAX = 15


def look_up(trail, key, value, wanted=lambda events: events):
    """The events with an attribute, once those that are wanted are among them."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        pages = trail.get_paginator("lookup_events").paginate(
            LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}], PaginationConfig={"PageSize": 50}
        )
        events = [event for page in pages for event in page["Events"]]
        if wanted(events):
            return events
        assert time.monotonic() < deadline, f"{key}={value}: {len(events)} events after {SECONDS_MAX} s"
        time.sleep(0.1)


@pytest.fixture
def trail(cloud):
    return cloud.client("cloudtrail")


def test_a_launch_is_found_by_its_instance_and_keeps_its_secret(cloud, trail, launch):
    instance = launch(UserData=f"#!/bin/sh\necho {CANARY}")["Instances"][0]["InstanceId"]
    [event] = [e for e in look_up(trail, "ResourceName", instance) if e["EventName"] == "RunInstances"]
    assert event["ReadOnly"] == "false" and event["EventSource"] == "ec2.amazonaws.com"
    assert event["AccessKeyId"] == cloud.environment["AWS_ACCESS_KEY_ID"]
    record = json.loads(event["CloudTrailEvent"])
    assert record["userIdentity"]["arn"] and record["sourceIPAddress"] == "127.0.0.1"
    assert "Boto3" in record["userAgent"]
    assert record["requestParameters"]["instanceType"] == "t3.nano"
    assert record["requestParameters"]["userData"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    written = b"".join(path.read_bytes() for path in [*(cloud.state / "audit").glob("*.jsonl"), cloud.state / "log"])
    for secret in (CANARY.encode(), base64.b64encode(f"#!/bin/sh\necho {CANARY}".encode())[8:-8]):
        assert secret not in written
    assert cloud.environment["AWS_SECRET_ACCESS_KEY"].encode() not in written


def test_a_denied_call_is_recorded_with_its_error(cloud, ec2, trail):
    with pytest.raises(ClientError) as refused:
        ec2.delete_security_group(GroupId="sg-0123456789abcdef0")
    request = refused.value.response["ResponseMetadata"]["RequestId"]

    def of_request(events):
        return [r for r in (json.loads(e["CloudTrailEvent"]) for e in events) if r["requestID"] == request]

    [record] = of_request(look_up(trail, "EventName", "DeleteSecurityGroup", of_request))
    assert record["errorCode"] == "InvalidGroup.NotFound"
    stranger = cloud.client("ec2", aws_secret_access_key="wrong")
    with pytest.raises(ClientError) as refused:
        stranger.describe_instances()
    request = refused.value.response["ResponseMetadata"]["RequestId"]
    lines = (cloud.state / "audit" / "audit-00000001.jsonl").read_text().splitlines()
    [record] = [r for r in (json.loads(line)["record"] for line in lines) if r["requestID"] == request]
    assert record["userIdentity"]["type"] == "Unknown" and record["errorCode"]


def test_lookups_page_and_are_refused_in_words(ec2, trail):
    for _ in range(3):
        ec2.describe_key_pairs()
    look_up(trail, "EventName", "DescribeKeyPairs", lambda events: len(events) >= 3)
    attributes = [{"AttributeKey": "EventName", "AttributeValue": "DescribeKeyPairs"}]
    first = trail.lookup_events(LookupAttributes=attributes, MaxResults=2)
    second = trail.lookup_events(LookupAttributes=attributes, MaxResults=2, NextToken=first["NextToken"])
    ids = [event["EventId"] for event in first["Events"] + second["Events"]]
    assert len(first["Events"]) == 2 and len(set(ids)) == len(ids) >= 3
    with pytest.raises(trail.exceptions.InvalidLookupAttributesException):
        trail.lookup_events(LookupAttributes=attributes * 2)
    with pytest.raises(trail.exceptions.InvalidMaxResultsException):
        trail.lookup_events(MaxResults=51)


def test_the_trail_is_whole(cloud, ec2):
    ec2.describe_regions()
    said = cloud.mallee("audit").stdout
    assert "records, none missing or changed" in said
