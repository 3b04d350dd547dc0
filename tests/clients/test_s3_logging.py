"""Access logs, as boto3 sees them, of a store that delivers them each second."""

import json
import re
import time
from datetime import datetime, timezone

import pytest
import requests

from s3_jobs import SITES, Store, bucket, eventually, lets, make, refused, s3, store  # noqa: F401 (fixtures)

SERVICE = "logging.s3.amazonaws.com"
FIELDS = [
    "owner", "bucket", "time", "address", "requester", "request_id", "operation", "key", "uri", "status", "error", "sent",
    "size", "total", "turn_around", "referer", "agent", "version", "host_id", "signature", "cipher", "authentication",
    "host", "tls", "access_point", "acl_required", "region",
]  # fmt: skip


@pytest.fixture
def target(s3, bucket):
    name = make(s3)
    lets(s3, name, SERVICE, bucket)
    return name


def log(s3, bucket, target, prefix="logs/", **more):
    status = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": prefix, **more}}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=status)


def logs(s3, target, prefix=""):
    for item in s3.list_objects_v2(Bucket=target, Prefix=prefix).get("Contents", []):
        yield item["Key"], s3.get_object(Bucket=target, Key=item["Key"])["Body"].read().decode()


def records(s3, target, **wanted):
    """Records that have these values."""
    found = []
    for _, text in logs(s3, target):
        for line in text.splitlines():
            values = re.findall(r'"([^"]*)"|\[([^\]]*)\]|(\S+)', line)
            assert len(values) == len(FIELDS), line
            found.append(dict(zip(FIELDS, ("".join(value) for value in values))))
    return [record for record in found if all(record[name] == value for name, value in wanted.items())]


def one(s3, target, **wanted):
    found = eventually(lambda: records(s3, target, **wanted))
    assert len(found) == 1, found
    return found[0]


def test_configurations_read_back(s3, bucket, target):
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    for form in [{}, {"SimplePrefix": {}}, {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}]:
        more = {"TargetObjectKeyFormat": form} if form else {}
        log(s3, bucket, target, **more)
        expected = {"TargetBucket": target, "TargetPrefix": "logs/", **more}
        assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == expected
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)


def test_what_targets_are_refused(store, s3, bucket):
    def put(code, name, text, **more):
        status = {"LoggingEnabled": {"TargetBucket": name, "TargetPrefix": "", **more}}
        reply = refused(code, 400, s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus=status)
        assert text in reply["Error"]["Message"], reply

    put("InvalidTargetBucketForLogging", "not-there-at-all", "does not exist")
    put("InvalidTargetBucketForLogging", make(store.other()[0]), "owner for the bucket")
    grant = {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}
    put("AccessControlListNotSupported", make(s3), "Target grants not allowed", TargetGrants=[grant])
    put("InvalidTargetBucketForLogging", make(s3, ObjectOwnership="ObjectWriter"), "log-delivery group")
    locked = make(s3, ObjectLockEnabledForBucket=True)
    default = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=default)
    put("InvalidTargetBucketForLogging", locked, "retention")
    paid = make(s3)
    s3.put_bucket_request_payment(Bucket=paid, RequestPaymentConfiguration={"Payer": "Requester"})
    put("InvalidTargetBucketForLogging", paid, "Requester Pays")


