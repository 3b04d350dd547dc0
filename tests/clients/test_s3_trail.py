"""The audit trail of S3: who manages buckets is recorded, whether Walrus is in the cloud's process or one of its own."""

import base64
import hashlib
import http.client
import json
import signal
import time
import uuid
from contextlib import suppress

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from test_audit import look_up
from test_quotas import Tenant
from tiers import Tiers, eventually

RULES = {
    "Rules": [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 7}}],
}
# A shorter rest than Walrus waits for a body, and together longer than the front door's word of where a request came from is
# good for.
STALL_SECONDS, DRIP_SECONDS = 15, 55


@pytest.fixture(scope="module")
def tiers():
    tiers = Tiers()
    yield tiers
    tiers.close()


@pytest.fixture(scope="module", params=["one process", "tiers"])
def place(request):
    return request.getfixturevalue("cloud" if request.param == "one process" else "tiers")


def answered(reply):
    return reply["ResponseMetadata"]["RequestId"]


def refused(call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    return answered(error.value.response), error.value.response["Error"]["Code"]


def record(trail, name, request):
    """The one record of a request."""

    def of_request(events):
        return [r for r in (json.loads(e["CloudTrailEvent"]) for e in events) if r["requestID"] == request]

    [found] = of_request(look_up(trail, "EventName", name, of_request))
    assert found["eventSource"] == "s3.amazonaws.com" and found["eventCategory"] == "Management"
    assert found["sourceIPAddress"] == "127.0.0.1" and "Boto3" in found["userAgent"], found
    return found


def test_what_is_done_to_a_bucket_is_recorded(place):
    s3, trail, name = place.client("s3"), place.client("cloudtrail"), f"trail-{uuid.uuid4().hex[:8]}"
    made = record(trail, "CreateBucket", answered(s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")))
    assert made["requestParameters"]["bucketName"] == name and not made["readOnly"] and "errorCode" not in made
    assert made["requestParameters"]["x-amz-object-ownership"] == "ObjectWriter"
    assert made["resources"] == [
        {
            "type": "AWS::S3::Bucket",
            "resourceName": name,
            "ARN": f"arn:aws:s3:::{name}",
            "accountId": made["recipientAccountId"],
        }
    ]
    assert made["userIdentity"]["type"] in ("Root", "IAMUser") and made["userIdentity"]["accessKeyId"]
    put = s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=RULES)
    put = record(trail, "PutBucketLifecycle", answered(put))["requestParameters"]
    assert put["LifecycleConfiguration"]["Rule"]["Expiration"] == {"Days": 7} and put["lifecycle"] == ""
    policy = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{name}/x"},
    }
    put = record(trail, "PutBucketPolicy", answered(s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))))
    assert put["requestParameters"]["bucketPolicy"] == policy
    assert record(trail, "ListBuckets", answered(s3.list_buckets()))["readOnly"]
    request, code = refused(s3.get_bucket_cors, Bucket=name)
    assert record(trail, "GetBucketCors", request)["errorCode"] == code == "NoSuchCORSConfiguration"
    # What is about objects is not recorded.
    s3.put_object(Bucket=name, Key="k", Body=b"text")
    s3.list_objects_v2(Bucket=name)
    s3.head_bucket(Bucket=name)
    s3.delete_object(Bucket=name, Key="k")
    record(trail, "DeleteBucket", answered(s3.delete_bucket(Bucket=name)))
    about = {json.loads(e["CloudTrailEvent"])["eventName"] for e in look_up(trail, "ResourceName", name)}
    assert about == {"CreateBucket", "PutBucketLifecycle", "PutBucketPolicy", "GetBucketCors", "DeleteBucket"}
    puts = [{"AttributeKey": "EventName", "AttributeValue": "PutObject"}]
    assert trail.lookup_events(LookupAttributes=puts)["Events"] == []
    assert place.mallee("audit") if hasattr(place, "mallee") else place.run("audit")


def test_a_refusal_is_recorded_of_whom_it_met(place):
    s3, trail, iam = place.client("s3"), place.client("cloudtrail"), place.client("iam")
    name, user = f"trail-{uuid.uuid4().hex[:8]}", f"none-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    request, code = refused(place.client("s3", **keys).delete_bucket, Bucket=name)
    found = record(trail, "DeleteBucket", request)
    assert found["errorCode"] == code == "AccessDenied" and user in found["errorMessage"]
    assert found["userIdentity"]["userName"] == user
    # Whose signature is wrong is nobody: CloudTrail does not record that for S3.
    wrong = place.client("s3", **{**keys, "aws_secret_access_key": "wrong"})
    wrong_request, code = refused(wrong.delete_bucket, Bucket=name)
    assert code == "SignatureDoesNotMatch"
    s3.delete_bucket(Bucket=name)
    requests = [json.loads(e["CloudTrailEvent"])["requestID"] for e in look_up(trail, "EventName", "DeleteBucket")]
    assert wrong_request not in requests


