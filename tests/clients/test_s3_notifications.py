"""Notifications of buckets, as boto3 asks for them and a small HTTP server hears them."""

import hashlib
import time

import pytest

from s3_jobs import bucket, eventually, refused, s3, store  # noqa: F401 (fixtures)


def configure(s3, bucket, **configuration):
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)


@pytest.fixture
def topic(store):
    return {"Id": "t", "TopicArn": store.arn("sns", "hook"), "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}


@pytest.fixture(autouse=True)
def quiet(store):
    for receiver in (store.hook, store.queue):
        receiver.status, receiver.delay, receiver.headers = 200, 0, {}
    yield


def test_configurations_read_back(s3, store, bucket, topic):
    assert "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    queue = {
        "Id": "q",
        "QueueArn": store.arn("sqs", "jobs"),
        "Events": ["s3:ObjectTagging:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "in/"}, {"Name": "Suffix", "Value": ".jpg"}]}},
    }
    configure(s3, bucket, TopicConfigurations=[topic], QueueConfigurations=[queue])
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert found["TopicConfigurations"] == [topic] and found["QueueConfigurations"] == [queue]
    eventually(lambda: store.hook.tests(bucket) and store.queue.tests(bucket))
    configure(s3, bucket)
    assert "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_what_is_refused(s3, store, bucket, topic):
    def put(**change):
        configure(s3, bucket, TopicConfigurations=[{**topic, **change}])

    refused("InvalidArgument", 400, lambda: put(TopicArn=store.arn("sns", "nobody")))
    refused("InvalidArgument", 400, lambda: put(TopicArn=store.arn("sqs", "jobs")))
    other = store.arn("sns", "hook").replace(store.account, "999999999999")
    for arn in (other, f"arn:aws:sns:elsewhere:{store.account}:hook"):
        reply = refused("InvalidArgument", 400, lambda: put(TopicArn=arn))
        assert reply["Error"]["Message"] == "Unable to validate the following destination configurations", arn
    reply = refused("InvalidArgument", 400, lambda: put(Events=["s3:ObjectCreated:Nothing"]))
    assert reply
    other = {**topic, "Id": "u", "Events": ["s3:ObjectCreated:Put"]}
    refused("InvalidArgument", 400, lambda: configure(s3, bucket, TopicConfigurations=[topic, other]))
    assert "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_changes_are_told_in_order(s3, store, bucket, topic):
    configure(s3, bucket, TopicConfigurations=[topic])
    s3.put_object(Bucket=bucket, Key="a b+ü", Body=b"abc")
    s3.copy_object(Bucket=bucket, Key="a b+ü", CopySource={"Bucket": bucket, "Key": "a b+ü"}, MetadataDirective="REPLACE")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a b+ü")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="a b+ü", UploadId=upload, PartNumber=1, Body=b"1")
    s3.complete_multipart_upload(
        Bucket=bucket, Key="a b+ü", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    s3.delete_object(Bucket=bucket, Key="a b+ü")
    s3.delete_object(Bucket=bucket, Key="never there")
    records = eventually(lambda: (r := store.hook.records(bucket)) and len(r) >= 4 and r)
    names = [r["eventName"] for r in records]
    assert names == ["ObjectCreated:Put", "ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload", "ObjectRemoved:Delete"]
    assert {r["s3"]["object"]["key"] for r in records} == {"a+b%2B%C3%BC"}
    sequencers = [r["s3"]["object"]["sequencer"] for r in records]
    assert sequencers == sorted(set(sequencers))
    first = records[0]
    assert first["eventVersion"] == "2.1" and first["eventSource"] == "aws:s3" and first["awsRegion"] == store.region
    assert first["s3"]["s3SchemaVersion"] == "1.0" and first["s3"]["configurationId"] == "t"
    assert first["s3"]["object"]["eTag"] == hashlib.md5(b"abc").hexdigest() and first["s3"]["object"]["size"] == 3
    assert "versionId" not in first["s3"]["object"] and first["responseElements"]["x-amz-request-id"]
    assert first["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{bucket}"


def test_versions_are_named(s3, store, bucket, topic):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    configure(s3, bucket, TopicConfigurations=[topic])
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=put)
    records = eventually(lambda: (r := store.hook.records(bucket)) and len(r) >= 3 and r)
    assert [(r["eventName"], r["s3"]["object"]["versionId"]) for r in records] == [
        ("ObjectCreated:Put", put),
        ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", put),
    ]
    assert records[1]["s3"]["object"]["eTag"] == hashlib.md5(b"").hexdigest()


def test_filters_and_queues(s3, store, bucket):
    rules = [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".jpg"}]
    queue = {"QueueArn": store.arn("sqs", "jobs"), "Events": ["s3:ObjectCreated:Put"], "Filter": {"Key": {"FilterRules": rules}}}
    configure(s3, bucket, QueueConfigurations=[queue])
    for key in ["in/a.png", "a.jpg", "in/a.jpg"]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    records = eventually(lambda: store.queue.records(bucket))
    time.sleep(1.5)
    assert [r["s3"]["object"]["key"] for r in store.queue.records(bucket)] == ["in/a.jpg"] and records
    path = store.queue.bodies[-1][0]
    assert path == "/111111111111/jobs"


def test_lifecycle_is_told(s3, store, bucket, topic):
    configure(s3, bucket, TopicConfigurations=[{**topic, "Events": ["s3:LifecycleExpiration:*"]}])
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    records = eventually(lambda: store.hook.records(bucket))
    assert [r["eventName"] for r in records] == ["LifecycleExpiration:Delete"]


def test_transitions_tell_where_to(s3, store, bucket, topic):
    configure(s3, bucket, TopicConfigurations=[{**topic, "Events": ["s3:LifecycleTransition"]}])
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 200_000)["ETag"]
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    [record] = eventually(lambda: store.hook.records(bucket))
    assert record["eventName"] == "LifecycleTransition" and record["eventVersion"] == "2.3"
    assert record["lifecycleEventData"] == {"transitionEventData": {"destinationStorageClass": "GLACIER_IR"}}
    assert record["requestParameters"] == {"sourceIPAddress": "s3.amazonaws.com"}
    assert record["s3"]["object"]["eTag"] == etag.strip('"') and record["s3"]["object"]["size"] == 200_000