def test_requests_are_recorded(store, s3, bucket, target):
    log(s3, bucket, target)
    before = datetime.now(timezone.utc).replace(microsecond=0)
    s3.put_object(Bucket=bucket, Key='a b/"c"\n', Body=b"12345")
    s3.get_object(Bucket=bucket, Key='a b/"c"\n', Range="bytes=1-2")["Body"].read()
    s3.list_objects_v2(Bucket=bucket)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": 'a b/"c"\n'})
    refused("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="absent")
    key = "a%20b/%22c%22%0A"
    put = one(s3, target, operation="REST.PUT.OBJECT")
    assert (put["status"], put["error"], put["key"], put["size"], put["bucket"]) == ("200", "-", key, "5", bucket)
    got = one(s3, target, operation="REST.GET.OBJECT", status="206")
    assert (got["key"], got["sent"], got["size"], got["error"]) == (key, "2", "5", "-")
    assert got["uri"] == f"GET /{bucket}/{key} HTTP/1.1"
    owner = s3.get_bucket_acl(Bucket=bucket)["Owner"]["ID"]
    # A root user is told by the canonical id, a user by the ARN.
    caller = store.cloud.client("sts").get_caller_identity()["Arn"] if store.cloud else owner
    assert (got["owner"], got["requester"]) == (owner, caller)
    assert (got["signature"], got["authentication"], got["cipher"], got["tls"]) == ("SigV4", "AuthHeader", "-", "-")
    assert got["address"] == "127.0.0.1" and "Boto3" in got["agent"] and got["host"] in store.endpoint
    at = datetime.strptime(got["time"], "%d/%b/%Y:%H:%M:%S %z")
    assert before <= at <= datetime.now(timezone.utc) and int(got["total"]) >= int(got["turn_around"])
    missing = one(s3, target, operation="REST.GET.OBJECT", status="404")
    assert (missing["error"], missing["key"]) == ("NoSuchKey", "absent") and int(missing["sent"]) > 0
    assert one(s3, target, operation="REST.GET.BUCKET")["key"] == "-"
    assert one(s3, target, operation="REST.COPY.OBJECT")["key"] == "copy"
    assert one(s3, target, operation="REST.COPY.OBJECT_GET")["key"] == key
    # Keys of objects are times, and end with something of their own.
    keys = [name for name, _ in logs(s3, target)]
    assert keys and all(re.fullmatch(r"logs/\d{4}(-\d\d){5}-[0-9A-F]{16}", name) for name in keys), keys


def test_who_is_refused_is_recorded_too(store, s3, bucket, target):
    log(s3, bucket, target)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    other, _ = store.other()
    refused("AccessDenied", 403, other.get_object, Bucket=bucket, Key="other")
    refused("AccessDenied", 403, store.nobody().get_object, Bucket=bucket, Key="nobody")
    wrong = store.signed("AKIANOBODYHASTHISKEY", "secret")
    refused("InvalidAccessKeyId", 403, wrong.get_object, Bucket=bucket, Key="wrong")
    denied = one(s3, target, key="other")
    assert (denied["status"], denied["error"], denied["operation"]) == ("403", "AccessDenied", "REST.GET.OBJECT")
    assert denied["requester"] not in ("-", denied["owner"])
    nobody = one(s3, target, key="nobody")
    assert (nobody["error"], nobody["requester"], nobody["signature"]) == ("AccessDenied", "-", "-")
    assert nobody["authentication"] == "-"
    unknown = one(s3, target, key="wrong")
    assert (unknown["error"], unknown["requester"], unknown["status"]) == ("InvalidAccessKeyId", "-", "403")


def test_batches_parts_and_presigned_requests(s3, bucket, target):
    log(s3, bucket, target)
    for key in ("a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"part")
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "p"})
    assert requests.get(url, timeout=10).status_code == 404
    assert one(s3, target, operation="REST.POST.MULTI_OBJECT_DELETE")["key"] == "-"
    for key in ("a", "b"):
        assert one(s3, target, operation="BATCH.DELETE.OBJECT", key=key)["status"] == "204"
    for operation, key in [("REST.POST.UPLOADS", "m"), ("REST.PUT.PART", "m"), ("REST.DELETE.UPLOAD", "m")]:
        assert one(s3, target, operation=operation)["key"] == key
    presigned = one(s3, target, key="p")
    assert presigned["authentication"] == "QueryString"
    signature = re.search(r"Signature=([^&]+)", url).group(1)
    assert "HIDDEN" in presigned["uri"] and signature not in presigned["uri"]


def test_web_sites(store, s3, bucket, target):
    log(s3, bucket, target)
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    s3.delete_public_access_block(Bucket=bucket)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=bucket, Key="index.html", Body=b"<html/>")
    page = requests.get(store.endpoint, headers={"Host": f"{bucket}.{SITES}"}, timeout=10)
    assert page.status_code == 200
    visit = one(s3, target, operation="WEBSITE.GET.OBJECT")
    assert (visit["key"], visit["status"], visit["requester"], visit["sent"]) == ("index.html", "200", "-", "7")


def test_rules_are_recorded(s3, bucket, target):
    log(s3, bucket, target)
    s3.put_object(Bucket=bucket, Key="old", Body=b"x")
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    record = one(s3, target, operation="S3.EXPIRE.OBJECT")
    assert (record["key"], record["requester"], record["address"], record["status"]) == ("old", "AmazonS3", "-", "-")


