"""Trails: audit records of an account in a bucket of it, as AWS CloudTrail delivers them."""

import gzip
import json
import os
import time
from datetime import datetime, timedelta, timezone

import pytest
from botocore.exceptions import ClientError

from support import ROOT, run
from test_iam import euare, fresh

SECONDS_MAX = 40
# Less than a bucket that refused is left alone.
SOON_SECONDS_MAX = 20
AWS = ROOT / ".venv" / "bin" / "aws"


def wait_for(what, look, seconds=SECONDS_MAX):
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture
def trails(cloud):
    client = cloud.client("cloudtrail")
    yield client
    for trail in client.describe_trails()["trailList"]:
        client.delete_trail(Name=trail["TrailARN"])


@pytest.fixture(scope="module")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture
def bucket(s3, request):
    name = "logs-" + request.node.name.replace("_", "-").lower()[:50].strip("-")
    s3.create_bucket(Bucket=name)
    return name


def keys_of(s3, bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def records_of(s3, bucket, key):
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return json.loads(gzip.decompress(body))["Records"]


def delivered(s3, bucket):
    keys = [key for key in keys_of(s3, bucket) if "/CloudTrail/" in key]
    return [record for key in keys for record in records_of(s3, bucket, key)]


def test_records_are_delivered_and_validate(cloud, ec2, s3, trails, bucket):
    began = datetime.now(timezone.utc) - timedelta(minutes=1)
    made = trails.create_trail(
        Name="main", S3BucketName=bucket, S3KeyPrefix="audit", EnableLogFileValidation=True, IsMultiRegionTrail=True
    )
    region = cloud.environment["AWS_DEFAULT_REGION"]
    arn = made["TrailARN"]
    account = arn.split(":")[4]
    assert arn == f"arn:aws:cloudtrail:{region}:{account}:trail/main"
    ec2.describe_regions()  # Before it logs: not delivered.
    time.sleep(0.05)
    trails.start_logging(Name="main")
    status = trails.get_trail_status(Name=arn)
    assert status["IsLogging"] and "LatestDeliveryTime" not in status and status["StartLoggingTime"] >= began
    ec2.describe_vpcs()
    ec2.create_key_pair(KeyName="of-a-trail")
    ec2.delete_key_pair(KeyName="of-a-trail")
    with pytest.raises(ClientError):
        ec2.delete_security_group(GroupId="sg-0123456789abcdef0")
    trails.stop_logging(Name="main")
    wait_for("the last digest", lambda: trails.get_trail_status(Name="main").get("LatestDigestDeliveryTime"))

    keys = keys_of(s3, bucket)
    day = datetime.now(timezone.utc).strftime("%Y/%m/%d")
    head = f"audit/AWSLogs/{account}/CloudTrail/{region}/{day}/{account}_CloudTrail_{region}_"
    logs = [key for key in keys if key.startswith(head) and key.endswith(".json.gz")]
    digests = [key for key in keys if f"AWSLogs/{account}/CloudTrail-Digest/{region}/" in key]
    assert logs and digests and sorted(logs + digests) == sorted(keys)
    records = [record for key in logs for record in records_of(s3, bucket, key)]
    names = [record["eventName"] for record in records]
    for name in ("DescribeVpcs", "CreateKeyPair", "DeleteKeyPair", "DeleteSecurityGroup", "StopLogging"):
        assert name in names, names
    assert "DescribeRegions" not in names
    assert len({record["eventID"] for record in records}) == len(records)
    assert {record["recipientAccountId"] for record in records} == {account}
    [denied] = [record for record in records if record["eventName"] == "DeleteSecurityGroup"]
    assert denied["errorCode"] == "InvalidGroup.NotFound" and "eventMs" not in denied
    status = trails.get_trail_status(Name="main")
    assert not status["IsLogging"] and status["LatestDeliveryTime"] and "LatestDeliveryError" not in status
    assert trails.list_public_keys()["PublicKeyList"][0]["Fingerprint"]

    start = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    # The bucket's region is asked in us-east-1; the cloud answers for all.
    said = aws(cloud, "cloudtrail", "validate-logs", "--trail-arn", arn, "--start-time", start, "--verbose").stdout
    assert f"{len(digests)}/{len(digests)} digest files valid" in said, said
    assert f"{len(logs)}/{len(logs)} log files valid" in said, said
    # A changed file shows.
    s3.put_object(Bucket=bucket, Key=logs[0], Body=gzip.compress(b'{"Records":[]}'))
    said = aws(cloud, "cloudtrail", "validate-logs", "--trail-arn", arn, "--start-time", start, check=False)
    assert "INVALID: hash value doesn't match" in said.stdout + said.stderr, said


def aws(cloud, *arguments, check=True):
    return run(AWS, *arguments, check=check, env={**os.environ, **cloud.environment})


def test_each_account_sees_its_own_records_only(cloud, ec2, trails, bucket, s3):
    name = fresh("tenant")
    made = euare(cloud, "CreateAccount", AccountName=name).text
    text = lambda element: made.split(f"<{element}>")[1].split(f"</{element}>")[0]
    pair = {"aws_access_key_id": text("AccessKeyId"), "aws_secret_access_key": text("SecretAccessKey")}
    its, its_s3 = cloud.client("cloudtrail", **pair), cloud.client("s3", **pair)
    its_s3.create_bucket(Bucket=name)
    # Nobody's records go to a bucket of somebody else.
    refused("InsufficientS3BucketPolicyException", trails.create_trail, Name="spy", S3BucketName=name)
    its.create_trail(Name="own", S3BucketName=name)
    refused("TrailNotFoundException", trails.get_trail, Name="own")
    its.start_logging(Name="own")
    ec2.describe_vpcs()
    cloud.client("ec2", **pair).describe_subnets()
    its.stop_logging(Name="own")
    wait_for("a file", lambda: its.get_trail_status(Name="own").get("LatestDeliveryTime"))
    records = delivered(its_s3, name)
    assert {record["recipientAccountId"] for record in records} == {text("AccountId")}
    assert "DescribeSubnets" in [record["eventName"] for record in records]
    assert "DescribeVpcs" not in [record["eventName"] for record in records]
    its.delete_trail(Name="own")


def test_selectors_decide_what_is_delivered(cloud, ec2, s3, trails, bucket):
    trails.create_trail(Name="writes", S3BucketName=bucket, IncludeGlobalServiceEvents=False)
    [default] = trails.get_event_selectors(TrailName="writes")["EventSelectors"]
    assert default["ReadWriteType"] == "All" and default["IncludeManagementEvents"]
    writes = {"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True, "DataResources": []}
    assert trails.put_event_selectors(TrailName="writes", EventSelectors=[writes])["TrailARN"]
    [trail] = trails.describe_trails(trailNameList=["writes", "no-such-trail"])["trailList"]
    assert trail["HasCustomEventSelectors"] and not trail["IncludeGlobalServiceEvents"]
    data = {**writes, "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}
    refused("InvalidEventSelectorsException", trails.put_event_selectors, TrailName="writes", EventSelectors=[data])
    advanced = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}]
    refused("UnsupportedOperationException", trails.put_event_selectors, TrailName="writes", AdvancedEventSelectors=advanced)

    trails.start_logging(Name="writes")
    ec2.describe_vpcs()
    ec2.create_key_pair(KeyName="written")
    ec2.delete_key_pair(KeyName="written")
    cloud.client("iam").create_group(GroupName="of-the-whole-cloud")
    cloud.client("iam").delete_group(GroupName="of-the-whole-cloud")
    trails.stop_logging(Name="writes")
    wait_for("a file", lambda: trails.get_trail_status(Name="writes").get("LatestDeliveryTime"))
    names = {record["eventName"] for record in delivered(s3, bucket)}
    assert {"CreateKeyPair", "DeleteKeyPair"} <= names
    assert not names & {"DescribeVpcs", "CreateGroup", "DeleteGroup"}, names


def test_a_bucket_that_is_gone_is_told_and_waited_for(s3, trails, bucket, ec2):
    trails.create_trail(Name="lost", S3BucketName=bucket)
    trails.start_logging(Name="lost")
    ec2.describe_vpcs()
    s3.delete_bucket(Bucket=bucket)
    trails.stop_logging(Name="lost")
    status = wait_for("an error", lambda: [s for s in [trails.get_trail_status(Name="lost")] if "LatestDeliveryError" in s])
    assert status[0]["LatestDeliveryError"] == "NoSuchBucket" and "LatestDeliveryTime" not in status[0]
    # Another bucket gets what is waiting, and at once.
    s3.create_bucket(Bucket=bucket + "-2")
    trails.update_trail(Name="lost", S3BucketName=bucket + "-2")
    wait_for("a delivery", lambda: trails.get_trail_status(Name="lost").get("LatestDeliveryTime"), SOON_SECONDS_MAX)
    assert "DescribeVpcs" in {record["eventName"] for record in delivered(s3, bucket + "-2")}
    assert "LatestDeliveryError" not in trails.get_trail_status(Name="lost")


def test_what_cannot_be_is_refused_in_words(trails, bucket):
    refused("S3BucketDoesNotExistException", trails.create_trail, Name="abc", S3BucketName="no-such-bucket-here")
    refused("InvalidTrailNameException", trails.create_trail, Name="a--b", S3BucketName=bucket)
    refused("InvalidS3BucketNameException", trails.create_trail, Name="abc", S3BucketName="No")
    refused("UnsupportedOperationException", trails.create_trail, Name="abc", S3BucketName=bucket, KmsKeyId="alias/a")
    both = {"IsMultiRegionTrail": True, "IncludeGlobalServiceEvents": False}
    refused("InvalidParameterCombinationException", trails.create_trail, Name="abc", S3BucketName=bucket, **both)
    refused("TrailNotFoundException", trails.get_trail, Name="no-such-trail")
    refused("TrailNotFoundException", trails.start_logging, Name="no-such-trail")
    refused("CloudTrailARNInvalidException", trails.delete_trail, Name="arn:aws:s3:::x")
    foreign = "arn:aws:cloudtrail:local:123456789012:trail/main"
    refused("TrailNotFoundException", trails.get_trail_status, Name=foreign)
    for n in range(5):
        trails.create_trail(Name=f"trail-{n}", S3BucketName=bucket)
    refused("TrailAlreadyExistsException", trails.create_trail, Name="trail-0", S3BucketName=bucket)
    refused("MaximumNumberOfTrailsExceededException", trails.create_trail, Name="trail-5", S3BucketName=bucket)
    assert [trail["Name"] for trail in trails.list_trails()["Trails"]] == [f"trail-{n}" for n in range(5)]


def test_tags(trails, bucket):
    tags = [{"Key": "team", "Value": "red"}]
    arn = trails.create_trail(Name="tagged", S3BucketName=bucket, TagsList=tags)["TrailARN"]
    trails.add_tags(ResourceId=arn, TagsList=[{"Key": "team", "Value": "blue"}, {"Key": "empty"}])
    [listed] = trails.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    assert {tag["Key"]: tag.get("Value") for tag in listed["TagsList"]} == {"team": "blue", "empty": ""}
    trails.remove_tags(ResourceId=arn, TagsList=[{"Key": "team"}])
    [listed] = trails.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    assert [tag["Key"] for tag in listed["TagsList"]] == ["empty"]
    refused("InvalidTagParameterException", trails.add_tags, ResourceId=arn, TagsList=[{"Key": "aws:x", "Value": "y"}])


def test_only_those_may_who_may(cloud, trails, bucket):
    iam = cloud.client("iam")
    iam.create_user(UserName="auditor")
    key = iam.create_access_key(UserName="auditor")["AccessKey"]
    arn = trails.create_trail(Name="guarded", S3BucketName=bucket)["TrailARN"]
    allow = {"Effect": "Allow", "Action": ["cloudtrail:Get*", "cloudtrail:Describe*"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName="auditor", PolicyName="look", PolicyDocument=document)
    auditor = cloud.client(
        "cloudtrail", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    assert not auditor.get_trail_status(Name="guarded")["IsLogging"]
    for call in (auditor.start_logging, auditor.stop_logging, auditor.delete_trail):
        assert arn in refused("AccessDeniedException", call, Name="guarded")
    refused("AccessDeniedException", auditor.create_trail, Name="other", S3BucketName=bucket)
    iam.delete_access_key(UserName="auditor", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="auditor", PolicyName="look")
    iam.delete_user(UserName="auditor")