@pytest.mark.parametrize("status, headers", [(500, {}), (302, {"Location": "/elsewhere"})])
def test_what_is_refused_is_told_again_in_order(s3, store, bucket, topic, status, headers):
    configure(s3, bucket, TopicConfigurations=[topic])
    eventually(lambda: store.hook.tests(bucket))
    store.hook.status, store.hook.headers = status, headers
    for n in range(3):
        s3.put_object(Bucket=bucket, Key="same", Body=b"x" * n)
    s3.put_object(Bucket=bucket, Key="other", Body=b"")
    eventually(lambda: sum(1 for _, s, b in store.hook.bodies if s == status and bucket in b) >= 2)
    # Nobody went where the redirect leads.
    assert all(path == "/in" for path, _, _ in store.hook.bodies)
    store.hook.status, store.hook.headers = 200, {}
    records = eventually(lambda: (r := store.hook.records(bucket)) and len(r) >= 4 and r)
    assert [r["s3"]["object"]["size"] for r in records if r["s3"]["object"]["key"] == "same"] == [0, 1, 2]


def test_a_dead_or_slow_target_holds_nobody_up(s3, store, bucket, topic):
    dead = {"Id": "d", "TopicArn": store.arn("sns", "dead"), "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "d"}]}}}
    queue = {"Id": "q", "QueueArn": store.arn("sqs", "jobs"), "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "q"}]}}}
    configure(s3, bucket, TopicConfigurations=[dead, {**topic, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "t"}]}}}], QueueConfigurations=[queue])
    store.hook.delay = 3
    begin = time.monotonic()
    for n in range(20):
        s3.put_object(Bucket=bucket, Key=f"d{n}", Body=b"")
        s3.put_object(Bucket=bucket, Key=f"t{n}", Body=b"")
    assert time.monotonic() - begin < 8
    s3.put_object(Bucket=bucket, Key="q", Body=b"")
    eventually(lambda: store.queue.records(bucket), 10)
    store.hook.delay = 0
