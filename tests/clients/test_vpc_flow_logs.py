"""VPC flow logs through boto3, unmodified: from a simulated host's counters to objects in a bucket."""

import gzip
import re
import time
import uuid

import pytest
from botocore.exceptions import ClientError
from support import Cloud, wait

# Windows are a second long; simulated guests talk in every second one and are silent in the others.
SECONDS_MAX = 40
DEFAULT = [
    "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets",
    "bytes", "start", "end", "action", "log-status",
]


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def cloud():
    cloud = Cloud("--simulate", "2", "--flow-window", "1")
    yield cloud
    cloud.stop()
    cloud.directory.cleanup()


@pytest.fixture(scope="module")
def ec2(cloud):
    return cloud.client("ec2")


@pytest.fixture(scope="module")
def instance(cloud, ec2):
    image = cloud.mallee("image", "tiny").stdout.strip()
    reply = ec2.run_instances(ImageId=image, InstanceType="t3.nano", MinCount=1, MaxCount=1)
    ids = [reply["Instances"][0]["InstanceId"]]
    wait(ec2, "instance_running", ids)
    yield ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
    ec2.terminate_instances(InstanceIds=ids)


@pytest.fixture
def bucket(cloud):
    s3, name = cloud.client("s3"), f"flows-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def make(ec2, bucket):
    """Makes flow logs, and removes them afterwards."""
    made = []

    def make(resource, kind="NetworkInterface", **options):
        parameters = {
            "ResourceIds": [resource],
            "ResourceType": kind,
            "TrafficType": "ALL",
            "LogDestinationType": "s3",
            "LogDestination": f"arn:aws:s3:::{bucket}",
            **options,
        }
        reply = ec2.create_flow_logs(**parameters)
        made.extend(reply["FlowLogIds"])
        return reply

    yield make
    there = {one["FlowLogId"] for one in ec2.describe_flow_logs()["FlowLogs"]}
    gone = [one for one in dict.fromkeys(made) if one in there]
    if gone:
        ec2.delete_flow_logs(FlowLogIds=gone)


def interface(instance):
    return instance["NetworkInterfaces"][0]["NetworkInterfaceId"]


def files(s3, bucket, prefix=""):
    """The objects of a bucket: key to lines."""
    found = {}
    for one in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        body = s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        found[one["Key"]] = gzip.decompress(body).decode().splitlines()
    return found


def until(look):
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError("it did not come in time")


def lines(s3, bucket, wanted):
    """Lines of objects, once `wanted` holds of them."""

    def look():
        all = [line.split(" ") for text in files(s3, bucket).values() for line in text[1:]]
        return all if wanted(all) else None

    return until(look)


def test_records_come_to_the_bucket(cloud, ec2, instance, bucket, make):
    s3 = cloud.client("s3")
    eni, account = interface(instance), cloud.client("sts").get_caller_identity()["Account"]
    made = make(eni, LogDestination=f"arn:aws:s3:::{bucket}/net/logs/")
    (log,) = made["FlowLogIds"]
    assert made["Unsuccessful"] == []
    found = lines(s3, bucket, lambda all: {line[-1] for line in all} >= {"OK", "NODATA"})
    keys = files(s3, bucket)
    name = rf"net/logs/AWSLogs/{account}/vpcflowlogs/local/\d{{4}}/\d\d/\d\d/" \
        rf"{account}_vpcflowlogs_local_{log}_\d{{8}}T\d{{4}}Z_[0-9a-f]{{8}}\.log\.gz"
    assert all(re.fullmatch(name, key) for key in keys), list(keys)
    assert all(text[0].split(" ") == DEFAULT for text in keys.values())
    own = instance["PrivateIpAddress"]
    talk = [line[3:10] + line[12:] for line in found if line[-1] == "OK"][:3]
    assert talk == [
        [own, "198.51.100.7", "49152", "443", "6", "10", "600", "ACCEPT", "OK"],
        ["198.51.100.7", own, "443", "49152", "6", "9", "540", "ACCEPT", "OK"],
        ["198.51.100.7", own, "50000", "22", "6", "2", "120", "REJECT", "OK"],
    ]
    assert all(line[:3] == ["2", account, eni] for line in found)
    silent = next(line for line in found if line[-1] == "NODATA")
    assert silent[3:10] == ["-"] * 7 and silent[12] == "-" and 0 <= int(silent[11]) - int(silent[10]) <= 60
    (shown,) = ec2.describe_flow_logs(FlowLogIds=[log])["FlowLogs"]
    assert shown["DeliverLogsStatus"] == "SUCCESS" and "DeliverLogsErrorMessage" not in shown
    head = s3.head_object(Bucket=bucket, Key=next(iter(keys)))
    assert head["ContentType"] == "application/octet-stream"