def test_both_accounts_are_told_of_what_one_does_to_the_others(cloud):
    s3, tenant, name = cloud.client("s3"), Tenant(cloud), f"trail-{uuid.uuid4().hex[:8]}"
    theirs, trails = tenant.client("s3"), [cloud.client("cloudtrail"), tenant.client("cloudtrail")]
    s3.create_bucket(Bucket=name)
    allow = {"Effect": "Allow", "Principal": {"AWS": tenant.id}, "Action": "s3:PutBucketTagging"}
    policy = {"Version": "2012-10-17", "Statement": {**allow, "Resource": f"arn:aws:s3:::{name}"}}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    tagged = theirs.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    own, other = (record(trail, "PutBucketTagging", answered(tagged)) for trail in trails)
    assert own["sharedEventID"] == other["sharedEventID"] and own["eventID"] != other["eventID"]
    assert other["recipientAccountId"] == tenant.id == own["userIdentity"]["accountId"]
    assert own["recipientAccountId"] == own["resources"][0]["accountId"] == other["resources"][0]["accountId"]
    assert own["userIdentity"]["type"] == "AWSAccount" and "userName" not in own["userIdentity"]
    # What is refused tells nobody whose the bucket is.
    request, code = refused(theirs.delete_bucket, Bucket=name)
    found = record(trails[1], "DeleteBucket", request)
    assert found["errorCode"] == code == "AccessDenied"
    assert "accountId" not in found["resources"][0] and "sharedEventID" not in found
    s3.delete_bucket(Bucket=name)


def test_what_walrus_never_told_the_end_of_is_recorded(tiers):
    """The cloud controller goes and comes again: what it was not asked before is not done."""
    s3, name = tiers.client("s3", endpoint_url=tiers.s3_endpoint), f"trail-{uuid.uuid4().hex[:8]}"
    s3.list_buckets()
    tiers.kill("cloud")
    with suppress(ClientError):
        s3.create_bucket(Bucket=name)
        raise AssertionError("nothing could be written down")
    tiers.start("cloud", *tiers.arguments["cloud"])
    eventually(tiers.joined)
    assert name not in [bucket["Name"] for bucket in eventually(s3.list_buckets)["Buckets"]]
    request = answered(eventually(lambda: s3.create_bucket(Bucket=name)))
    record(tiers.client("cloudtrail"), "CreateBucket", request)
    s3.delete_bucket(Bucket=name)


class Slow:
    """A DeleteObjects through the front door, whose body comes by and by."""

    def __init__(self, tiers, keys, bucket):
        document = f"<Delete><Object><Key>k</Key></Object>{' ' * 90_000}</Delete>".encode()
        url = f"{tiers.endpoint}/{bucket}?delete="
        headers = {
            "content-md5": base64.b64encode(hashlib.md5(document).digest()).decode(),
            "content-length": str(len(document)),
            "x-amz-content-sha256": hashlib.sha256(document).hexdigest(),
        }
        request = botocore.awsrequest.AWSRequest("POST", url, headers, document)
        credentials = botocore.credentials.Credentials(*keys)
        botocore.auth.S3SigV4Auth(credentials, "s3", tiers.keys["AWS_DEFAULT_REGION"]).add_auth(request)
        self.document, self.sent = document, 0
        self.connection = http.client.HTTPConnection(tiers.address["api"], timeout=60)
        self.connection.putrequest("POST", f"/{bucket}?delete=", skip_accept_encoding=True)
        signed = {header.lower(): value for header, value in request.headers.items()}
        for header, value in {**headers, **signed}.items():
            self.connection.putheader(header, value)
        self.connection.endheaders()

    def send(self, count):
        self.connection.send(self.document[self.sent : self.sent + count])
        self.sent += count

    def reply(self):
        self.send(len(self.document))
        return self.connection.getresponse().read().decode()


def test_where_a_slow_request_came_from_is_known_through_a_door_that_stalls(tiers):
    """A condition on `aws:SourceIp` holds for a request whose body takes longer than the front door's word of where it came
    from is good for, and whose front door stood still meanwhile."""
    s3, iam, bucket = tiers.client("s3"), tiers.client("iam"), f"slow-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"text")
    requests = {}
    for name, address in [("here", "127.0.0.1/32"), ("elsewhere", "192.0.2.0/24")]:
        policy = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "s3:*",
                "Resource": "*",
                "Condition": {"IpAddress": {"aws:SourceIp": address}},
            },
        }
        user = f"{name}-{bucket}"
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        keys = (key["AccessKeyId"], key["SecretAccessKey"])
        client = tiers.client("s3", aws_access_key_id=keys[0], aws_secret_access_key=keys[1])
        if name == "here":
            eventually(lambda client=client: client.list_objects_v2(Bucket=bucket))
        requests[name] = Slow(tiers, keys, bucket)
    for slow in requests.values():
        slow.send(40_000)
    time.sleep(1)
    tiers.processes["cloud"].send_signal(signal.SIGSTOP)
    time.sleep(STALL_SECONDS)
    tiers.processes["cloud"].send_signal(signal.SIGCONT)
    for _ in range(DRIP_SECONDS):
        for slow in requests.values():
            slow.send(800)
        time.sleep(1)
    told = requests["elsewhere"].reply()
    assert "<Code>AccessDenied</Code>" in told and "<Deleted>" not in told, told
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 4
    told = requests["here"].reply()
    assert "<Deleted><Key>k</Key></Deleted>" in told, told
    config = Config(retries={"max_attempts": 3})
    assert tiers.client("s3", config=config).list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.delete_bucket(Bucket=bucket)