@pytest.mark.parametrize("source", ["EventTime", "DeliveryTime"])
def test_partitioned_keys(s3, bucket, target, source):
    log(s3, bucket, target, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": source}})
    s3.list_objects_v2(Bucket=bucket)
    key, _ = eventually(lambda: list(logs(s3, target)))[0]
    time_of_day = r"00-00-00" if source == "EventTime" else r"\d\d-\d\d-\d\d"
    form = rf"logs/\d{{12}}/{s3.meta.region_name}/{bucket}/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3-{time_of_day}-[0-9A-F]{{16}}"
    assert re.fullmatch(form, key), key


def test_without_leave_nothing_is_delivered(s3, bucket):
    target = make(s3)
    log(s3, bucket, target)
    s3.list_objects_v2(Bucket=bucket)
    time.sleep(2.5)
    assert list(logs(s3, target)) == []
    lets(s3, target, SERVICE, "another-bucket")
    s3.list_objects_v2(Bucket=bucket)
    time.sleep(2.5)
    assert list(logs(s3, target)) == []
    lets(s3, target, SERVICE, bucket)
    s3.list_objects_v2(Bucket=bucket)
    assert one(s3, target, operation="REST.GET.BUCKET")


def test_by_lists_and_with_grants(store, s3, bucket):
    target = make(s3, ObjectOwnership="ObjectWriter")
    s3.put_bucket_acl(Bucket=target, ACL="log-delivery-write")
    other, _ = store.other()
    id = other.list_buckets()["Owner"]["ID"]
    grant = {"Grantee": {"Type": "CanonicalUser", "ID": id}, "Permission": "READ"}
    log(s3, bucket, target, TargetGrants=[grant])
    got = s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]["TargetGrants"]
    assert got[0]["Grantee"]["ID"] == id and got[0]["Permission"] == "READ"
    s3.list_objects_v2(Bucket=bucket)
    key, text = eventually(lambda: list(logs(s3, target)))[0]
    assert other.get_object(Bucket=target, Key=key)["Body"].read().decode() == text
    refused("AccessDenied", 403, store.nobody().get_object, Bucket=target, Key=key)


def test_blocked_lists_open_no_logs(store, s3, bucket):
    target = make(s3, ObjectOwnership="ObjectWriter")
    s3.put_public_access_block(Bucket=target, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    s3.put_bucket_acl(Bucket=target, ACL="log-delivery-write")
    other, _ = store.other()
    everyone = {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}
    one_other = {"Grantee": {"Type": "CanonicalUser", "ID": other.list_buckets()["Owner"]["ID"]}, "Permission": "READ"}
    log(s3, bucket, target, TargetGrants=[everyone, one_other])
    s3.list_objects_v2(Bucket=bucket)
    key, text = eventually(lambda: list(logs(s3, target)))[0]
    refused("AccessDenied", 403, store.nobody().get_object, Bucket=target, Key=key)
    assert other.get_object(Bucket=target, Key=key)["Body"].read().decode() == text


def test_what_took_a_list(store, s3, target):
    source = make(s3, ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket=source)
    lets(s3, target, SERVICE, source)
    log(s3, source, target)
    s3.put_object(Bucket=source, Key="k", Body=b"x", ACL="public-read")
    store.nobody().get_object(Bucket=source, Key="k")["Body"].read()
    assert one(s3, target, operation="REST.GET.OBJECT")["acl_required"] == "Yes"
    assert one(s3, target, operation="REST.PUT.OBJECT")["acl_required"] == "-"


def test_logs_of_logs_do_not_grow_by_themselves(s3, bucket):
    lets(s3, bucket, SERVICE, bucket)
    log(s3, bucket, bucket)
    s3.list_objects_v2(Bucket=bucket)
    time.sleep(4)
    # What was recorded is the listing (and this one, and the policy's): no delivery.
    first = [text for _, text in logs(s3, bucket, "logs/")]
    assert first and not any("REST.PUT.OBJECT" in text for text in first)


def test_what_waits_is_delivered_at_the_end():
    store = Store(log_seconds=3600)
    try:
        s3 = store.client()
        source, target = make(s3), make(s3)
        lets(s3, target, SERVICE, source)
        log(s3, source, target)
        s3.list_objects_v2(Bucket=source)
        assert list(logs(s3, target)) == []
        store.restart()
        assert one(store.client(), target, operation="REST.GET.BUCKET")
    finally:
        store.stop()