def test_one_kind_of_traffic_in_a_format_of_ones_own(cloud, instance, bucket, make):
    fields = "version vpc-id subnet-id instance-id interface-id action flow-direction tcp-flags type region az-id"
    log_format = " ".join(f"${{{field}}}" for field in fields.split())
    options = {"HiveCompatiblePartitions": True, "PerHourPartition": True, "FileFormat": "plain-text"}
    make(instance["VpcId"], "VPC", TrafficType="REJECT", LogFormat=log_format, DestinationOptions=options)
    s3 = cloud.client("s3")
    found = lines(s3, bucket, lambda all: any(line[5] == "REJECT" for line in all))
    rejected = [line for line in found if line[5] != "-"]
    place = [instance["VpcId"], instance["SubnetId"], instance["InstanceId"], interface(instance)]
    assert all(line == ["5", *place, "REJECT", "ingress", "2", "IPv4", "local", "mal1-az1"] for line in rejected)
    pattern = r"AWSLogs/aws-account-id=\d+/aws-service=vpcflowlogs/aws-region=local/" \
        r"year=\d{4}/month=\d\d/day=\d\d/hour=\d\d/[^/]+\.log\.gz"
    assert all(re.fullmatch(pattern, key) for key in files(s3, bucket))


def test_a_flow_log_that_is_deleted_writes_no_more(cloud, ec2, instance, bucket, make):
    s3 = cloud.client("s3")
    (log,) = make(instance["SubnetId"], "Subnet")["FlowLogIds"]
    until(lambda: files(s3, bucket))
    assert ec2.delete_flow_logs(FlowLogIds=[log])["Unsuccessful"] == []
    time.sleep(1)
    count = len(files(s3, bucket))
    time.sleep(4)
    assert len(files(s3, bucket)) == count
    refused("InvalidFlowLogId.NotFound", ec2.describe_flow_logs, FlowLogIds=[log])
    (gone,) = ec2.delete_flow_logs(FlowLogIds=[log])["Unsuccessful"]
    assert gone["ResourceId"] == log and gone["Error"]["Code"] == "InvalidFlowLogId.NotFound"


def test_a_bucket_that_goes_is_told(cloud, ec2, instance, bucket, make):
    s3 = cloud.client("s3")
    (log,) = make(interface(instance))["FlowLogIds"]
    until(lambda: files(s3, bucket))

    def failed():
        for key in files(s3, bucket) if s3.list_buckets(Prefix=bucket)["Buckets"] else []:
            s3.delete_object(Bucket=bucket, Key=key)
        try:
            s3.delete_bucket(Bucket=bucket)
        except ClientError:
            pass
        filters = [{"Name": "deliver-log-status", "Values": ["FAILED"]}]
        return ec2.describe_flow_logs(FlowLogIds=[log], Filters=filters)["FlowLogs"]

    (shown,) = until(failed)
    assert shown["DeliverLogsErrorMessage"] == "Access error" and shown["FlowLogStatus"] == "ACTIVE"
    s3.create_bucket(Bucket=bucket)
    until(lambda: ec2.describe_flow_logs(FlowLogIds=[log])["FlowLogs"][0]["DeliverLogsStatus"] == "SUCCESS")


def test_flow_logs_are_made_and_shown(ec2, instance, bucket, make):
    eni, vpc, token = interface(instance), instance["VpcId"], uuid.uuid4().hex
    tags = [{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "team", "Value": "net"}]}]
    options = {"TagSpecifications": tags, "ClientToken": token, "MaxAggregationInterval": 60}
    (log,) = make(eni, **options)["FlowLogIds"]
    again = make(eni, **options)
    assert again["FlowLogIds"] == [log] and again["ClientToken"] == token, "the token is that of before"
    same = make(eni, TrafficType="REJECT")
    assert same["FlowLogIds"] == []
    assert [one["Error"]["Code"] for one in same["Unsuccessful"]] == ["FlowLogAlreadyExists"]
    (second,) = make(eni, LogDestination=f"arn:aws:s3:::{bucket}/b")["FlowLogIds"]
    third = make(eni, LogDestination=f"arn:aws:s3:::{bucket}/c")
    assert [one["ResourceId"] for one in third["Unsuccessful"]] == [eni]
    assert third["Unsuccessful"][0]["Error"]["Code"] == "ResourceLimitExceeded"
    (other,) = make(vpc, "VPC")["FlowLogIds"]
    (shown,) = ec2.describe_flow_logs(Filters=[{"Name": "tag:team", "Values": ["net"]}])["FlowLogs"]
    assert shown.pop("CreationTime") and shown.pop("TagFieldSpecifications") == [] and shown == {
        "DeliverLogsStatus": "SUCCESS",
        "DestinationOptions": {
            "FileFormat": "plain-text", "HiveCompatiblePartitions": False, "PerHourPartition": False,
        },
        "FlowLogId": log,
        "FlowLogStatus": "ACTIVE",
        "LogDestination": f"arn:aws:s3:::{bucket}",
        "LogDestinationType": "s3",
        "LogFormat": " ".join(f"${{{field}}}" for field in DEFAULT),
        "MaxAggregationInterval": 60,
        "ResourceId": eni,
        "Tags": [{"Key": "team", "Value": "net"}],
        "TrafficType": "ALL",
    }
    for name, value, wanted in [
        ("flow-log-id", log, {log}),
        ("resource-id", eni, {log, second}),
        ("traffic-type", "ALL", {log, second, other}),
        ("log-destination-type", "s3", {log, second, other}),
        ("log-destination-type", "cloud-watch-logs", set()),
        ("tag-key", "team", {log}),
    ]:
        found = ec2.describe_flow_logs(Filters=[{"Name": name, "Values": [value]}])["FlowLogs"]
        assert {one["FlowLogId"] for one in found} == wanted, (name, value)
    pages = list(ec2.get_paginator("describe_flow_logs").paginate(PaginationConfig={"PageSize": 1}))
    assert [len(page["FlowLogs"]) for page in pages] == [1, 1, 1]
    ec2.create_tags(Resources=[second], Tags=[{"Key": "late", "Value": "yes"}])
    assert ec2.describe_flow_logs(FlowLogIds=[second])["FlowLogs"][0]["Tags"] == [{"Key": "late", "Value": "yes"}]


def test_what_makes_no_sense_is_refused(cloud, ec2, instance, bucket, make):
    eni = interface(instance)
    for code, options, named in [
        ("Unsupported", {"LogDestinationType": "cloud-watch-logs", "LogGroupName": "g"}, "cloud-watch-logs"),
        ("Unsupported", {"LogDestinationType": "kinesis-data-firehose"}, "kinesis-data-firehose"),
        ("Unsupported", {"DestinationOptions": {"FileFormat": "parquet"}}, "parquet"),
        ("Unsupported", {"DeliverLogsPermissionArn": "arn:aws:iam::1:role/r"}, "DeliverLogsPermissionArn"),
        ("InvalidParameterValue", {"LogFormat": "${colour}"}, "colour"),
        ("InvalidParameterValue", {"MaxAggregationInterval": 61}, "61"),
        ("InvalidParameterValue", {"TrafficType": "SOME"}, "SOME"),
        ("InvalidParameterValue", {"LogDestination": "arn:aws:s3:::"}, "bucket"),
        ("InvalidParameterValue", {"LogDestination": f"arn:aws:s3:::{bucket}/AWSLogs/"}, "AWSLogs"),
        ("LogDestinationNotFound", {"LogDestination": "arn:aws:s3:::no-such-bucket-here"}, "no-such-bucket-here"),
        ("DryRunOperation", {"DryRun": True}, ""),
    ]:
        with pytest.raises(ClientError) as error:
            make(eni, **options)
        got = error.value.response["Error"]
        assert got["Code"] == code and named in got["Message"], (options, got)
    for kind, resource, code in [
        ("VPC", "vpc-00000000000000001", "InvalidVpcID.NotFound"),
        ("Subnet", "subnet-00000000000000001", "InvalidSubnetID.NotFound"),
        ("NetworkInterface", "eni-00000000000000001", "InvalidNetworkInterfaceID.NotFound"),
        ("VPC", "eni-00000000000000001", "InvalidVpcID.Malformed"),
        ("TransitGateway", "tgw-1", "Unsupported"),
    ]:
        with pytest.raises(ClientError) as error:
            make(resource, kind)
        assert error.value.response["Error"]["Code"] == code, (kind, error.value)
    assert ec2.describe_flow_logs()["FlowLogs"] == [], "nothing was made"
    assert cloud.mallee("check").returncode == 0
